"""What a study has learnt: hypervolume over trials and device time, importance of parameters, prediction, regret.

Pure functions of arrays, and `study_analytics`, which applies them to a study. Importance and prediction are in
modules of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from autodistill.components.architecture import Architecture
from autodistill.components.search import Constraint, History, Objective, SearchSpace
from autodistill.engine.importance import Importance, parameter_importance
from autodistill.engine.picks import averaged
from autodistill.engine.prediction import FitPredict, LeaveOneOut, leave_one_out
from autodistill.engine.records import RunKind, RunRecord, TrialRecord
from autodistill.engine.relative import corner_of, feasible_rows, reference_point, relative_matrix
from autodistill.pareto import hypervolume, hypervolume_curve, non_dominated
from autodistill.search.scales import is_ratio

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray


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


def encode_choices(choices: Sequence[Mapping[str, Any]]) -> tuple[FloatArray, list[str]]:
    """Architectures as numbers in [0, 1], one column per parameter that varies.

    A number becomes its rank among the values seen, anything else its place in their order as text; a parameter that an
    architecture lacks (of a condition that does not hold) comes before all values.

    Returns:
        ``n x d`` and the ``d`` names.
    """
    names, columns = list[str](), list[list[float]]()
    for name in dict.fromkeys(name for row in choices for name in row):
        given = [row.get(name) for row in choices]
        distinct: set[Any] = set(given) - {None}
        ordered = all(isinstance(value, int | float) and not isinstance(value, bool) for value in distinct)
        values = [*([None] if None in given else []), *(sorted(distinct) if ordered else sorted(distinct, key=str))]
        if len(values) > 1:
            place = {value: index / (len(values) - 1) for index, value in enumerate(values)}
            names.append(name)
            columns.append([place[value] for value in given])
    return np.array(columns, dtype=np.float64).reshape(len(names), len(choices)).T, names


def study_analytics(
    history: History,
    trials: Sequence[TrialRecord],
    runs: Mapping[tuple[int, RunKind], RunRecord],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    teacher: Mapping[str, Any],
    fit_predict: FitPredict | None = None,
    derived: Collection[str] = (),
    space: SearchSpace | None = None,
    sizes: bool = True,
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
        derived: choices that are worked out from others, and so explain nothing of their own.
        space: the study's, whose parameters the model sees; None where it cannot be built any more.
        sizes: whether known sizes are features of the model, as in the strategy.

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
        "prediction": _prediction(history, scored[0], space, sizes, fit_predict) if scored else None,
    }


def _progress(
    history: History,
    trials: Sequence[TrialRecord],
    runs: Mapping[tuple[int, RunKind], RunRecord],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    teacher: Mapping[str, Any],
) -> dict[str, list[Any]] | None:
    corner = corner_of(reference_point(objectives, constraints, teacher), objectives, teacher)
    if corner is None:
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
def _judge(
    architectures: tuple[Architecture, ...],
    features: tuple[tuple[float, ...], ...],
    values: tuple[float, ...],
    noise: tuple[float, ...],
    model: FitPredict,
) -> LeaveOneOut | str:
    return leave_one_out(np.array(features), np.array(values), np.array(noise), architectures, model)


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
    history: History, objective: Objective, space: SearchSpace | None, sizes: bool, fit_predict: FitPredict | None
) -> dict[str, Any]:
    """The strategy's model judged on what it learns from, but for stopped trials.

    Where those would have ended is worked out from the scores of all others, also of the one that is left out.
    """
    from autodistill.search.prediction import material  # torch, which a summary without scores does without

    _, rows = _observed(history, objective)
    entry = {"metric": objective.metric, "n": len(rows)}
    if space is None:
        return {**entry, "reason": "The search space of the study cannot be built any more.", "points": []}
    seen = material(space, history, rows, objective, sizes)
    if seen is None:
        return {**entry, "reason": "There are no two values that a model can be made of.", "points": []}
    architectures = tuple(history.architectures[row] for row in rows)
    columns = tuple(map(tuple, seen.features.tolist()))
    model = fit_predict or seen.model
    found = _judge(architectures, columns, tuple(seen.values.tolist()), tuple(seen.noise.tolist()), model)
    if not isinstance(found, LeaveOneOut):
        return {**entry, "reason": found, "points": []}
    predicted, variances = seen.scale.inverse(found.predicted, found.deviation)
    latest = rows[-len(predicted) :]
    table = np.stack([history.metrics[objective.metric][latest], predicted, np.sqrt(variances)], axis=1)
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
