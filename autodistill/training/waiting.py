"""What a process does while another one makes what both need."""

from __future__ import annotations

import logging
from collections.abc import Callable

from autodistill.errors import StudyInterruptedError

logger = logging.getLogger(__name__)


class WhileAnotherWorks:
    """Called again and again by a process that waits: says so once, and ends the waiting when a stop is requested.

    Args:
        work: what the other process does, e.g. ``"tokenises the data"``.
        stop_requested: whether to wait no longer; None: never.
        tell: what is said goes there; None: to the log.
    """

    def __init__(
        self,
        work: str,
        stop_requested: Callable[[], bool] | None = None,
        tell: Callable[[str], object] | None = None,
    ) -> None:
        self._work, self._stop_requested = work, stop_requested
        self._tell = tell or logger.warning
        self._told = False

    def __call__(self) -> None:
        """Look whether to go on waiting.

        Raises:
            StudyInterruptedError: a stop was requested.
        """
        if self._stop_requested is not None and self._stop_requested():
            raise StudyInterruptedError(f"Interrupted while another process {self._work}.")
        if not self._told:
            self._told = True
            self._tell(f"Another process {self._work}; this one waits for it.")
