"""What a history says of the architectures of the space: one outcome each, smaller is better, free of units.

For strategies that compare outcomes rather than model them. A pure function of the context and the history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.architecture import Architecture
from autodistill.components.search import History, SearchContext
from autodistill.search.columns import column_of, with_expected_ends

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autodistill.components.search import FloatArray


@dataclass(frozen=True)
class Outcomes:
    """Architectures of the space with a finite value of every objective, in the order of their last tell.

    Those that were stopped have the expected end of their run, once enough runs have ended to tell; until then they are
    left out. Those that were never trained, because they break a constraint, or failed, have the worst value of what
    they lack.

    Args:
        architectures: ``n`` distinct ones; the values of replicates are averaged.
        values: ``n x objectives``, smaller is better.
        violations: ``n`` numbers >= 0: by how much the constraints are broken, each relative to the worst of the
            history, and 1 more where every trial failed; 0 where they hold or nothing is known.
    """

    architectures: tuple[Architecture, ...]
    values: FloatArray
    violations: FloatArray

    def __len__(self) -> int:
        return len(self.architectures)


def outcomes_of(context: SearchContext, history: History) -> Outcomes:
    """The outcomes of the trials that have any."""
    rows = _rows(history)
    metrics = [*(item.metric for item in context.objectives), *(item.metric for item in context.constraints)]
    values = _values(context, history, rows, metrics)
    objectives = [values[item.metric] * (1.0 if item.direction == "minimize" else -1.0) for item in context.objectives]
    excess = np.zeros(len(rows))
    for item in context.constraints:
        excess += _excess(values[item.metric], item.bound, 1.0 if item.sense == "<=" else -1.0)
    excess += _all_among(history, rows, "failed")
    table = np.stack(objectives, axis=1)
    broken = (excess > 0) & _all_among(history, rows, "infeasible", "failed")
    table = np.where(broken[:, None] & ~np.isfinite(table), _worst(table), table)
    kept = np.flatnonzero(np.isfinite(table).all(axis=1))
    architectures = tuple(rows)
    return Outcomes(tuple(architectures[row] for row in kept.tolist()), table[kept], excess[kept])


def ranked(values: FloatArray) -> FloatArray:
    """``n x m`` values as ranks in [0, 1] per column, equal values alike: no unit, no outlier is left."""
    ranks = np.zeros(values.shape)
    for column in range(values.shape[1]):
        distinct, ranks[:, column] = np.unique(values[:, column], return_inverse=True)
        ranks[:, column] /= max(1, len(distinct) - 1)
    return ranks


def _all_among(history: History, rows: Mapping[Architecture, Sequence[int]], *states: str) -> NDArray[np.bool_]:
    """Of every architecture whether all its trials are in one of some states."""
    return np.array([all(history.states[row] in states for row in group) for group in rows.values()], dtype=bool)


def _worst(table: FloatArray) -> FloatArray:
    """The largest finite value of every column; 0 where there is none."""
    finite = np.isfinite(table)
    return np.where(finite.any(axis=0), np.where(finite, table, -np.inf).max(axis=0, initial=-np.inf), 0.0)


def _rows(history: History) -> dict[Architecture, list[int]]:
    """The trials that may tell something of every architecture of the space, ordered by the last tell."""
    telling = ("complete", "stopped", "infeasible", "failed")
    usable = [row for row in range(len(history)) if history.in_space[row] and history.states[row] in telling]
    rows: dict[Architecture, list[int]] = {}
    for row in sorted(usable, key=lambda row: history.told[row]):
        architecture = history.architectures[row]
        rows[architecture] = [*rows.pop(architecture, []), row]
    return rows


def _values(
    context: SearchContext, history: History, rows: Mapping[Architecture, Sequence[int]], metrics: Sequence[str]
) -> dict[str, FloatArray]:
    """Metric -> mean over the replicates of every architecture; what is known is taken from what is known.

    Of an architecture that was never scored, the expected end of its stopped run.
    """
    needed = context.known.metrics & set(metrics)
    known = context.known(list(rows)) if needed and rows else {}
    found: dict[str, FloatArray] = {}
    for metric in metrics:
        if metric in known:
            found[metric] = np.asarray(known[metric][0], dtype=np.float64)
            continue
        everything = np.arange(len(history))
        column = column_of(history.metrics, metric, everything)
        seen, (ends, _) = _means(column, rows), with_expected_ends(history, everything, metric, column)
        found[metric] = np.where(np.isfinite(seen), seen, _means(ends, rows))
    return found


def _means(column: FloatArray, rows: Mapping[Architecture, Sequence[int]]) -> FloatArray:
    """The mean over the finite values of every architecture; NaN where there is none."""
    finite = [[column[row] for row in group if np.isfinite(column[row])] for group in rows.values()]
    return np.array([float(np.mean(group)) if group else np.nan for group in finite], dtype=np.float64)


def _excess(values: FloatArray, bound: float, sign: float) -> FloatArray:
    """By how much each value breaks the bound, relative to the worst."""
    excess = np.maximum(np.nan_to_num(sign * (values - bound), nan=0.0, posinf=np.inf, neginf=0.0), 0.0)
    worst = float(excess[np.isfinite(excess)].max(initial=0.0))
    return np.minimum(excess / worst, 1.0) if worst > 0 else (excess > 0).astype(np.float64)
