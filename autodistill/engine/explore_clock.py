"""Accounts the explore loop's wall-clock seconds while they pass, so that a killed process takes none of them along."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from autodistill.engine.storage import Storage

logger = logging.getLogger(__name__)

#: Stage of the storage's seconds that holds all of the loop's time; what ``budget.hours`` limits.
BUDGET_STAGE = "explore_loop"

#: Stage -> stages with an account of their own that pass inside it and are taken from it, so that stages add up.
INSIDE: Mapping[str, Sequence[str]] = {"explore": ("latency", "teacher_cache"), "distill": ("teacher_cache",)}

#: Seconds between two entries; a process that is killed loses at most so many.
BEAT_SECONDS = 20.0


class ExploreClock:
    """Runs while the explore loop does; a context manager.

    Args:
        storage: where seconds are accounted.
        study_id: of which study.
        now: monotonic seconds.
    """

    def __init__(self, storage: Storage, study_id: int, now: Callable[[], float] = time.monotonic) -> None:
        self._storage, self._study_id, self._now = storage, study_id, now
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._beats, name="autodistill-explore-clock", daemon=True)

    def __enter__(self) -> Self:
        self._inside_before = self._inside()
        self._started = self._now()
        self._accounted = {BUDGET_STAGE: 0.0, "explore": 0.0}
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self.beat()

    @property
    def seconds(self) -> float:
        """Seconds of exploring so far, of all processes of the study; final timings do not count."""
        with self._lock:
            unaccounted = self._now() - self._started - self._accounted[BUDGET_STAGE]
            return self._storage.seconds(self._study_id).get(BUDGET_STAGE, 0.0) + unaccounted

    def beat(self) -> None:
        """Account what has passed since the last time."""
        with self._lock:
            passed = self._now() - self._started
            elsewhere = self._inside() - self._inside_before
            for stage, total in ((BUDGET_STAGE, passed), ("explore", passed - elsewhere)):
                # Negative when a timing has ended that began before the last entry: the sum is what is right.
                self._storage.add_seconds(self._study_id, stage, total - self._accounted[stage])
                self._accounted[stage] = total

    def _inside(self) -> float:
        return self._storage.added_here(self._study_id, INSIDE["explore"])

    def _beats(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self.beat()
            except Exception:  # a database that is busy: the next entry holds these seconds too
                logger.exception("the seconds of exploring could not be written; trying again")
