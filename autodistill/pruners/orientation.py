"""Trials as points for pruners: every objective something to be minimised, and free of units.

Metrics that are known before training and positive (latency, size) are taken in logs, whatever they are called: it
changes no order, and sums of them have no unit. Shared by the pruners; fronts are those of `autodistill.pareto`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.pruning import TrialCurve
from autodistill.components.search import Constraint, Objective
from autodistill.pareto import non_dominated

#: Below the logarithm of every positive float.
LEAST_LOGARITHM = -1000.0

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]


def split_objectives(
    objectives: Sequence[Objective], trial: TrialCurve
) -> tuple[tuple[Objective, ...], tuple[Objective, ...]]:
    """The objectives that are known of ``trial`` before training, and those that are scored at rungs."""
    known = tuple(item for item in objectives if item.metric in trial.known)
    return known, tuple(item for item in objectives if item.metric not in trial.known)


def oriented(value: float, objective: Objective) -> float:
    """A value as something to be minimised."""
    return -value if objective.direction == "maximize" else value


def known_point(trial: TrialCurve, objectives: Iterable[Objective]) -> FloatArray:
    """Known objectives to be minimised, in logs where positive, below all of these where not; NaN where unknown."""
    values = [(float(trial.known.get(item.metric, math.nan)), item) for item in objectives]
    return np.array([oriented(_logarithm(value), item) for value, item in values])


def _logarithm(value: float) -> float:
    """The logarithm of a positive number, and something that rises as the number does below all logarithms."""
    return math.log(value) if value > 0 else LEAST_LOGARITHM + value


def scored_point(scores: Mapping[str, float], objectives: Iterable[Objective]) -> FloatArray:
    """Scored objectives to be minimised; NaN where a score is missing."""
    return np.array([oriented(float(scores.get(item.metric, math.nan)), item) for item in objectives])


def breaks(trial: TrialCurve, constraints: Iterable[Constraint]) -> bool:
    """Whether what is known of a trial, or the final score of a complete one, breaks a constraint.

    A score at a rung says nothing yet: the run goes on.
    """
    return any(
        not constraint.holds(trial.value(constraint.metric))
        for constraint in constraints
        if constraint.metric in trial.known or trial.state == "complete"
    )


def front_ranks(points: FloatArray) -> NDArray[np.int64]:
    """Front of each row by non-dominated sorting [Deb2002]_: 0 for the best; ``n x m``, minimised, without NaN.

    .. [Deb2002] K. Deb et al., A fast and elitist multiobjective genetic algorithm: NSGA-II.
    """
    ranks = np.full(len(points), -1, dtype=np.int64)
    rank = 0
    while (ranks < 0).any():
        left = np.flatnonzero(ranks < 0)
        ranks[left[non_dominated(points[left])]] = rank
        rank += 1
    return ranks
