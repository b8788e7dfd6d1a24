"""What a study has seen, as columns: from the tables to the `History` that search strategies read.

Only what is comparable enters: metrics of *complete* flash runs on the select split (a stopped run was scored
early), metrics known before training, and latencies; beside them, the scores at the rungs of every run that has ended.
Of a pending trial only what is known enters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Connection, Row, Select, and_, select

from autodistill.components.latency import LATENCY_FIELDS
from autodistill.components.search import History
from autodistill.components.training import RungReport
from autodistill.engine.records import FINAL_TRIAL_STATES
from autodistill.engine.storage_json import loads
from autodistill.engine.storage_schema import rungs, runs, trials
from autodistill.engine.storage_trials import parse_architecture

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

#: 97.5 % quantile of the normal distribution: a 95 % interval's half width is this many standard errors.
_Z = 1.959963984540054

#: metric -> (value, variance) of one trial.
Observation = dict[str, tuple[float, float]]


def read_history(connection: Connection, study_id: int) -> History:
    """The history of a study, rows in the order of asks."""
    rows = connection.execute(_query(study_id)).all()
    metrics, variances = _columns([_observation(row.known, row.latencies, row.metrics) for row in rows])
    return History(
        architectures=tuple(parse_architecture(row.architecture) for row in rows),
        replicates=tuple(row.replicate for row in rows),
        states=tuple(row.state if row.state in FINAL_TRIAL_STATES else "pending" for row in rows),
        in_space=tuple(row.in_space for row in rows),
        metrics=metrics,
        variances=variances,
        told=tuple(-1 if row.told is None else row.told for row in rows),
        notes=tuple(None if row.note is None else loads(row.note) for row in rows),
        curves=_curves(connection, study_id, rows),
    )


def _curves(connection: Connection, study_id: int, rows: Sequence[Row[Any]]) -> tuple[tuple[RungReport, ...], ...]:
    """What was recorded along each flash run; of a run that goes on, nothing yet."""
    query = select(rungs).where(rungs.c.study_id == study_id, rungs.c.kind == "flash").order_by(rungs.c.rung)
    found: dict[int, list[RungReport]] = {}
    for report in connection.execute(query):
        found.setdefault(report.trial, []).append(RungReport(report.rung, report.share, loads(report.metrics)))
    return tuple(tuple(found.get(row.number, ())) if row.state in FINAL_TRIAL_STATES else () for row in rows)


def _query(study_id: int) -> Select[Any]:
    """Trials, each with the metrics of its complete flash run; those of a pending trial stay hidden."""
    columns = [
        trials.c[name]
        for name in ("number", "architecture", "replicate", "state", "in_space", "told", "note", "known", "latencies")
    ]
    comparable = and_(
        runs.c.study_id == trials.c.study_id,
        runs.c.trial == trials.c.number,
        runs.c.kind == "flash",
        runs.c.state == "complete",
        trials.c.state.in_(FINAL_TRIAL_STATES),
    )
    joined = select(*columns, runs.c.metrics).select_from(trials.outerjoin(runs, comparable))
    return joined.where(trials.c.study_id == study_id).order_by(trials.c.asked)


@lru_cache(maxsize=100_000)  # a study may have as many trials, and asks for its history before every proposal
def _observation(known: str, latencies: str, metrics: str | None) -> Observation:
    """Everything observed of one trial, from JSON texts; known metrics without a latency report are exact."""
    seen: Observation = {name: (value, 0.0) for name, value in loads(known).items()}
    for label, report in loads(latencies).items():
        seen.update(_latency(label, report))
    if metrics is not None:
        seen.update(_select_metrics(loads(metrics)))
    return seen


def _latency(label: str, report: Mapping[str, Any]) -> Observation:
    exact = report.get("kind") == "analytical"
    seen = {
        f"{label}.{metric}": (float(report[field]), 0.0 if exact else np.nan)
        for metric, field in LATENCY_FIELDS.items()
        if report.get(field) is not None
    }
    half_width, median = report.get("relative_half_width"), report.get("median")
    if half_width is not None and median is not None:
        seen[f"{label}.p50_ms"] = (float(median), float(half_width * median / _Z) ** 2)
    return seen


def _select_metrics(metrics: Mapping[str, Mapping[str, Any]]) -> Observation:
    return {
        name.removeprefix("select/"): (_number(entry.get("value")), _number(entry.get("variance")))
        for name, entry in metrics.items()
        if entry.get("split") == "select"
    }


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _columns(observations: Sequence[Observation]) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    names = sorted({name for seen in observations for name in seen})
    metrics = {name: np.full(len(observations), np.nan) for name in names}
    variances = {name: np.full(len(observations), np.nan) for name in names}
    for row, seen in enumerate(observations):
        for name, (value, variance) in seen.items():
            metrics[name][row] = value
            variances[name][row] = variance
    return metrics, variances
