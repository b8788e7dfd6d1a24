"""Latency of a trial before it is trained: composed where that suffices to refuse it, else measured whole."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from autodistill.components.latency import COMPOSED_METRICS, ComposingBackend, LatencyReport, LatencySubject
from autodistill.configs.settings import noted
from autodistill.engine.records import TrialRecord
from autodistill.folders import write_json

if TYPE_CHECKING:
    from autodistill.engine.session import Session


def metrics_of(latencies: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """``<label>.<metric>`` -> value of stored latency reports."""
    return {
        f"{label}.{name}": value
        for label, report in latencies.items()
        for name, value in LatencyReport(**report).metrics().items()
    }


def missing_metric(session: Session, latencies: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Which objective or constraint has no value in a trial's reports, as a reason; None when all have one.

    Such a trial could neither satisfy the constraint nor be on the front, however well it were trained.
    """
    values = metrics_of(latencies)
    bench = session.bench
    wanted = [(f"objectives.{item.label}", item.metric) for item in bench.objectives]
    wanted += [(f"constraints.{item.label}", item.metric) for item in bench.constraints]
    for where, metric in wanted:
        label = metric.partition(".")[0]
        if label in session.backends and metric not in values:
            report = latencies.get(label, {})
            given = sorted(name for name in values if name.startswith(f"{label}."))
            flags = f", flagged {', '.join(report['flags'])}" if report.get("flags") else ""
            return f"{where}: {metric} is not in the latency report{flags}; it has {', '.join(given) or 'nothing'}"
    return None


def _untrained(session: Session, trial: TrialRecord) -> LatencySubject:
    """A trial's architecture with random weights."""
    return LatencySubject(f"trial {trial.number}", trial.architecture, partial(session.bench.build, trial.architecture))


def compose_architecture(session: Session, trial: TrialRecord) -> dict[str, dict[str, object]]:
    """Label -> composed report, of the backends that were asked to compose, where a constraint bounds what that gives.

    Raises:
        LatencyError: a block cannot be timed.
    """
    named = (constraint.metric.partition(".") for constraint in session.bench.constraints)
    bound = {label for label, _, metric in named if metric in COMPOSED_METRICS}
    subject = _untrained(session, trial)
    found = {}
    with session.timed("latency"):
        for label, backend in session.backends.items():
            if label not in bound or not isinstance(backend, ComposingBackend):
                continue
            with noted(session.settings.several["latency"][label], f"timing {subject.name}"):
                report = backend.compose(subject)
            if report is not None:
                found[label] = report.as_dict()
    return found


def measure_architecture(session: Session, trial: TrialRecord) -> dict[str, dict[str, object]]:
    """Time an architecture with random weights on every backend; also written to the trial's folder.

    Raises:
        LatencyError: a backend cannot time it.
    """
    subject = _untrained(session, trial)
    with session.timed("latency"):
        latencies = {}
        for label, backend in session.backends.items():
            with noted(session.settings.several["latency"][label], f"timing {subject.name}"):
                latencies[label] = backend.measure(subject).as_dict()
    folder = session.settings.study_dir / "trials" / str(trial.number)
    write_json(folder / "latency.json", latencies)
    return latencies
