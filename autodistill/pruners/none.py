"""The pruner that never stops a run."""

from __future__ import annotations

from collections.abc import Sequence

from autodistill.components.training import RungReport


class NonePruner:
    """Finishes every flash run.

    Args:
        rungs: shares of a flash run, rising in (0, 1), at which its learning curve is recorded.
    """

    def __init__(self, *, rungs: Sequence[float]) -> None:
        self.rungs = tuple(rungs)

    def should_stop(self, report: RungReport, finished: Sequence[RungReport]) -> bool:
        """Never."""
        return False
