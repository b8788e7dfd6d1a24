"""Timing one model: warm-up until steady, then in turn with the reference until the median is known.

Runs in the worker process; wall clock. A *pass* sends one request of every length. Candidate and reference take
turns (A B A B ...), so that a machine that slows down slows both. The first request after a switch is not
timed: it finds the other model's weights in the processor's caches.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodistill.latency.statistics import FloatArray, relative_half_width

#: Runs one prepared request to its end (synchronised).
Run = Callable[[Any], None]

#: Seconds of one turn: long against a switch, short against drift of clock rates.
TURN_SECONDS = 0.1

#: The same where little time is given: many turns matter more then than what switches cost.
SHORT_TURN_SECONDS = 0.03

#: Turns that a model gets at least: what differs between them (what else runs, clock rates) is in the interval.
LEAST_TURNS = 5

#: Passes that a slow model gets at least, as its interval needs them, unless it takes so many times ``max_seconds``.
LEAST_PASSES = 6
OVERTIME = 5.0

#: Warm-up ends when a pass is not this much faster than the best before it, and takes this share of the time at most.
STEADY = 0.05
WARM_UP_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """When to stop timing; fields as in the backends' configuration.

    ``min_requests`` are made in all, whatever ``max_seconds`` says. `LEAST_TURNS` and `LEAST_PASSES` are made as well,
    unless the first take longer than ``max_seconds`` and the second `OVERTIME` times as long. A turn takes
    ``turn_seconds``, or one pass.
    """

    target_relative_half_width: float
    max_seconds: float
    min_repeats: int
    min_requests: int = 0
    turn_seconds: float = TURN_SECONDS


@dataclass(frozen=True, slots=True)
class Timings:
    """What was timed, in milliseconds per request.

    Args:
        table: passes x lengths, in the order of time.
        turns: passes of each turn.
        reference: passes x lengths of the reference; None without one.
    """

    table: FloatArray
    turns: tuple[int, ...]
    reference: FloatArray | None


@dataclass(frozen=True, slots=True)
class Timed:
    """A runner's ``run`` and its prepared requests, one per length."""

    run: Run
    requests: Sequence[Any]

    def time_pass(self) -> list[float]:
        """Milliseconds of one request of each length."""
        times = []
        for request in self.requests:
            start = time.perf_counter()
            self.run(request)
            times.append((time.perf_counter() - start) * 1000)
        return times


def _silent() -> None:
    """Tells nobody anything."""


def warm_up(model: Timed, max_seconds: float, alive: Callable[[], None] = _silent) -> None:
    """Run passes until they no longer get faster, two at least.

    Args:
        model: what is warmed up.
        max_seconds: of its timing, of which this takes a share.
        alive: called after every pass.
    """

    def one() -> float:
        milliseconds = sum(model.time_pass())
        alive()
        return milliseconds

    end = time.perf_counter() + max_seconds * WARM_UP_SHARE
    best, last = one(), one()
    while last < best * (1 - STEADY) and time.perf_counter() < end:
        best, last = last, one()


def measure(
    candidate: Timed, reference: Timed | None, rule: StoppingRule, alive: Callable[[], None] = _silent
) -> Timings:
    """Time ``candidate`` in turn with ``reference``.

    Args:
        candidate: what is timed.
        reference: what it is compared with, or None.
        rule: when to stop.
        alive: called while no clock runs, so that never more than a pass and a turn go by without it: tells who waits
            that this has not stopped.
    """
    candidate_passes: list[list[float]] = []
    reference_passes: list[list[float]] = []
    turns: list[int] = []
    with _no_collection():
        warm_up(candidate, rule.max_seconds, alive)
        start = time.perf_counter()
        while not _enough(candidate_passes, turns, time.perf_counter() - start, rule):
            passes = _turn(candidate, rule.turn_seconds, alive, switched=reference is not None)
            candidate_passes += passes
            turns.append(len(passes))
            alive()
            if reference is not None:
                reference_passes += _turn(reference, rule.turn_seconds, alive, switched=True)
                alive()
    return Timings(
        np.array(candidate_passes),
        tuple(turns),
        np.array(reference_passes) if reference is not None else None,
    )


def _turn(model: Timed, seconds: float, alive: Callable[[], None], *, switched: bool) -> list[list[float]]:
    if switched:
        start = time.perf_counter()
        model.run(model.requests[0])
        if time.perf_counter() - start > seconds:  # not of a fast model, whose next request it would slow down
            alive()
    end = time.perf_counter() + seconds
    passes = [model.time_pass()]
    while time.perf_counter() < end:
        passes.append(model.time_pass())
    return passes


def _enough(passes: list[list[float]], turns: Sequence[int], seconds: float, rule: StoppingRule) -> bool:
    if not passes or len(passes) * len(passes[0]) < rule.min_requests:
        return False
    if seconds >= rule.max_seconds:
        return len(passes) >= LEAST_PASSES or seconds >= OVERTIME * rule.max_seconds
    if len(turns) < LEAST_TURNS or len(passes) < rule.min_repeats:
        return False
    width = relative_half_width(np.array(passes), turns)
    return width is not None and width <= rule.target_relative_half_width


@contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection while the clock runs."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
