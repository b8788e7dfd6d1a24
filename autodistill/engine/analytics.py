"""What a study has learnt: hypervolume over trials and device time, importance of parameters, prediction, regret.

Pure functions of arrays, and `study_analytics`, which applies them to a study. Importance and prediction are in
modules of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from autodistill.components.architecture import Architecture
from autodistill.components.search import Constraint, History, Objective
from autodistill.engine.importance import Importance, parameter_importance
from autodistill.engine.picks import averaged
from autodistill.engine.prediction import FitPredict, LeaveOneOut, leave_one_out
from autodistill.engine.records import RunKind, RunRecord, TrialRecord
from autodistill.engine.relative import feasible_rows, reference_point, relative, relative_matrix
from autodistill.pareto import hypervolume, non_dominated
from autodistill.search.scales import FEATURE_SUFFIXES, is_ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autodistill.components.search import FloatArray


def hypervolume_curve(points: FloatArray, reference: FloatArray) -> FloatArray:
    """Hypervolume after each point.

    Args:
        points: ``n x m`` in order, minimised; a row with NaN adds nothing.
        reference: ``m``.

    Returns:
        ``n`` values that never fall.
    """
    curve = np.zeros(len(points))
    front, volume = np.empty((0, points.shape[1])), 0.0
    for index, point in enumerate(points):
        if not np.isnan(point).any() and not (front <= point).all(axis=1).any():
            grown = np.vstack([front, point])
            front = grown[non_dominated(grown)]
            volume = max(volume, hypervolume(front, reference))  # rounding must not let it fall
        curve[index] = volume
    return curve


def hypervolume_regret(points: FloatArray, true_front: FloatArray, reference: FloatArray) -> FloatArray:
    """What the hypervolume lacks of that of the true front, after each point; where the optimum is known.

    Args:
        points: ``n x m`` in order, minimised: true values, not noisy ones.
        true_front: ``k x m``.
        reference: ``m``.

    Returns:
        ``n`` values >= 0.
    """
    return np.maximum(hypervolume(true_front, reference) - hypervolume_curve(points, reference), 0.0)


@dataclass(frozen=True)
class _Varying:
    """A parameter that varies among some architectures.

    Args:
        name: of the parameter.
        ordered: whether its values are numbers.
        places: per architecture the place of its value among those seen, from 0; a parameter that an architecture
            lacks (of a condition that does not hold) comes before all values.
        count: number of places.
    """

    name: str
    ordered: bool
    places: NDArray[np.intp]
    count: int

    @property
    def column(self) -> FloatArray:
        """The places in [0, 1]."""
        return self.places / (self.count - 1)

    @property
    def indicators(self) -> FloatArray:
        """``n x count``, one column per place."""
        return np.asarray(self.places[:, None] == np.arange(self.count), dtype=np.float64)


def _varying(choices: Sequence[Mapping[str, Any]]) -> list[_Varying]:
    """The parameters that vary, in the order in which they turn up."""
    found = []
    for name in dict.fromkeys(name for row in choices for name in row):
        given = [row.get(name) for row in choices]
        distinct: set[Any] = set(given) - {None}
        ordered = all(isinstance(value, int | float) and not isinstance(value, bool) for value in distinct)
        values = [*([None] if None in given else []), *(sorted(distinct) if ordered else sorted(distinct, key=str))]
        if len(values) > 1:
            place = {value: index for index, value in enumerate(values)}
            found.append(_Varying(name, ordered, np.array([place[value] for value in given]), len(values)))
    return found


def encode_choices(choices: Sequence[Mapping[str, Any]]) -> tuple[FloatArray, list[str]]:
    """Architectures as numbers in [0, 1], one column per parameter that varies.

    A number becomes its rank among the values seen, anything else its place in their order as text.

    Returns:
        ``n x d`` and the ``d`` names.
    """
    varying = _varying(choices)
    columns = np.array([item.column for item in varying], dtype=np.float64)
    return columns.reshape(len(varying), len(choices)).T, [item.name for item in varying]


def study_analytics(
    history: History,
    trials: Sequence[TrialRecord],
    runs: Mapping[tuple[int, RunKind], RunRecord],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    teacher: Mapping[str, Any],
    fit_predict: FitPredict | None = None,
    derived: Collection[str] = (),
) -> dict[str, Any]:
    """What the report shows of a search, JSON-able.

    Args:
        history: one row per trial.
        trials: the same, as records.
        runs: (trial, kind) -> run.
        objectives: the study's.
        constraints: the study's.
        teacher: the stored step ``teacher``.
        fit_predict: model whose prediction is judged; by default that of the strategy `botorch`.
        derived: choices that are worked out from others, and so explain and predict nothing of their own.

    Returns:
        ``hypervolume``: columns ``trial``, ``device_seconds`` and ``examples`` (sums of the flash runs so far) and
        ``value`` (of the means over the replicates told by then), a row per flash run that has ended, in the order of
        tells (None while there is no reference point). ``importance``: one entry per objective. ``prediction``: of
        the first objective that is scored.
    """
    scored = [item for item in objectives if any(item.metric in run.metrics for run in runs.values())]
    return {
        "hypervolume": _progress(history, trials, runs, objectives, constraints, teacher),
        "importance": [_importance(history, objective, frozenset(derived)) for objective in objectives],
        "prediction": _prediction(history, scored[0], fit_predict, frozenset(derived)) if scored else None,
    }


def _progress(
    history: History,
    trials: Sequence[TrialRecord],
    runs: Mapping[tuple[int, RunKind], RunRecord],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    teacher: Mapping[str, Any],
) -> dict[str, list[Any]] | None:
    point = reference_point(objectives, constraints, teacher)
    corner = np.array([relative(np.array([point[item.label]]), item, teacher)[0] for item in objectives])
    if not teacher["values"] or not np.isfinite(corner).all():
        return None
    told = [row for row in range(len(history)) if history.told[row] >= 0 and (trials[row].number, "flash") in runs]
    order = sorted(told, key=lambda row: history.told[row])
    costs = [runs[trials[row].number, "flash"].cost for row in order]
    return {
        "trial": [trials[row].number for row in order],
        **{
            name: np.cumsum([float(cost.get(name, 0.0)) for cost in costs]).tolist()
            for name in ("device_seconds", "examples")
        },
        "value": _curve_of_means(history.take(order), objectives, constraints, teacher, corner).tolist(),
    }


def _curve_of_means(
    told: History,
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    teacher: Mapping[str, Any],
    corner: FloatArray,
) -> FloatArray:
    """Hypervolume after each tell of the means over the replicates told by then, which architectures count for.

    It falls where a replicate shows that an earlier score was luck.
    """
    rows = list(enumerate(told.architectures))
    first = {item: row for row, item in reversed(rows)}
    again = [row for row, item in rows if first[item] != row]
    curve = np.zeros(len(told))
    # From one replicate to the next no mean changes: points are only added.
    for start, end in pairwise([0, *again, len(told)]):
        known = averaged(told.take(range(end)))
        feasible = np.array(feasible_rows(known, constraints), dtype=bool) & np.array(known.in_space, dtype=bool)
        matrix = np.where(feasible[:, None], relative_matrix(known, objectives, teacher), np.nan)
        matrix[~np.isfinite(matrix).all(axis=1)] = np.nan
        before = matrix[:start][~np.isnan(matrix[:start, 0])]
        front = before[non_dominated(before)]
        curve[start:end] = hypervolume_curve(np.vstack([front, matrix[start:]]), corner)[len(front) :]
    return curve


def _observed(history: History, objective: Objective) -> tuple[FloatArray, list[int]]:
    """Values of an objective's metric, in logs where it is a ratio, and their rows."""
    column = history.metrics.get(objective.metric, np.full(len(history), np.nan))
    rows = [row for row in range(len(history)) if history.in_space[row] and np.isfinite(column[row])]
    values = column[rows]
    return (np.log(values) if _in_logs(objective, values) else values), rows


