"""Intervals and paired comparisons of scores: of one model, of two, of one recipe over several seeds.

`autodistill.engine.statistics` works on arrays; here a `Score` says which of its methods is right: a mean of
contributions, or a function of the examples' weights, which is resampled. Examples are resampled in pairs, so that what
is hard for both models does not count as a difference.

.. [McNemar1947] Note on the sampling error of the difference between correlated proportions. Psychometrika 12.
.. [Satterthwaite1946] An approximate distribution of estimates of variance components. Biometrics Bulletin 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy import stats

from autodistill.components.outcome import Score
from autodistill.engine.statistics import (
    FEW_UNITS,
    LEVEL,
    interval,
    least_share,
    paired_difference,
    percentile_interval,
    wilson,
    z_of,
)
from autodistill.evaluators.measures import CHUNK, SHARE, draws, is_share, worth_of

if TYPE_CHECKING:
    from autodistill.components.outcome import FloatArray, WeightedMetric

Ends: TypeAlias = tuple[float, float]

#: Resamples of a metric that is no mean: each costs an evaluation of the metric. The 2.5 % quantile of so many is
#: within 0.7 percentage points.
METRIC_RESAMPLES = 2_000

#: Blocks of units that are left out one after the other, at most: as many evaluations as the resamples are.
BLOCKS = METRIC_RESAMPLES

#: A smaller change of a metric is rounding: one answer of a million million.
ROUNDING = 1e-12

#: Seed of every bootstrap here: the same numbers from the same predictions.
SEED = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval.

    Args:
        value: the metric, or a difference of metrics.
        low: of the interval; None where nothing can be said.
        high: likewise.
        n: examples it rests on; None where they are unknown.
        seeds: training runs it rests on.
        p_value: of McNemar's exact test, for a difference of two shares of right answers; else None.
    """

    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    seeds: int = 1
    p_value: float | None = None


def examples_of(score: Score) -> int | None:
    """How many examples a score rests on."""
    return units_of(score) if score.counted is None else score.counted


def units_of(score: Score) -> int | None:
    """How many independent units a score is of: examples, or groups of them; what is resampled."""
    return score.n if score.per_example is None else len(score.per_example)


def estimate(score: Score, level: float = LEVEL) -> Estimate:
    """A score with its interval: that of its contributions, else a percentile bootstrap of the metric.

    That of a share, an F1 or Matthews' coefficient is no narrower than Wilson's for as many independent answers as vary
    like it.
    """
    n, units = examples_of(score), units_of(score)
    if score.least_of is not None:
        return Estimate(score.value, *least_share(*score.least_of, level), n)
    if score.per_example is not None:
        found = interval(score.per_example, level, share=is_share(score))
        return Estimate(score.value, *_within(*found, score), n)
    if score.weighted is None or units is None or units < 2:
        return Estimate(score.value, n=n)
    values = np.concatenate([score.weighted(weights) for weights in draws(units, METRIC_RESAMPLES, SEED)])
    low, high = percentile_interval(values, score.value, units, level)
    worth = _worth_of_share(score)
    if worth is not None:
        effective = _effective(score.value, worth, float(np.var(values))) or units
        low, high = _no_surer_than_wilson((low, high), score.value, worth, effective, level)
    return Estimate(score.value, *_within(low, high, score), n)


def difference(ours: Score, theirs: Score, level: float = LEVEL) -> Estimate:
    """``ours - theirs`` on the same examples, with its interval; without one where the scores cannot be paired."""
    n, units = examples_of(ours), units_of(ours)
    if units is None or units != units_of(theirs):
        return Estimate(ours.value - theirs.value)
    if ours.per_example is not None and theirs.per_example is not None:
        value, low, high = paired_difference(ours.per_example, theirs.per_example, SEED, level=level)
        return Estimate(value, *_numbers(low, high), n, p_value=mcnemar(ours.per_example, theirs.per_example))
    metric = _together([[ours], [theirs]], [1.0, -1.0])
    if units < 2 or metric is None:
        return Estimate(ours.value - theirs.value, n=n)
    values = np.concatenate([metric(weights) for weights in draws(units, METRIC_RESAMPLES, SEED)])
    value = ours.value - theirs.value
    ends, variance = percentile_interval(values, value, units, level), float(np.var(values))
    low, high = _no_surer_than_answers(ends, [[ours], [theirs]], value, variance, units, z_of(level))
    return Estimate(value, low, high, n)


def mcnemar(ours: FloatArray, theirs: FloatArray) -> float | None:
    """Exact two-sided p-value that two models are right equally often [McNemar1947]_.

    Only examples on which exactly one of them is right tell; under the hypothesis each is as likely as the other.

    Args:
        ours: examples, 1 where right, else 0.
        theirs: the same examples.

    Returns:
        None when something else than 0 and 1 is given.
    """
    left, right = np.asarray(ours), np.asarray(theirs)
    if not (np.isin(left, (0, 1)).all() and np.isin(right, (0, 1)).all()):
        return None
    gained, lost = int(np.count_nonzero(left > right)), int(np.count_nonzero(left < right))
    if gained + lost == 0:
        return 1.0
    return float(stats.binomtest(gained, gained + lost, 0.5).pvalue)


