"""Several targets in one study: one Pareto set per latency backend, from one set of trials.

Trials are scored once, as trained, in fp32: at equal precision a student's quality does not depend on where it will
run, so they serve every target that timed them: another chip, another batch size. They serve one of another precision
too, but what that precision costs in quality is not in its set (`quality_caveat`); it is known of the trained models
only (`autodistill.engine.target_answers`). A target need not be an objective of the search to get its set; the search
has then only not aimed at it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodistill.components.latency import LATENCY_METRICS
from autodistill.components.search import Constraint, History, Objective
from autodistill.engine.picks import pareto_rows
from autodistill.engine.relative import feasible_rows, hypervolume_of, reference_point, relative_matrix

#: What a target is judged by when no latency is an objective.
DEFAULT_METRIC = "p50_ms"

#: Number format in which every trial is scored, whatever a target times.
QUALITY_PRECISION = "fp32"


@dataclass(frozen=True)
class ParetoSet:
    """What a study has found for one target.

    Args:
        objectives: the study's objectives that are no latency, and this target's latency.
        is_objective: whether the search aimed at this target.
        rows: of the history, on the front.
        hypervolume: of the feasible trials in these objectives, relative to the teacher; None without a reference.
        reference: objective label -> the value it is measured against, NaN where there is none.
    """

    objectives: tuple[Objective, ...]
    is_objective: bool
    rows: tuple[int, ...]
    hypervolume: float | None
    reference: Mapping[str, float]


def pareto_sets(
    history: History,
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    teacher: Mapping[str, Any],
    targets: Sequence[str],
) -> dict[str, ParetoSet]:
    """One set per target.

    Args:
        history: what was seen.
        objectives: the study's; each target keeps those that are no latency.
        constraints: all hold for every target: a trial that breaks one was never trained.
        teacher: the stored step ``teacher``.
        targets: labels of latency backends.
    """
    told = {metric for metric in (*history.metrics, *teacher["values"]) if _is_told(history, metric)}
    return {
        target: _pareto_set(
            history, target_objectives(objectives, target, targets, told), constraints, teacher, objectives
        )
        for target in targets
    }


def _is_told(history: History, metric: str) -> bool:
    """Whether every trial that was timed on a target has this metric of it, too: percentiles need many requests."""
    median = f"{metric.partition('.')[0]}.{DEFAULT_METRIC}"
    nothing = np.full(len(history), np.nan)
    timed = np.isfinite(history.metrics.get(median, nothing))
    return bool(np.isfinite(history.metrics.get(metric, nothing)[timed]).all())


def target_objectives(
    objectives: Sequence[Objective], target: str, targets: Sequence[str], told: Collection[str]
) -> tuple[Objective, ...]:
    """The objectives of one target: its own latency stands where the study's latencies stood, else at the end.

    Its latency metric is that of its own objective, else of the first latency that is one, else the median; the median
    too where not every report of the target tells the other: a data sheet knows no 99th percentile.

    Args:
        objectives: the study's.
        target: label of a latency backend.
        targets: labels of all latency backends.
        told: metrics that have a value of every model that was timed.
    """
    latencies = [item for item in objectives if _label(item) in targets]
    own = [item for item in latencies if _label(item) == target]
    if not own:
        name = latencies[0].metric.rpartition(".")[2] if latencies else DEFAULT_METRIC
        name = name if f"{target}.{name}" in told else DEFAULT_METRIC
        own = [Objective(target, f"{target}.{name}", LATENCY_METRICS[name])]
    first = next((index for index, item in enumerate(objectives) if item in latencies), len(objectives))
    others = [item for item in objectives if item not in latencies]
    return (*others[:first], *own, *others[first:])


def quality_caveat(precision: str | None, scored: bool) -> str | None:
    """What must be said of the quality shown for a target; None where nothing must.

    Args:
        precision: that it times.
        scored: whether the trained models were scored in it.
    """
    if precision in (None, QUALITY_PRECISION):
        return None
    told = f"quality is that of the {QUALITY_PRECISION} model"
    return f"{told}; trained models were scored in {precision} too" if scored else told


def _label(objective: Objective) -> str:
    return objective.metric.rpartition(".")[0]


def _pareto_set(
    history: History,
    own: tuple[Objective, ...],
    constraints: Sequence[Constraint],
    teacher: Mapping[str, Any],
    objectives: Sequence[Objective],
) -> ParetoSet:
    usable = [
        row for row, feasible in enumerate(feasible_rows(history, constraints)) if feasible and history.in_space[row]
    ]
    point = reference_point(own, constraints, teacher)
    known = bool(teacher["values"])
    return ParetoSet(
        objectives=own,
        is_objective=all(item in objectives for item in own),
        rows=tuple(pareto_rows(history, own, constraints, teacher)),
        hypervolume=hypervolume_of(relative_matrix(history, own, teacher)[usable], point, own, teacher)
        if known
        else None,
        reference=point,
    )
