"""Statistics of timings: medians with distribution-free intervals, percentiles, and what they add up to.

Samples form a table, passes x lengths: every pass sends one request of each length of the workload. Nothing is
dropped from it. The *median request* is the median over the lengths of the median of each length: with one length
the plain median, with several the middle of the lengths without the gap between two lengths deciding it. Percentiles
above it are those of all requests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Samples from which a 99th percentile is bounded at 95 %: 1 - 0.99^300 = 0.951 of runs have a sample beyond it.
MINIMUM_FOR_P99 = 300

#: Flag of a report -> what it says.
FLAGS: Mapping[str, str] = {
    "imprecise": "the interval is wider than was asked for, or unknown",
    "throttled": "requests took longer and longer: the processor was slowed down, or the machine was busy",
    "outliers": "many requests took far longer than the median",
    "few_requests": "fewer requests of a batch size than a 99th percentile needs: nothing that rests on one is told",
    "lower_bound": "what the data sheet lacks (launching, elementwise or on-chip rates) costs nothing here",
    "below_floor": "less than the data sheet says that any request takes",
    "oversubscribed": "more threads than this process may use cores: they wait for one another",
    "overloaded": "requests arrive faster than they can be answered: they wait ever longer",
}

#: A machine that slows down: the last third of the passes takes this share longer than the first, intervals apart.
THROTTLED = 0.05

#: An outlier is this many times the median of its length; this share of outliers is flagged.
OUTLIER_FACTOR = 2.0
OUTLIER_SHARE = 0.02

#: Quantile of the requests of a length that stands for those which nothing else on the machine disturbed.
UNDISTURBED = 0.1

#: Above this many samples the normal approximation of the binomial is used; its ranks differ by at most one.
_EXACT_BINOMIAL = 1000


@cache
def lower_rank(n: int, confidence: float = 0.95) -> int:
    """Rank l (from 1) such that the l-th smallest and l-th largest of n samples enclose the median.

    Whatever the distribution, ``P(x_(l) <= median <= x_(n+1-l)) >= confidence``, from the binomial distribution of
    the number of samples below the median (David and Nagaraja, Order Statistics, 3rd ed., section 7.1). 0 when n is
    too small for any.
    """
    tail = (1 - confidence) / 2
    if n > _EXACT_BINOMIAL:
        from statistics import NormalDist

        return math.floor((n - NormalDist().inv_cdf(1 - tail) * math.sqrt(n)) / 2)
    rank, cumulative, term = 0, 0, 1  # term = C(n, rank)
    while cumulative + term <= tail * 2**n:
        cumulative += term
        term = term * (n - rank) // (rank + 1)
        rank += 1
    return rank


def median_interval(samples: FloatArray, confidence: float = 0.95) -> tuple[float, float] | None:
    """Interval that holds the median with at least this confidence; None for too few samples (6 at 95 %).

    Args:
        samples: n, any order.
        confidence: in (0, 1).
    """
    rank = lower_rank(len(samples), confidence)
    if rank == 0:
        return None
    ordered = np.sort(samples)
    return float(ordered[rank - 1]), float(ordered[-rank])


def quantile_interval(samples: FloatArray, share: float, confidence: float = 0.95) -> tuple[float, float] | None:
    """Order statistics below and above the quantile of ``share``, each with at least this confidence by itself.

    From the binomial distribution of the number of samples below the quantile, whatever the distribution (David and
    Nagaraja, Order Statistics, 3rd ed., section 7.1). Both ends together hold with at least ``2 confidence - 1``.

    Args:
        samples: n, any order.
        share: of the samples below the quantile, in (0, 1).
        confidence: of each end, in (0, 1).

    Returns:
        (low, high); None where even the least or the largest sample is not beyond it with that confidence.
    """
    n = len(samples)
    counts = np.arange(n)
    steps = np.log((n - counts) / (counts + 1)) + math.log(share / (1 - share))
    logs = n * math.log(1 - share) + np.concatenate([[0.0], np.cumsum(steps)])  # of P(count), count = 0 ... n
    below = np.cumsum(np.exp(logs))  # P(samples below the quantile <= count)
    low = int((below <= 1 - confidence).sum())  # rank from 1: it lies above with P(count <= rank - 1)
    above = np.flatnonzero(1 - below <= 1 - confidence)  # rank - 1: it lies below with P(count >= rank)
    if low == 0 or not len(above) or above[0] >= n:
        return None
    ordered = np.sort(samples)
    return float(ordered[low - 1]), float(ordered[above[0]])


def median_request(table: FloatArray) -> float:
    """The median request of a passes x lengths table."""
    return float(np.median(np.median(table, axis=0)))


def relative_half_width(table: FloatArray, turns: Sequence[int] = ()) -> float | None:
    """Half of the 95 % interval of the median request, relative to it; None below 6 passes.

    The interval's ends are the medians over the lengths of the ends of each length's interval; the median over the
    lengths grows with each of them, so the coverage is that of one length or better. That takes passes for
    independent. Those of a turn are not: they share what the machine did meanwhile. So the interval is at least that
    of the mean of the turns' medians, by Student's t.

    Args:
        table: passes x lengths, in any unit, in the order of time.
        turns: passes of each turn, adding up to those of the table; fewer than two say nothing about turns.
    """
    rank = lower_rank(len(table))
    if rank == 0:
        return None
    ordered = np.sort(table, axis=0)
    low, high = np.median(ordered[rank - 1]), np.median(ordered[-rank])
    return max(float((high - low) / 2), _between(table, turns)) / median_request(table)


def _between(table: FloatArray, turns: Sequence[int]) -> float:
    """Half of the 95 % interval of the mean of the turns' medians; 0 below two turns."""
    if len(turns) < 2:
        return 0.0
    from scipy.special import stdtrit

    medians = [median_request(part) for part in np.split(table, np.cumsum(turns)[:-1])]
    return float(stdtrit(len(medians) - 1, 0.975) * np.std(medians, ddof=1) / math.sqrt(len(medians)))


