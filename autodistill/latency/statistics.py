"""Statistics of timings: medians with distribution-free intervals, percentiles, and what they add up to.

Samples form a table, passes x lengths: every pass sends one request of each length of the workload. Nothing is
dropped from it. The *median request* is the median over the lengths of the median of each length: with one length
the plain median, with several the middle of the lengths without the gap between two lengths deciding it. Percentiles
above it are those of all requests.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Samples from which a 99th percentile is bounded at 95 %: 1 - 0.99^300 = 0.951 of runs have a sample beyond it.
MINIMUM_FOR_P99 = 300

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


def median_request(table: FloatArray) -> float:
    """The median request of a passes x lengths table."""
    return float(np.median(np.median(table, axis=0)))


def relative_half_width(table: FloatArray) -> float | None:
    """Half of the 95 % interval of the median request, relative to it; None below 6 passes.

    The interval's ends are the medians over the lengths of the ends of each length's interval; the median over the
    lengths grows with each of them, so the coverage is that of one length or better.

    Args:
        table: passes x lengths, in any unit.
    """
    rank = lower_rank(len(table))
    if rank == 0:
        return None
    ordered = np.sort(table, axis=0)
    low, high = np.median(ordered[rank - 1]), np.median(ordered[-rank])
    return float((high - low) / 2 / median_request(table))


def ratio(table: FloatArray, reference: FloatArray) -> float:
    """How long a request takes relative to the reference: per length the ratio of medians, their geometric mean.

    With one length that is the ratio of the medians. With several it uses the samples of all lengths, where the
    median request rests on one or two: several times steadier on a busy machine.

    Args:
        table: passes x lengths.
        reference: passes x lengths, timed in turn with ``table``; the number of passes may differ.
    """
    ratios = np.median(table, axis=0) / np.median(reference, axis=0)
    return float(np.exp(np.log(ratios).mean()))


def summarise(table: FloatArray, batch_size: int) -> dict[str, Any]:
    """The numbers of a latency report.

    Args:
        table: passes x lengths, milliseconds per request.
        batch_size: sequences per request.

    Returns:
        ``median``, ``p90``, ``p99`` (None below `MINIMUM_FOR_P99` requests), ``relative_half_width``, ``n`` requests,
        ``throughput`` in sequences per second.
    """
    n = int(table.size)
    median = median_request(table)
    return {
        "median": median,
        "n": n,
        # With two or more lengths at most a quarter of the requests need lie above the median request.
        "p90": max(median, float(np.quantile(table, 0.9))),
        "p99": max(median, float(np.quantile(table, 0.99))) if n >= MINIMUM_FOR_P99 else None,
        "relative_half_width": relative_half_width(table),
        "throughput": batch_size * n / float(table.sum()) * 1000,  # 1000 ms per second
    }
