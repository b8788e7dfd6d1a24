"""Stop what will not reach the Pareto front, by extrapolating its learning curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.pruning import PrunerContext, TrialCurve
from autodistill.pruners.extrapolation import StudentT, predict_gain
from autodistill.pruners.orientation import breaks, known_point, scored_point, split_objectives

if TYPE_CHECKING:
    from autodistill.pruners.orientation import FloatArray


class LearningCurvePruner:
    """Stops a trial whose end, seen with optimism, adds no hypervolume to the front.

    The end of the flash run is predicted from the curves of complete trials (`autodistill.pruners.extrapolation`).
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
            end = self.predict(trial, complete, constraint.metric)
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
            end = self.predict(trial, complete, objective.metric)
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

    def predict(self, trial: TrialCurve, complete: Sequence[TrialCurve], metric: str) -> StudentT | None:
        """The distribution of a scored metric at the end of the trial's flash run.

        Args:
            trial: with at least one rung.
            complete: trials that have ended; those without a score at the same rungs are left out.
            metric: name of the metric.

        Returns:
            None when it cannot be predicted.
        """
        rung = trial.rungs[-1].rung
        # In a fixed order: the last digits of a sum must not depend on the order in which trials are shown.
        rows = [item for item in sorted(complete, key=lambda item: item.trial) if _usable(item, rung, metric)]
        if not _usable(trial, rung, metric) or len(rows) < self.min_trials:
            return None
        scores = np.array([_scores(item, rung, metric) for item in (trial, *rows)])
        features = np.column_stack([scores, _size((trial, *rows))])
        gains = np.array([float(item.final[metric]) for item in rows]) - scores[1:, 0]
        if np.ptp(gains) <= 1e-9 * np.abs(gains).max():  # nothing to learn from: every run has gained the same
            return None
        gain = predict_gain(features[1:], gains, features[0])
        return StudentT(scores[0, 0] + gain.location, gain.scale, gain.degrees)


def _scores(trial: TrialCurve, rung: int, metric: str) -> list[float]:
    """The score at the rung, and the increment since the rung before where there is one."""
    values = [
        float(report.metrics.get(metric, math.nan)) if (report := trial.at(index)) is not None else math.nan
        for index in range(rung + 1)
    ]
    return [values[rung]] if rung == 0 else [values[rung], values[rung] - values[rung - 1]]


def _usable(trial: TrialCurve, rung: int, metric: str) -> bool:
    """Whether the scores that a prediction needs are numbers."""
    ends = trial.state != "complete" or math.isfinite(float(trial.final.get(metric, math.nan)))
    return ends and bool(np.isfinite(_scores(trial, rung, metric)).all())


def _size(trials: Sequence[TrialCurve]) -> FloatArray:
    """One number per trial for how large its architecture is: ``n x 1``, or ``n x 0`` when nothing is known of all.

    The first principal component of all known positive metrics in logs; they all grow together, and as many features
    as metrics would be too many for a few trials.
    """
    names = sorted(name for name in trials[0].known if all(item.known.get(name, 0.0) > 0 for item in trials))
    if not names:
        return np.empty((len(trials), 0))
    logs = np.log(np.array([[item.known[name] for name in names] for item in trials]))
    centred = logs - logs.mean(axis=0)
    spread = centred.std(axis=0)
    centred /= np.where(spread > 0, spread, 1.0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    component: FloatArray = centred @ directions[:1].T
    return component
