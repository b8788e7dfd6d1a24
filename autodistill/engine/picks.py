"""Which architectures get the full recipe, from what flash distillation has shown on the select split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autodistill.components.search import Constraint, History, Objective
from autodistill.engine.pareto import non_dominated
from autodistill.engine.relative import feasible_rows, hypervolume_of, relative_matrix


def pareto_rows(
    history: History, objectives: Sequence[Objective], constraints: Sequence[Constraint], teacher: Mapping[str, Any]
) -> list[int]:
    """Rows of the history on the Pareto front of the feasible complete trials of the space."""
    matrix = relative_matrix(history, objectives, teacher)
    feasible = feasible_rows(history, constraints)
    rows = [
        index
        for index in range(len(history))
        if feasible[index] and history.in_space[index] and bool(np.all(np.isfinite(matrix[index])))
    ]
    if not rows:
        return []
    front = non_dominated(matrix[rows])
    return [row for row, keep in zip(rows, front, strict=True) if keep]


def choose_picks(
    history: History,
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    teacher: Mapping[str, Any],
    point: Mapping[str, float],
    maximum: int,
    margin: float,
) -> list[int]:
    """Rows of the history to be trained in full, best first.

    The first pick is the front's best in the first objective; with a ``margin`` it is the cheapest (by the other
    objectives' hypervolume) of those that give up no more than that share of the teacher's value. Each further pick
    adds most to the hypervolume of the picks so far.

    Args:
        history: what was seen.
        objectives: the study's.
        constraints: every pick satisfies them.
        teacher: the stored step ``teacher``.
        point: reference point of the hypervolume.
        maximum: picks at most.
        margin: share of the teacher's value in the first objective, >= 0.
    """
    front = pareto_rows(history, objectives, constraints, teacher)
    if not front or maximum < 1:
        return []
    matrix = relative_matrix(history, objectives, teacher)
    best = min(matrix[row, 0] for row in front)
    close = [row for row in front if matrix[row, 0] <= best + margin]

    def volume(rows: Sequence[int]) -> float:
        return hypervolume_of(matrix[list(rows)], point, objectives, teacher) or 0.0

    first = max(close, key=lambda row: volume([row])) if margin > 0 else min(close, key=lambda row: matrix[row, 0])
    picks, seen = [first], {history.architectures[first]}
    while len(picks) < maximum:
        left = [row for row in front if history.architectures[row] not in seen]
        if not left:
            break
        chosen = max(left, key=lambda row: volume([*picks, row]))
        picks.append(chosen)
        seen.add(history.architectures[chosen])
    return picks
