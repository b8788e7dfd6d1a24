"""How sure a number is: intervals of scores, paired comparisons, rank correlations.

Everything works on per-example arrays (`autodistill.components.outcome.Score.per_example`). Intervals are of the
sampling of examples; the spread between training seeds is not in them. Nothing here draws from a global generator.

.. [Wilson1927] Probable inference, the law of succession, and statistical inference. JASA 22.
.. [Hesterberg2015] What teachers should know about the bootstrap. The American Statistician 69: few units vary less
   among resamples than among samples.
.. [BonettPrice2012] Adjusted Wald confidence interval for a difference of binomial proportions based on paired data.
   Journal of Educational and Behavioral Statistics 37.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from autodistill.components.outcome import FloatArray

#: One number per trial; NaN where there is none.
Column: TypeAlias = "FloatArray | Sequence[float]"

#: Share of cases in which an interval is to cover the truth.
LEVEL = 0.95

#: Resamples of a bootstrap: the 2.5 % quantile of so many is itself within 0.3 percentage points.
RESAMPLES = 10_000

#: Below this many pairs a rank correlation says nothing.
LEAST_PAIRS = 8

#: Distinct values up to which resamples are drawn as counts of values, which takes no memory per example.
_FEW = 64

#: Units below which resamples take too few values to reach as far as Student's t, whose interval then counts too.
FEW_UNITS = 10

#: Numbers that a chunk of resamples may hold, 8 bytes each.
_CHUNK = 4_000_000


def interval(score: FloatArray, level: float = LEVEL, *, share: bool = True) -> tuple[float, float]:
    """Confidence interval of the mean of per-example contributions.

    Wilson's score interval [Wilson1927]_ of a share when all are 0 or 1, else Student's t.

    Args:
        score: examples.
        level: coverage, in (0, 1).
        share: whether the mean is, or may be, a share; losses may be 0 or 1 by chance.

    Returns:
        (low, high); NaN where nothing can be said: no example, a single one that is neither 0 nor 1, or equal values
        of what is no share.
    """
    values = np.asarray(score, dtype=np.float64)
    n = len(values)
    if n and share and np.all((values == 0) | (values == 1)):
        return wilson(int(values.sum()), n, level)
    if n < 2:  # one value has no spread
        return math.nan, math.nan
    if not share and np.ptp(values) == 0:  # equal losses are no proof that all are equal
        return math.nan, math.nan
    half = float(stats.t.ppf((1 + level) / 2, n - 1) * values.std(ddof=1) / math.sqrt(n))
    return float(values.mean()) - half, float(values.mean()) + half


def least_share(shares: FloatArray, numbers: FloatArray, level: float = LEVEL) -> tuple[float, float]:
    """Confidence interval of the least of several proportions, which is at least as wide as its level says.

    Their intervals hold at once (Bonferroni), so the least of them lies between the least low and the least high end.

    Args:
        shares: proportions that were found.
        numbers: of examples that each was found in, > 0.
        level: coverage, in (0, 1).
    """
    each = 1 - (1 - level) / len(shares)
    ends = [wilson(share * n, n, each) for share, n in zip(shares.tolist(), numbers.tolist(), strict=True)]
    return min(low for low, _ in ends), min(high for _, high in ends)


def wilson(successes: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval of a proportion: ``successes`` of ``n`` > 0."""
    z = z_of(level)
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # At the ends the interval reaches them exactly; rounding must not move it past.
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == n else centre + half)


def z_of(level: float) -> float:
    """Half width of the interval of this coverage, in standard deviations of a normal distribution."""
    return float(stats.norm.ppf((1 + level) / 2))