# -- several seeds -----------------------------------------------------------------------------------------------


def over_seeds(scores: Sequence[Score], level: float = LEVEL) -> Estimate:
    """The mean over training seeds, with an interval that covers the sampling of examples and of seeds.

    Its variance is the sum of both, each as if the other were fixed, and Student's t has the degrees of freedom of
    [Satterthwaite1946]_; what examples and seeds do together is counted twice, on the safe side. One seed: `estimate`.
    The interval of a least share reaches over those of all seeds.

    Args:
        scores: of runs that differ in the seed alone, on the same examples.
        level: coverage, in (0, 1).
    """
    if len(scores) == 1:
        return estimate(scores[0], level)
    ends = [least_share(*score.least_of, level) for score in scores if score.least_of is not None]
    if len(ends) == len(scores):
        low, high = min(low for low, _ in ends), max(high for _, high in ends)
        return Estimate(mean_of(scores), low, high, _common([list(scores)], examples_of), len(scores))
    return _combined([list(scores)], [1.0], level)


def difference_over_seeds(
    ours: Sequence[Score], theirs: Sequence[Score], level: float = LEVEL, *, fixed: bool = False
) -> Estimate:
    """Mean of ``ours`` minus mean of ``theirs`` on the same examples; the seeds of both need not belong together.

    Args:
        ours: scores of runs that differ in the seed alone.
        theirs: the same. Where one side has a single run, it is taken to scatter as those of the other side do.
        level: coverage, in (0, 1).
        fixed: whether ``theirs`` is one model that is what it is, and no run that another seed would change.
    """
    if len(ours) == 1 and len(theirs) == 1:
        return difference(ours[0], theirs[0], level)
    return _combined([list(ours), list(theirs)], [1.0, -1.0], level, fixed=fixed)


def _combined(groups: list[list[Score]], signs: list[float], level: float, *, fixed: bool = False) -> Estimate:
    value = sum(sign * mean_of(group) for sign, group in zip(signs, groups, strict=True))
    seeds = len(groups[0]) if fixed else min(len(group) for group in groups)
    units, n = (_common(groups, count) for count in (units_of, examples_of))
    of_examples = _example_variance(groups, signs, units)
    if units is None or of_examples is None or units < 2:
        return Estimate(value, n=n, seeds=seeds)
    parts = [(of_examples, units - 1)]
    several = [group for group in groups if len(group) > 1]
    parts += [(_seed_variance(group) / len(group), len(group) - 1) for group in several]
    if several and len(several) < len(groups) and not fixed:  # a single run scatters as the runs of the other side do
        parts.append((_seed_variance(several[0]), len(several[0]) - 1))
    variance = sum(part for part, _ in parts)
    if variance == 0:  # every seed answered alike: what a single one tells
        return replace(_of_first_seeds(groups, level), value=value, seeds=seeds)
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    reach = float(stats.t.ppf((1 + level) / 2, freedom))
    half = reach * math.sqrt(variance)
    low, high = value - half, value + half
    if len(groups) > 1:  # runs that agree are of no more answers than one
        return Estimate(value, *_no_surer_than_answers((low, high), groups, value, variance, units, reach), n, seeds)
    worth = _worth_of_share(groups[0][0])
    if worth is not None:  # the mean of several runs is of no more examples than one run
        single = max(_effective(score.value, worth, score.variance or 0.0) or units for score in groups[0])
        effective = min(_effective(value, worth, variance) or units, single)
        low, high = _no_surer_than_wilson((low, high), value, worth, effective, level)
    return Estimate(value, *_within(low, high, groups[0][0]), n, seeds)


def _no_surer_than_answers(
    ends: Ends, groups: Sequence[Sequence[Score]], value: float, variance: float, units: int, reach: float
) -> Ends:
    """The interval of a paired difference of answers, at least `paired_difference`'s in its form with a variance.

    That one adds a pair which was gained and one which was lost. Here they are units that change the difference as much
    as those do on which it rests (`_step`), so that a few lucky answers are no proof, nor are many in a few units.

    Args:
        ends: of the interval.
        groups: the scores of both sides; where one is not of right and wrong answers, the interval stays.
        value: the difference.
        variance: of it.
        units: examples, or groups of them.
        reach: half width of the interval in standard deviations.
    """
    scores = [score for group in groups for score in group]
    worths = [worth for worth in map(worth_of, scores) if worth is not None]
    if len(worths) < len(scores):
        return ends
    centre = value * units / (units + 2)
    half = reach * math.sqrt(variance + 2 * _step(groups, max(worths), units) ** 2)
    return min(ends[0], centre - half), max(ends[1], centre + half)


