"""Stopping on request: the first Ctrl-C asks, the second insists.

Lightning turns SIGINT during training into ``SystemExit(1)``; so the signal sets a flag of our own, training loops
ask it, and the engine ends between two steps with everything committed.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from autodistill.errors import StudyInterruptedError


class StopSignal:
    """A flag that SIGINT and SIGTERM set while the context is entered; handlers are put back on exit."""

    def __init__(self) -> None:
        self._requested = threading.Event()
        self._previous: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether somebody asked to stop."""
        return self._requested.is_set()

    def request(self) -> None:
        """Ask to stop."""
        self._requested.set()

    def check(self) -> None:
        """Raise `StudyInterruptedError` when a stop was requested; how to go on is added further up."""
        if self.requested:
            raise StudyInterruptedError("Interrupted; every finished step is kept.")

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self._requested.set()
