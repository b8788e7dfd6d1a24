"""Statistics of flash fidelity: rank correlations with intervals, what is left given latency, and the regret."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import kendalltau, rankdata, spearmanr

from autodistill.pareto import hypervolume, non_dominated

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

#: Resamples of the architectures for an interval.
RESAMPLES = 2000


def correlations(one: FloatArray, other: FloatArray, *, apart: bool = False) -> dict[str, Any]:
    """Spearman and Kendall (tau-b) with 95 % bootstrap intervals over the architectures.

    Args:
        one: a value per architecture, or several replicates of it (``replicates x architectures``).
        other: the same; all pairs of replicates are averaged.
        apart: replicates have seeds, the same in both: only pairs of different seeds are averaged. Two runs of one seed
            share its random start and order of examples, and would agree better than a flash run with what it is to
            predict, which is how good an architecture is and not how lucky a seed.
    """
    first, second = np.atleast_2d(one), np.atleast_2d(other)
    pairs = _pairs(first, second, apart)
    return {"n": first.shape[1]} | {
        name: _interval(*_values(first, second, pairs, statistic))
        for name, statistic in (("spearman", spearmanr), ("kendall", kendalltau))
    }


def leads(
    flash: FloatArray, full: FloatArray, rivals: Mapping[str, FloatArray], *, apart: bool
) -> dict[str, dict[str, float]]:
    """By how much flash ranks full scores better than each other predictor does: the difference of Spearman's
    correlations, with a 95 % bootstrap interval over the architectures, which both are drawn by.

    Args:
        flash: ``seeds x architectures``.
        full: the same seeds.
        rivals: name -> a value per architecture.
        apart: as in `correlations`.
    """
    own, own_draws = _values(flash, full, _pairs(flash, full, apart), spearmanr)
    found = {}
    for name, rival in rivals.items():
        other, draws = _values(rival[None], full, _pairs(rival[None], full, apart=False), spearmanr)
        found[name] = _interval(own - other, own_draws - draws)
    return found


def _pairs(first: FloatArray, second: FloatArray, apart: bool) -> list[tuple[int, int]]:
    pairs = [(row, column) for row in range(len(first)) for column in range(len(second)) if not apart or row != column]
    if not pairs:
        raise ValueError("Correlations of replicates with different seeds need two seeds at least.")
    return pairs


def _values(
    first: FloatArray, second: FloatArray, pairs: Sequence[tuple[int, int]], statistic: Callable[..., Any]
) -> tuple[float, FloatArray]:
    """A statistic, and what it is for each resample of the architectures: the same resamples for equally many."""
    count = first.shape[1]
    resamples = np.random.default_rng(0).integers(0, count, (RESAMPLES, count))
    draws = [_mean(first[:, rows], second[:, rows], pairs, statistic) for rows in resamples]
    return _mean(first, second, pairs, statistic), np.array(draws)


def _interval(value: float, draws: FloatArray) -> dict[str, float]:
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return {"value": round(float(value), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def _mean(
    first: FloatArray, second: FloatArray, pairs: Sequence[tuple[int, int]], statistic: Callable[..., Any]
) -> float:
    """The mean over pairs of replicates; a constant column has no rank correlation and counts as 0."""
    values = [
        0.0
        if np.ptp(first[row]) == 0 or np.ptp(second[column]) == 0
        else float(statistic(first[row], second[column])[0])
        for row, column in pairs
    ]
    return float(np.mean(values))


def given(values: FloatArray, known: FloatArray) -> FloatArray:
    """Ranks of the values without what the ranks of ``known`` explain linearly: for partial rank correlations."""
    design = np.column_stack([np.ones(len(values)), rankdata(known)])
    ranks = rankdata(values)
    solution, *_ = np.linalg.lstsq(design, ranks, rcond=None)
    left: FloatArray = ranks - design @ solution
    return left


def regret(flash: FloatArray, full: FloatArray, latency: FloatArray, floor: float) -> float:
    """Share of the hypervolume that is lost by training in full what is on the front of the flash scores.

    Args:
        flash: score per architecture by which is chosen, more is better.
        full: score that counts.
        latency: milliseconds, less is better; its logarithm is taken.
        floor: trivial score, the reference point together with the largest latency.
    """
    costs = np.log(latency)
    reference = (-floor, float(costs.max()) + 1e-9)
    chosen = non_dominated(np.column_stack([-flash, costs]))
    everything = np.column_stack([-full, costs])
    best = hypervolume(everything, reference)
    return 0.0 if best <= 0 else 1.0 - hypervolume(everything[chosen], reference) / best


def noise(scores: FloatArray) -> dict[str, float]:
    """Standard deviations of a score: over architectures, and of one run between seeds, where there are several.

    What a seed adds to the scores of all architectures alike (its stream of examples) changes no order among them, and
    is told apart: the largest difference of two seeds' means.
    """
    means = scores.mean(axis=1, keepdims=True)
    found = {"over_architectures": float(scores.mean(axis=0).std(ddof=1))}
    if len(scores) > 1:
        left = (scores - means) - (scores - means).mean(axis=0)
        free = (len(scores) - 1) * (scores.shape[1] - 1)
        found |= {"between_seeds": float(np.sqrt((left**2).sum() / free)), "shared_by_a_seed": float(np.ptp(means))}
    return {name: round(value, 5) for name, value in found.items()}


def _others(full: FloatArray, seeds: int, apart: bool) -> dict[int, FloatArray]:
    """Seed of a flash run -> mean of the full scores that it is held against; seeds without any are left out."""
    columns = {row: [column for column in range(len(full)) if not apart or column != row] for row in range(seeds)}
    return {row: full[chosen].mean(axis=0) for row, chosen in columns.items() if chosen}


def judge(
    flash: FloatArray, full: FloatArray, sizes: Mapping[str, FloatArray], latency: FloatArray, floor: float
) -> dict[str, Any]:
    """What is said about one fidelity; flash runs are held against full runs of other seeds, as the ceiling is.

    Args:
        flash: ``seeds x architectures``.
        full: the same seeds, or fewer of them.
        sizes: name -> what is known before training, per architecture.
        latency: milliseconds per architecture.
        floor: trivial score.
    """
    ceiling = correlations(full[:1], full[1:]) if len(full) > 1 else None
    apart = max(len(flash), len(full)) > 1  # one seed alone shows no noise at all
    predictor = correlations(flash, full, apart=apart)
    others = _others(full, len(flash), apart)
    found: dict[str, Any] = {
        "flash_with_full": predictor,
        "full_with_full_between_seeds": ceiling,
        "flash_with_flash_between_seeds": correlations(flash[:1], flash[1:]) if len(flash) > 1 else None,
        "flash_with_full_given_latency": correlations(
            *(np.stack([given(row, latency) for row in scores]) for scores in (flash, full)), apart=apart
        ),
        "predictors": {name: correlations(values, full) for name, values in sizes.items()},
        "flash_minus_predictors": leads(flash, full, sizes, apart=apart),
        "regret": round(
            float(np.mean([regret(flash[row], other, latency, floor) for row, other in others.items()])), 5
        ),
        # held against the same full scores as the flash runs
        "regret_of_log_flops": round(
            float(np.mean([regret(np.log(sizes["flops"]), other, latency, floor) for other in others.values()])), 5
        ),
        "noise": {"flash": noise(flash), "full": noise(full)},
    }
    if ceiling is not None and ceiling["spearman"]["value"] > 0:
        found["share_of_ceiling"] = round(predictor["spearman"]["value"] / ceiling["spearman"]["value"], 4)
    return found
