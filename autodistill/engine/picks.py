"""Which trials may get the full recipe, from what flash distillation has shown on the select split.

The front is read here; in which order its trials are trained in full is decided in `autodistill.search.promotion`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from autodistill.components.architecture import Architecture
from autodistill.components.search import Constraint, History, Objective
from autodistill.engine.relative import feasible_rows, relative_matrix
from autodistill.pareto import non_dominated


def averaged(history: History) -> History:
    """The history with every complete trial's metrics replaced by the mean over its architecture's replicates.

    Rows stay where they are, and what a row lacks it still lacks: a baseline has no flash score. Variances become
    those of the means, with the replicates taken as independent.
    """
    groups: dict[Architecture, list[int]] = {}
    for row, (item, state) in enumerate(zip(history.architectures, history.states, strict=True)):
        if state == "complete":
            groups.setdefault(item, []).append(row)
    repeated = [rows for rows in groups.values() if len(rows) > 1]
    if not repeated:
        return history
    metrics = {name: np.array(column, dtype=np.float64) for name, column in history.metrics.items()}
    variances = {name: np.array(column, dtype=np.float64) for name, column in history.variances.items()}
    for rows in repeated:
        for column in metrics.values():
            seen = [row for row in rows if np.isfinite(column[row])]
            column[seen] = column[seen].mean() if seen else np.nan
        for column in variances.values():
            seen = [row for row in rows if np.isfinite(column[row])]
            column[seen] = column[seen].mean() / len(seen) if seen else np.nan
    return replace(history, metrics=metrics, variances=variances)


def candidate_rows(history: History, objectives: Sequence[Objective], constraints: Sequence[Constraint]) -> list[int]:
    """First rows of the architectures of the space that are complete, feasible and have every objective."""
    feasible = feasible_rows(history, constraints)
    first: dict[Architecture, int] = {}
    for row in range(len(history)):
        values = [history.metrics[item.metric][row] for item in objectives if item.metric in history.metrics]
        if feasible[row] and history.in_space[row] and len(values) == len(objectives) and np.all(np.isfinite(values)):
            first.setdefault(history.architectures[row], row)
    return sorted(first.values())


def pareto_rows(
    history: History, objectives: Sequence[Objective], constraints: Sequence[Constraint], teacher: Mapping[str, Any]
) -> list[int]:
    """Rows of the history on the Pareto front of the feasible complete trials of the space, one per architecture.

    Replicates count by their mean, on the row of the first.
    """
    history = averaged(history)
    matrix = relative_matrix(history, objectives, teacher)
    rows = [row for row in candidate_rows(history, objectives, constraints) if bool(np.all(np.isfinite(matrix[row])))]
    if not rows:
        return []
    front = non_dominated(matrix[rows])
    return [row for row, keep in zip(rows, front, strict=True) if keep]