def _step(groups: Sequence[Sequence[Score]], worth: float, units: int) -> float:
    """How much one more unit may change a difference.

    Where a unit is of one answer, what that is worth. Where it holds several, as much as one of the units on which the
    variance rests (n equal ones among any number of others count as n), and no less than an answer; of more than
    `BLOCKS` units a block of neighbours counts as one, which is on the safe side. Units that differ all alike, or not
    at all, or are fewer than `FEW_UNITS`, say nothing of what another one does: it may differ as a whole.

    Args:
        groups: the scores of both sides.
        worth: of an answer, see `Score.worth`.
        units: examples, or groups of them.
    """
    metric = _together(groups, [1.0, -1.0])
    if worth > 1 - ROUNDING or units < FEW_UNITS or metric is None:
        return max(1.0, worth) / (units + 2)
    squares = _changes(metric, units) ** 2
    if not squares.any():
        return 1 / (units + 2)
    return max(worth / (units + 2), math.sqrt(float((squares**2).sum() / squares.sum())))


def _changes(metric: WeightedMetric, units: int) -> FloatArray:
    """How much a metric changes when each unit is left out; of more than `BLOCKS`, neighbours together."""
    blocks = np.arange(units) * min(units, BLOCKS) // units
    whole = metric(np.ones((1, units)))
    parts = np.array_split(np.arange(blocks[-1] + 1), -(-min(units, BLOCKS) * units // CHUNK))
    found = np.concatenate([metric(np.where(part[:, None] == blocks, 0.0, 1.0)) - whole for part in parts])
    changes: FloatArray = np.where(np.abs(found) < ROUNDING, 0.0, found)
    return changes


def _together(groups: Sequence[Sequence[Score]], signs: Sequence[float]) -> WeightedMetric | None:
    """The sum of the groups' means with their signs as a function of the units' weights; None where one is not."""
    metrics = [[score.weighted for score in group if score.weighted is not None] for group in groups]
    if any(len(some) < len(group) for some, group in zip(metrics, groups, strict=True)):
        return None

    def metric(weights: FloatArray) -> FloatArray:
        means = [np.mean([one(weights) for one in some], axis=0) for some in metrics]
        together: FloatArray = np.asarray(signs) @ np.asarray(means)
        return together

    return metric


def _worth_of_share(score: Score) -> float | None:
    """What an answer is worth, at least 1: where it takes less (of several to an example, or among many positives), a
    value as low as a share of 0 would have is no worse than others.
    """
    worth = worth_of(score)
    return None if worth is None else max(1.0, worth)


def _as_share(value: float, worth: float) -> float:
    """The share of right answers of a model with this value, were all answers worth the same."""
    return min(max(1.0 - (1.0 - value) / worth, 0.0), 1.0)


def _effective(value: float, worth: float, variance: float) -> float | None:
    """How many independent answers a metric with this variance is of; None where it has none."""
    share = _as_share(value, worth)
    return share * (1 - share) * worth**2 / variance if variance > 0 and 0 < share < 1 else None


def _no_surer_than_wilson(ends: Ends, value: float, worth: float, n: float, level: float) -> Ends:
    """The interval of a share, at least Wilson's: few resamples, or none, have an error where the sample has few.

    Args:
        ends: of the interval.
        value: of the metric.
        worth: of an answer, see `Score.worth`.
        n: answers that vary like it.
        level: of coverage.
    """
    low, high = (1.0 - worth * (1.0 - end) for end in wilson(_as_share(value, worth) * n, n, level))
    return min(ends[0], low), max(ends[1], high)


def _common(groups: list[list[Score]], count: Callable[[Score], int | None]) -> int | None:
    """What is counted of every score, where it is the same of all."""
    sizes = {count(score) for group in groups for score in group}
    return sizes.pop() if len(sizes) == 1 else None


def _of_first_seeds(groups: list[list[Score]], level: float) -> Estimate:
    return estimate(groups[0][0], level) if len(groups) == 1 else difference(groups[0][0], groups[1][0], level)


def mean_of(group: Sequence[Score]) -> float:
    """The mean of some scores' values."""
    return float(np.mean([score.value for score in group]))


def _seed_variance(group: Sequence[Score]) -> float:
    return float(np.var([score.value for score in group], ddof=1))


def _example_variance(groups: list[list[Score]], signs: list[float], n: int | None) -> float | None:
    """Variance of the means over seeds, or of their difference, from the sampling of ``n`` units."""
    scores = [score for group in groups for score in group]
    if n is None:
        return None
    if all(score.per_example is not None for score in scores):
        contributions = sum(
            sign * np.mean([np.asarray(score.per_example) for score in group], axis=0)
            for sign, group in zip(signs, groups, strict=True)
        )
        return float(np.var(contributions, ddof=1)) / n if n > 1 else None
    metric = _together(groups, signs)
    if metric is None:
        return None
    return float(np.var(np.concatenate([metric(weights) for weights in draws(n, METRIC_RESAMPLES, SEED)]), ddof=1))


def _numbers(low: float, high: float) -> tuple[float | None, float | None]:
    return (None, None) if math.isnan(low) or math.isnan(high) else (low, high)


def _within(low: float, high: float, score: Score) -> tuple[float | None, float | None]:
    """The ends of an interval of a metric, no further out than its bounds; None where nothing can be said."""
    bounds = SHARE if is_share(score) else score.bounds
    if bounds is not None:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return _numbers(low, high)
