"""Objectives without units: every value relative to the teacher's, ratio metrics in logs.

Quality q becomes ``q / |q_teacher|``; a ratio metric (latency, size, throughput) becomes
``log(value / value_teacher)``, as it is modelled by the search. A change of unit changes nothing. All objectives are
then minimised. The reference point is fixed when the study is created: the trivial answer's quality, and the teacher's
own latency or a bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autodistill.components.search import Constraint, History, Objective
from autodistill.pareto import hypervolume
from autodistill.search.scales import is_ratio

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

#: Part of the way from the trivial answer to the teacher from which a search counts gains in quality.
USEFUL = 0.5


def reference_point(
    objectives: Sequence[Objective], constraints: Sequence[Constraint], teacher: Mapping[str, Any]
) -> dict[str, float]:
    """Objective label -> the value, in the metric's unit, that a hypervolume is measured against.

    Args:
        objectives: the study's.
        constraints: a bound on an objective's metric replaces the teacher's value when it is stricter.
        teacher: the stored step ``teacher`` with ``values`` and ``trivial``.
    """
    point = {}
    for objective in objectives:
        values = teacher["trivial"] if objective.metric in teacher["trivial"] else teacher["values"]
        value = float(values.get(objective.metric, math.nan))
        point[objective.label] = _stricter(value, objective, constraints)
    return point


def _stricter(value: float, objective: Objective, constraints: Sequence[Constraint]) -> float:
    """The value, or a bound on the objective's metric that asks for more; NaN where there is neither."""
    sense, strictest = ("<=", min) if objective.direction == "minimize" else (">=", max)
    bounds = [item.bound for item in constraints if item.metric == objective.metric and item.sense == sense]
    return strictest([item for item in (value, *bounds) if not math.isnan(item)], default=math.nan)


def scored_objective(objectives: Sequence[Objective], teacher: Mapping[str, Any]) -> Objective | None:
    """The first objective that is a score of trained models, by which quality is judged; None where none is.

    Args:
        objectives: the study's.
        teacher: the stored step ``teacher``: what is scored has a trivial answer.
    """
    return next((item for item in objectives if item.metric in teacher["trivial"]), None)


def useful_reference(
    objectives: Sequence[Objective], constraints: Sequence[Constraint], teacher: Mapping[str, Any]
) -> dict[str, float]:
    """Metric of an objective -> the value from which the search counts a gain.

    The reference point of the report, but for qualities: there it is the trivial answer, and a search that counted
    every gain over it would spend its trials on tiny models that nobody would serve. So it counts from half of the way
    to the teacher.
    """
    labelled = reference_point(objectives, constraints, teacher)
    point = {item.metric: labelled[item.label] for item in objectives}
    for objective in objectives:
        if objective.metric not in teacher["trivial"]:
            continue
        trivial = float(teacher["trivial"][objective.metric])
        own = float(teacher["values"].get(objective.metric, math.nan))
        if own > trivial if objective.direction == "maximize" else own < trivial:
            point[objective.metric] = _stricter(trivial + USEFUL * (own - trivial), objective, constraints)
    return point


def relative(values: FloatArray, objective: Objective, teacher: Mapping[str, Any]) -> FloatArray:
    """Values of one objective's metric relative to the teacher's, as something to be minimised."""
    own = float(teacher["values"].get(objective.metric, math.nan))
    sign = -1.0 if objective.direction == "maximize" else 1.0
    if is_ratio(objective.metric):
        # Of a teacher without one, or with 0 (a rate of requests within a limit), another unit moves all alike.
        with np.errstate(invalid="ignore", divide="ignore"):
            return sign * np.log(values / (own if own > 0 else 1.0))
    scale = abs(own) if own and not math.isnan(own) else 1.0  # a log-likelihood is negative: better stays better
    return sign * values / scale


def relative_matrix(history: History, objectives: Sequence[Objective], teacher: Mapping[str, Any]) -> FloatArray:
    """``trials x objectives``, minimised, relative to the teacher; NaN where a trial lacks a metric."""
    empty = np.full(len(history), np.nan)
    columns = [relative(history.metrics.get(item.metric, empty), item, teacher) for item in objectives]
    return np.stack(columns, axis=1) if columns else np.empty((len(history), 0))


def feasible_rows(history: History, constraints: Sequence[Constraint]) -> list[bool]:
    """Whether each trial is complete and satisfies every constraint; a metric it lacks does not."""
    rows = []
    for index, state in enumerate(history.states):
        values = [
            (
                constraint,
                float(history.metrics[constraint.metric][index]) if constraint.metric in history.metrics else math.nan,
            )
            for constraint in constraints
        ]
        rows.append(state == "complete" and all(constraint.holds(value) for constraint, value in values))
    return rows


def hypervolume_of(
    matrix: FloatArray, point: Mapping[str, float], objectives: Sequence[Objective], teacher: Mapping[str, Any]
) -> float | None:
    """Hypervolume of rows of `relative_matrix` against the study's reference point; None when it has no number."""
    corner = corner_of(point, objectives, teacher)
    if corner is None:
        return None
    rows = matrix[np.all(np.isfinite(matrix), axis=1)]
    return float(hypervolume(rows, corner)) if len(rows) else 0.0


def corner_of(
    point: Mapping[str, float], objectives: Sequence[Objective], teacher: Mapping[str, Any]
) -> FloatArray | None:
    """The reference point in the units of `relative_matrix`; None when it has no number, or the teacher has none."""
    corner = [float(relative(np.array([point[item.label]]), item, teacher)[0]) for item in objectives]
    return np.array(corner) if corner and teacher["values"] and np.all(np.isfinite(corner)) else None