def _in_logs(objective: Objective, values: FloatArray) -> bool:
    """Whether an objective's values are compared by factors, as in the models of the search."""
    return is_ratio(objective.metric) and len(values) > 0 and bool(values.min() > 0)


def _parameters(architectures: Sequence[Architecture], derived: frozenset[str]) -> list[dict[str, Any]]:
    """The choices that were chosen; one that follows from others would take a part of their share."""
    return [{name: value for name, value in item.choices.items() if name not in derived} for item in architectures]


# A report is made several times in one command from the same trials; these take seconds.
@lru_cache(maxsize=16)
def _explain(
    architectures: tuple[Architecture, ...], values: tuple[float, ...], derived: frozenset[str]
) -> Importance | str:
    features, names = encode_choices(_parameters(architectures, derived))
    return parameter_importance(features, names, np.array(values), architectures)


@lru_cache(maxsize=16)
def _predict(
    architectures: tuple[Architecture, ...],
    values: tuple[float, ...],
    noise: tuple[float, ...],
    sizes: tuple[tuple[float, ...], ...],
    fit_predict: FitPredict | None,
    derived: frozenset[str],
) -> LeaveOneOut | str:
    from autodistill.search.prediction import SurrogatePrediction  # torch, which a summary without it does without

    varying = _varying(_parameters(architectures, derived))
    # As in the strategy's model: words are unordered, but two of them are as far apart as two ranks are.
    unordered = [item for item in varying if not item.ordered and item.count > 2]
    words = {item.name for item in unordered}
    ranked = [item.column[:, None] for item in varying if item.name not in words]
    columns = np.array(sizes, dtype=np.float64).reshape(-1, len(architectures)).T
    model = fit_predict or SurrogatePrediction(columns.shape[1], tuple(item.count for item in unordered))
    features = np.hstack([*ranked, columns, *(item.indicators for item in unordered)])
    return leave_one_out(features, np.array(values), np.array(noise), architectures, model)


