"""Where flash runs will end, from those that have ended: for pruners, and for strategies that read a history."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.pruning import TrialCurve
from autodistill.components.search import History
from autodistill.pruners.extrapolation import StudentT, predict_gain

if TYPE_CHECKING:
    from autodistill.pruners.orientation import FloatArray

#: Complete trials that an estimate for a strategy needs.
MIN_TRIALS = 6


@dataclass(frozen=True)
class _Comparable:
    """Ended trials that were scored at the same rungs.

    Args:
        scores: ``n x features`` of `_scores`.
        gains: ``n``: what each gained from the rung to the end.
        names: known metrics that are positive and finite for all of them.
        logs: ``n x names``, their logarithms.
    """

    scores: FloatArray
    gains: FloatArray
    names: tuple[str, ...]
    logs: FloatArray


class Ended:
    """What trials that have ended say of those that have not.

    Args:
        complete: trials that have ended.
        metric: name of the metric.
    """

    def __init__(self, complete: Sequence[TrialCurve], metric: str) -> None:
        # In a fixed order: the last digits of a sum must not depend on the order in which trials are shown.
        self.complete, self.metric = sorted(complete, key=lambda item: item.trial), metric
        self._comparable: dict[tuple[int, tuple[float, ...]], _Comparable] = {}

    def predict(self, trial: TrialCurve, min_trials: int) -> StudentT | None:
        """See `predict_end`."""
        rung = trial.rungs[-1].rung
        if not _usable(trial, rung, self.metric):
            return None
        rows = self._of(rung, tuple(_shares(trial, rung)))
        gains = rows.gains
        if len(gains) < min_trials:
            return None
        if np.ptp(gains) <= 1e-9 * np.abs(gains).max():  # nothing to learn from: every run has gained the same
            return None
        scores = np.array([_scores(trial, rung, self.metric)])
        features = np.column_stack([np.vstack([scores, rows.scores]), _size(trial, rows)])
        gain = predict_gain(features[1:], gains, features[0])
        return StudentT(scores[0, 0] + gain.location, gain.scale, gain.degrees)

    def _of(self, rung: int, shares: tuple[float, ...]) -> _Comparable:
        if (rung, shares) not in self._comparable:
            self._comparable[rung, shares] = self._find(rung, shares)
        return self._comparable[rung, shares]

    def _find(self, rung: int, shares: tuple[float, ...]) -> _Comparable:
        rows = [
            item for item in self.complete if _usable(item, rung, self.metric) and tuple(_shares(item, rung)) == shares
        ]
        if not rows:
            return _Comparable(np.empty((0, 1)), np.empty(0), (), np.empty((0, 0)))
        scores = np.array([_scores(item, rung, self.metric) for item in rows])
        ends = np.array([float(item.final[self.metric]) for item in rows])
        everywhere = set.intersection(*(set(item.known) for item in rows))
        names = tuple(sorted(name for name in everywhere if all(_is_size(item.known[name]) for item in rows)))
        logs = np.log(np.array([[item.known[name] for name in names] for item in rows]).reshape(len(rows), len(names)))
        return _Comparable(scores, ends - scores[:, 0], names, logs)


def predict_end(
    trial: TrialCurve, complete: Sequence[TrialCurve], metric: str, min_trials: int = MIN_TRIALS
) -> StudentT | None:
    """The distribution of a scored metric at the end of the trial's flash run.

    Args:
        trial: with at least one rung; its last one counts.
        complete: trials that have ended; those without a score at the same rungs are left out.
        metric: name of the metric.
        min_trials: complete trials that are needed.

    Returns:
        None when it cannot be predicted.
    """
    return Ended(complete, metric).predict(trial, min_trials)


def expected_ends(history: History, metric: str) -> tuple[FloatArray, FloatArray]:
    """What stopped trials would have scored at the end: a prediction that a strategy may learn from.

    Args:
        history: with ``curves``.
        metric: a metric that is scored, e.g. an objective's.

    Returns:
        (value, variance) per trial of the history; NaN for trials that were not stopped or cannot be predicted.
    """
    values, variances = np.full(len(history), np.nan), np.full(len(history), np.nan)
    scored = frozenset(name for reports in history.curves for report in reports for name in report.metrics)
    if metric not in scored:
        return values, variances
    curves = [_of_history(history, row, scored) for row in range(len(history))]
    ended = Ended([curve for curve in curves if curve.state == "complete"], metric)
    for row, curve in enumerate(curves):
        end = ended.predict(curve, MIN_TRIALS) if curve.state == "stopped" and curve.rungs else None
        if end is not None:
            values[row], variances[row] = end.location, end.variance
    return values, variances


def _of_history(history: History, row: int, scored: frozenset[str]) -> TrialCurve:
    """A row as a curve; what is ``scored`` at rungs is not known before training."""
    metrics = {name: float(column[row]) for name, column in history.metrics.items()}
    state = history.states[row]
    return TrialCurve(
        trial=row,
        architecture=history.architectures[row],
        replicate=history.replicates[row],
        state="complete" if state == "complete" else "stopped" if state == "stopped" else "running",
        known={name: value for name, value in metrics.items() if name not in scored},
        rungs=history.curves[row] if history.curves else (),
        final={name: value for name, value in metrics.items() if name in scored},
    )


def _scores(trial: TrialCurve, rung: int, metric: str) -> list[float]:
    """The score at the rung, and the increment since the rung before where there is one."""
    values = [
        float(report.metrics.get(metric, math.nan)) if (report := trial.at(index)) is not None else math.nan
        for index in range(rung + 1)
    ]
    return [values[rung]] if rung == 0 else [values[rung], values[rung] - values[rung - 1]]


def _shares(trial: TrialCurve, rung: int) -> list[float]:
    """Where the rungs up to one stand: a study may have gone on with others, which do not compare."""
    return [report.share for report in trial.rungs if report.rung <= rung]


def _usable(trial: TrialCurve, rung: int, metric: str) -> bool:
    """Whether the scores that a prediction needs are numbers."""
    ends = trial.state != "complete" or math.isfinite(float(trial.final.get(metric, math.nan)))
    return ends and bool(np.isfinite(_scores(trial, rung, metric)).all())


def _is_size(value: float) -> bool:
    """Whether a known value has a logarithm to compare."""
    return math.isfinite(value) and value > 0


def _size(trial: TrialCurve, rows: _Comparable) -> FloatArray:
    """One number for the trial and one per row for how large the architecture is: ``1 + n x 1``, or ``1 + n x 0``
    when nothing is known of all.

    The first principal component of all known positive metrics in logs; they all grow together, and as many features
    as metrics would be too many for a few trials.
    """
    columns = [column for column, name in enumerate(rows.names) if _is_size(trial.known.get(name, 0.0))]
    if not columns:
        return np.empty((1 + len(rows.gains), 0))
    own = np.log([trial.known[rows.names[column]] for column in columns])
    logs = np.vstack([own, rows.logs[:, columns]])
    centred = logs - logs.mean(axis=0)
    spread = centred.std(axis=0)
    centred /= np.where(spread > 0, spread, 1.0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    component: FloatArray = centred @ directions[:1].T
    return component
