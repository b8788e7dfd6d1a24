"""The pruner that never stops a run."""

from __future__ import annotations

from collections.abc import Sequence

from autodistill.components.training import RungReport


class NonePruner:
    """Finishes every flash run; has no rungs, so nothing is scored on the way."""

    rungs: tuple[float, ...] = ()

    def should_stop(self, report: RungReport, finished: Sequence[RungReport]) -> bool:
        """Never."""
        return False
