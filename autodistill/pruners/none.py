"""The pruner that never stops a run."""

from __future__ import annotations

from collections.abc import Sequence

from autodistill.components.pruning import PrunerContext, TrialCurve


class NonePruner:
    """Finishes every flash run.

    Args:
        context: not needed.
        rungs: shares of a flash run, rising in (0, 1), at which its learning curve is recorded.
    """

    def __init__(self, context: PrunerContext, *, rungs: Sequence[float]) -> None:
        self.rungs = tuple(rungs)

    def stop_reason(self, trial: TrialCurve, others: Sequence[TrialCurve]) -> str | None:
        """Never a reason."""
        return None
