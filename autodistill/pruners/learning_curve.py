"""Stop what will not reach the Pareto front, by extrapolating its learning curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autodistill.components.pruning import PrunerContext, TrialCurve
from autodistill.pruners.ends import predict_end
from autodistill.pruners.extrapolation import StudentT
from autodistill.pruners.orientation import breaks, known_point, scored_point, split_objectives


class LearningCurvePruner:
    """Stops a trial whose end, seen with optimism, adds no hypervolume to the front.

    The end of the flash run is predicted from the curves of complete trials (`autodistill.pruners.ends`).
    The trial is stopped when the point of its known objectives and the upper confidence bounds of the scored ones is
    dominated by (or equal to) a feasible complete trial: its hypervolume contribution would be zero for any reference
    point. With one scored objective that says: the probability to enter the front is below ``1 - confidence``. A
    constraint on a score stops a trial likewise, once a complete trial satisfies it. What cannot be predicted (fewer
    complete trials than ``min_trials`` at the rung, NaN scores) goes on.

    Args:
        context: objectives and constraints.
        rungs: shares of a flash run, rising in (0, 1).
        confidence: of the bound, in (0.5, 1).
        min_trials: complete trials with a score at the rung that a prediction needs, >= 3.
    """

    def __init__(self, context: PrunerContext, *, rungs: Sequence[float], confidence: float, min_trials: int) -> None:
        self.context = context
        self.rungs = tuple(rungs)
        self.confidence = confidence
        self.min_trials = min_trials

    def stop_reason(self, trial: TrialCurve, others: Sequence[TrialCurve]) -> str | None:
        """Predict the scores at the end and compare their upper bounds with the front."""
        complete = [item for item in others if item.state == "complete"]
        feasible = [item for item in complete if not breaks(item, self.context.constraints)]
        if not trial.rungs or not feasible:
            return None
        return self._unreachable_bound(trial, complete) or self._dominated(trial, complete, feasible)

    def _unreachable_bound(self, trial: TrialCurve, complete: Sequence[TrialCurve]) -> str | None:
        for constraint in self.context.constraints:
            if constraint.metric in trial.known:
                continue
            end = predict_end(trial, complete, constraint.metric, self.min_trials)
            if end is not None and not constraint.holds(self._bound(end, maximise=constraint.sense == ">=")):
                return (
                    f"{self._position(trial)}: {constraint.metric} was unlikely to become {constraint.sense} "
                    f"{constraint.bound:.6g}, the constraint {constraint.label!r}."
                )
        return None

    def _dominated(
        self, trial: TrialCurve, complete: Sequence[TrialCurve], feasible: Sequence[TrialCurve]
    ) -> str | None:
        known, scored = split_objectives(self.context.objectives, trial)
        best = {}
        for objective in scored:
            end = predict_end(trial, complete, objective.metric, self.min_trials)
            if end is not None:
                best[objective.metric] = self._bound(end, maximise=objective.direction == "maximize")
        point = np.array([*known_point(trial, known), *scored_point(best, scored)])
        ends = np.array([[*known_point(item, known), *scored_point(item.final, scored)] for item in feasible])
        if not scored or not (ends <= point).all(axis=1).any():  # comparisons with NaN are false
            return None
        bounds = ", ".join(f"{metric} {value:.4g}" for metric, value in best.items())
        return (
            f"{self._position(trial)}: even at its upper confidence bound ({bounds} at the end) it would not have "
            f"entered the Pareto front."
        )

    def _bound(self, end: StudentT, maximise: bool) -> float:
        return end.quantile(self.confidence if maximise else 1.0 - self.confidence)

    def _position(self, trial: TrialCurve) -> str:
        return f"stopped at {100 * trial.rungs[-1].share:.0f} % of the flash run"
