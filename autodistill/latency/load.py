"""Offered load: requests that arrive at random and are answered in batches, from measured times of batches.

One model, one device: batches are answered one after the other, so response times follow from arrivals and from how
long a batch takes. The latter is measured (or computed from a data sheet); the queue is simulated with a fixed seed,
which makes a search for the highest rate within a limit cheap, and repeatable. Requests that arrive while the model is
busy wait, and leave together, `max_batch` at most, padded to the longest of them. Real servers add their own overhead.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodistill.components.latency import Load
from autodistill.latency.statistics import MINIMUM_FOR_P99, FloatArray

#: Simulated requests, after as many tenths of them for a queue to fill.
REQUESTS = 20_000

#: The search for the highest rate ends at this relative width.
RATE_PRECISION = 0.005

MILLISECONDS, SECONDS_PER_HOUR, MILLION = 1000.0, 3600.0, 1e6


@dataclass(frozen=True)
class Service:
    """How long batches take.

    Args:
        lengths: ascending; every request has one of them, all equally likely.
        times: batch size -> passes x lengths, milliseconds. A batch is run at the next size there is.
        measured: whether the times are samples with noise, of which a 99th percentile needs many.
    """

    lengths: tuple[int, ...]
    times: Mapping[int, FloatArray]
    measured: bool = True

    @property
    def capacity(self) -> float:
        """Requests per second that are answered when requests never lack: the batches are then the largest."""
        largest = max(self.times)
        return largest * MILLISECONDS / self._mean_of_longest(largest)

    @property
    def bounds_p99(self) -> bool:
        """Whether every batch size has the `MINIMUM_FOR_P99` requests that a 99th percentile needs."""
        return not self.measured or min(table.size for table in self.times.values()) >= MINIMUM_FOR_P99

    def _mean_of_longest(self, size: int) -> float:
        """Mean milliseconds of a batch padded to the longest of ``size`` random lengths."""
        count = len(self.lengths)
        below = (np.arange(count + 1) / count) ** size
        return float((np.diff(below) * self.times[size].mean(axis=0)).sum())


def batch_sizes(load: Load) -> list[int]:
    """Powers of two up to the largest batch, and the largest: the sizes whose times are needed."""
    powers = [2**power for power in range(load.max_batch.bit_length())]
    return sorted({size for size in powers if size < load.max_batch} | {load.max_batch})


def response_times(service: Service, load: Load, rate: float, requests: int = REQUESTS) -> FloatArray:
    """Milliseconds between arrival and answer of simulated requests, in the order of arrival.

    Args:
        service: how long batches take; has `batch_sizes` of the load.
        load: batching.
        rate: requests per second.
        requests: how many; the first tenth is left out.
    """
    generator = np.random.default_rng(0)
    arrivals = np.cumsum(generator.exponential(MILLISECONDS / rate, requests))
    places = generator.integers(len(service.lengths), size=requests).tolist()
    draws = generator.random(requests).tolist()
    sizes = sorted(service.times)
    tables = [service.times[next(size for size in sizes if size >= count)] for count in range(1, load.max_batch + 1)]
    rows = [table.tolist() for table in tables]
    moments: list[float] = arrivals.tolist()
    answered = np.empty(requests)
    free, first = 0.0, 0
    while first < requests:
        start = _start(moments, first, free, load)
        count = max(1, min(load.max_batch, bisect_right(moments, start, first) - first))
        samples = rows[count - 1]
        free = start + samples[int(draws[first] * len(samples))][max(places[first : first + count])]
        answered[first : first + count] = free
        first += count
    return (answered - arrivals)[requests // 10 :]


def _start(arrivals: Sequence[float], first: int, free: float, load: Load) -> float:
    """When the batch that begins with request ``first`` is started."""
    ready = max(free, arrivals[first])
    last = first + load.max_batch - 1
    full = arrivals[last] if last < len(arrivals) else math.inf
    return max(ready, min(full, arrivals[first] + load.max_wait_ms))


def highest_rate(service: Service, load: Load, limit_ms: float) -> float:
    """Requests per second up to which 99 of 100 are answered within ``limit_ms``; 0 when a lone one is not."""

    def within(rate: float) -> bool:
        return float(np.quantile(response_times(service, load, rate), 0.99)) <= limit_ms

    low, high = 0.0, service.capacity
    slow = high / MILLISECONDS  # hardly ever two requests at once
    if not within(slow):
        return 0.0
    low = slow
    while high - low > RATE_PRECISION * high:
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle) else (low, middle)
    return low


def under_load(service: Service, load: Load, flags: Sequence[str] = ()) -> dict[str, Any]:
    """The fields of a report that tell of offered load.

    What rests on a 99th percentile is told only where the service `bounds_p99` (else the flag ``few_requests``); no
    response times are told of more requests than can be answered, which wait ever longer (the flag ``overloaded``).

    Args:
        service: how long batches take.
        load: batching, rate, limit and price.
        flags: that the report has already.
    """
    found: dict[str, Any] = {"flags": [*flags]}
    rate = load.requests_per_second
    if not service.bounds_p99:
        found["flags"].append("few_requests")
    elif load.p99_limit_ms is not None:
        highest = highest_rate(service, load, load.p99_limit_ms)
        found["throughput_at_p99"] = highest
        rate = rate or highest or None
        if load.price_per_hour is not None and highest > 0:
            found["cost_per_million"] = load.price_per_hour / SECONDS_PER_HOUR / highest * MILLION
    if rate is not None and rate >= service.capacity:
        found["flags"].append("overloaded")
    elif rate is not None:
        times = response_times(service, load, rate)
        found["loaded_p50_ms"] = float(np.median(times))
        if service.bounds_p99:
            found["loaded_p99_ms"] = float(np.quantile(times, 0.99))
    return found