def drift(table: FloatArray) -> float:
    """How much longer the last third of the passes takes than the first, relative; 0 when that may be chance.

    It is told when the two thirds' 95 % intervals of the median do not overlap; below 18 passes a third has none.

    Args:
        table: passes x lengths, in the order of time.
    """
    third = len(table) // 3
    # A pass as a whole, each length relative to its median: lengths weigh the same.
    passes = (table / np.median(table, axis=0)).mean(axis=1)
    first, last = passes[:third], passes[len(passes) - third :]
    intervals = [median_interval(part) if len(part) else None for part in (first, last)]
    if intervals[0] is None or intervals[1] is None:
        return 0.0
    (low, high), (late_low, late_high) = intervals[0], intervals[1]
    apart = late_low > high or late_high < low
    return float(np.median(last) / np.median(first) - 1) if apart else 0.0


def flags(table: FloatArray, width: float | None, target_relative_half_width: float) -> list[str]:
    """Reasons for care with these timings, of `FLAGS`.

    Args:
        table: passes x lengths, in the order of time.
        width: their `relative_half_width`.
        target_relative_half_width: what was asked for.
    """
    outliers = float((table > OUTLIER_FACTOR * np.median(table, axis=0)).mean())
    found = {
        "imprecise": width is None or width > target_relative_half_width,
        "throttled": drift(table) > THROTTLED,
        "outliers": outliers > OUTLIER_SHARE,
    }
    return [name for name, holds in found.items() if holds]


def ratio(table: FloatArray, reference: FloatArray) -> float:
    """How long an undisturbed request takes relative to the reference: per length of `UNDISTURBED`, geometric mean.

    Whatever else a machine does only adds time, to some requests and not to others, and to one model more than to the
    other; the fast tenth is what both take when left alone. `benchmarks.latency.repeatability` tells how far apart
    ratios of minutes apart are.

    Args:
        table: passes x lengths.
        reference: passes x lengths, timed in turn with ``table``; the number of passes may differ.
    """
    own, other = (np.quantile(item, UNDISTURBED, axis=0) for item in (table, reference))
    return float(np.exp(np.log(own / other).mean()))


def summarise(table: FloatArray, batch_size: int, turns: Sequence[int] = ()) -> dict[str, Any]:
    """The numbers of a latency report.

    Args:
        table: passes x lengths, milliseconds per request.
        batch_size: sequences per request.
        turns: passes of each turn.

    Returns:
        ``median``, ``p90``, ``p99`` (None below `MINIMUM_FOR_P99` requests), their ``p90_interval`` and
        ``p99_interval`` (`quantile_interval`), ``relative_half_width``, ``n`` requests, ``throughput`` in sequences per
        second.
    """
    n, every = int(table.size), table.ravel()
    median = median_request(table)
    return {
        "median": median,
        "n": n,
        # With two or more lengths at most a quarter of the requests need lie above the median request.
        "p90": max(median, float(np.quantile(table, 0.9))),
        "p90_interval": quantile_interval(every, 0.9),
        "p99": max(median, float(np.quantile(table, 0.99))) if n >= MINIMUM_FOR_P99 else None,
        "p99_interval": quantile_interval(every, 0.99) if n >= MINIMUM_FOR_P99 else None,
        "relative_half_width": relative_half_width(table, turns),
        "throughput": batch_size * n / float(table.sum()) * 1000,  # 1000 ms per second
    }