def paired_difference(
    a: FloatArray, b: FloatArray, seed: int, *, level: float = LEVEL, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """Mean of ``a - b`` over the same examples, with its interval.

    A percentile bootstrap over examples (`percentile_interval`). When every difference is -1, 0 or 1 (right and wrong
    answers) and few differ, the bootstrap is too sure of itself (4 answers to 0 of 872 would count as a proof), so the
    interval is widened to that of [BonettPrice2012]_ where that one reaches further.

    Args:
        a: examples, contributions whose mean is the metric.
        b: the same examples in the same order.
        seed: of the resampling.
        level: coverage, in (0, 1).
        resamples: of the bootstrap.

    Returns:
        (difference, low, high); low and high are NaN below two examples.

    Raises:
        ValueError: shapes differ, or there are no examples.
    """
    left, right = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 1 or len(left) == 0:
        raise ValueError(f"Paired scores must have one entry for each example, got {left.shape} and {right.shape}.")
    differences = left - right
    difference = float(differences.mean())
    if len(differences) < 2 or not np.all(np.isfinite(differences)):
        return difference, math.nan, math.nan
    means = np.concatenate(list(_resampled_means(differences, seed, resamples)))
    low, high = percentile_interval(means, difference, len(differences), level)
    if np.all(np.isin(differences, (-1, 0, 1))):
        adjusted = _adjusted_wald(differences, level)
        low, high = min(low, adjusted[0]), max(high, adjusted[1])
    return difference, low, high


def percentile_interval(values: FloatArray, centre: float, units: int, level: float = LEVEL) -> tuple[float, float]:
    """Percentile interval of a bootstrap, expanded to the width of Student's t [Hesterberg2015]_.

    Args:
        values: of the resamples.
        centre: the estimate.
        units: that were resampled, >= 2.
        level: coverage, in (0, 1).
    """
    reach = math.sqrt(units / (units - 1)) * float(stats.t.ppf((1 + level) / 2, units - 1))
    low, high = (float(value) for value in np.quantile(values, stats.norm.cdf([-reach, reach])))
    if units < FEW_UNITS:
        half = reach * float(np.std(values))
        low, high = min(low, centre - half), max(high, centre + half)
    return low, high


def _resampled_means(values: FloatArray, seed: int, resamples: int) -> Iterator[FloatArray]:
    """Means of bootstrap samples, chunk by chunk."""
    generator = np.random.default_rng(seed)
    n = len(values)
    distinct, counts = np.unique(values, return_counts=True)
    few = len(distinct) <= _FEW
    chunk = max(1, _CHUNK // (len(distinct) if few else n))
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        if few:  # how often each value is drawn is multinomial: the same distribution, and much faster
            yield generator.multinomial(n, counts / n, size=size) @ distinct / n
        else:
            yield values[generator.integers(0, n, size=(size, n))].mean(axis=1)


def _adjusted_wald(differences: FloatArray, level: float) -> tuple[float, float]:
    """Interval for a difference of paired proportions after adding one to each kind of discordant pair."""
    n = len(differences) + 2
    gained, lost = (np.count_nonzero(differences > 0) + 1) / n, (np.count_nonzero(differences < 0) + 1) / n
    half = z_of(level) * math.sqrt((gained + lost - (gained - lost) ** 2) / n)
    return gained - lost - half, gained - lost + half


def retained_ratio(value: float, reference: float) -> float | None:
    """Share of the reference's quality that is kept; None when the reference has none or either is no number."""
    if not (math.isfinite(value) and math.isfinite(reference)) or reference <= 0:
        return None
    return value / reference


def spearman(a: Column, b: Column) -> float | None:
    """Spearman's rank correlation; None below `LEAST_PAIRS` finite pairs or when one side is constant."""
    return _correlation(stats.spearmanr, a, b)


def kendall(a: Column, b: Column) -> float | None:
    """Kendall's tau-b; None below `LEAST_PAIRS` finite pairs or when one side is constant."""
    return _correlation(stats.kendalltau, a, b)


def rank_correlations(a: Column, b: Column) -> tuple[float | None, float | None]:
    """Spearman's and Kendall's, each as above."""
    return spearman(a, b), kendall(a, b)


def _finite_pairs(a: Column, b: Column) -> tuple[FloatArray, FloatArray]:
    left, right = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 1:
        raise ValueError(f"A rank correlation needs two columns of one length, got {left.shape} and {right.shape}.")
    finite = np.isfinite(left) & np.isfinite(right)
    return left[finite], right[finite]


def _correlation(method: Callable[..., Any], a: Column, b: Column) -> float | None:
    left, right = _finite_pairs(a, b)
    if len(left) < LEAST_PAIRS or np.all(left == left[0]) or np.all(right == right[0]):
        return None
    return float(method(left, right).statistic)