def _log_sizes(history: History, rows: Sequence[int]) -> tuple[tuple[float, ...], ...]:
    """Logarithms in [0, 1] of what the strategy's model has as features beside the choices: sizes, one tuple each."""
    found = []
    for name in sorted(item for item in history.metrics if item.endswith(FEATURE_SUFFIXES)):
        values = history.metrics[name][list(rows)]
        if len(values) and np.isfinite(values).all() and values.min() > 0 and np.ptp(values) > 0:
            logs = np.log(values)
            found.append(tuple(((logs - logs.min()) / np.ptp(logs)).tolist()))
    return tuple(found)


def _importance(history: History, objective: Objective, derived: frozenset[str]) -> dict[str, Any]:
    values, rows = _observed(history, objective)
    found = _explain(tuple(history.architectures[row] for row in rows), tuple(values.tolist()), derived)
    entry = {"label": objective.label, "metric": objective.metric, "n": len(rows)}
    if not isinstance(found, Importance):
        return {**entry, "reason": found, "explained": None, "parameters": []}
    ranked = sorted(range(len(found.names)), key=lambda index: -found.shares[index])
    parameters = [
        {
            "name": found.names[index],
            "share": float(found.shares[index]),
            "low": float(found.low[index]),
            "high": float(found.high[index]),
        }
        for index in ranked
    ]
    return {**entry, "reason": None, "explained": found.explained, "parameters": parameters}


def _prediction(
    history: History, objective: Objective, fit_predict: FitPredict | None, derived: frozenset[str]
) -> dict[str, Any]:
    values, rows = _observed(history, objective)
    noise = np.nan_to_num(history.variances.get(objective.metric, np.full(len(history), np.nan))[rows])
    plain = history.metrics.get(objective.metric, np.full(len(history), np.nan))[rows]
    if _in_logs(objective, plain):
        noise = noise / plain**2  # of the logarithms, to first order
    architectures = tuple(history.architectures[row] for row in rows)
    sizes = _log_sizes(history, rows)
    found = _predict(architectures, tuple(values.tolist()), tuple(noise.tolist()), sizes, fit_predict, derived)
    entry = {"metric": objective.metric, "n": len(rows)}
    if not isinstance(found, LeaveOneOut):
        return {**entry, "reason": found, "points": []}
    table = np.stack([found.observed, found.predicted, found.deviation], axis=1)
    return {
        **entry,
        "n": len(table),
        "scored": len(rows),
        "reason": None,
        "folds": found.folds,
        "spearman": found.spearman,
        "explained": found.explained,
        "coverage": found.coverage,
        "points": [
            {"observed": observed, "predicted": predicted, "deviation": deviation}
            for observed, predicted, deviation in table.tolist()
        ],
    }
