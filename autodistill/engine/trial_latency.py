"""Latency of a trial before it is trained: composed where that suffices to refuse it, else measured whole."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from autodistill.components.latency import ComposingBackend, LatencyReport, LatencySubject
from autodistill.engine.cache import write_json
from autodistill.engine.records import TrialRecord
from autodistill.engine.session import Session


def latency_metrics(trial: TrialRecord) -> dict[str, float]:
    """``<label>.<metric>`` -> value of a trial's stored latency reports."""
    return metrics_of(trial.latencies)


def metrics_of(latencies: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """``<label>.<metric>`` -> value of stored latency reports."""
    return {
        f"{label}.{name}": value
        for label, report in latencies.items()
        for name, value in LatencyReport(**report).metrics().items()
    }


def _untrained(session: Session, trial: TrialRecord) -> LatencySubject:
    """A trial's architecture with random weights."""
    return LatencySubject(f"trial {trial.number}", trial.architecture, partial(session.bench.build, trial.architecture))


def compose_architecture(session: Session, trial: TrialRecord) -> dict[str, dict[str, object]]:
    """Label -> composed report, of the backends that were asked to compose and that a constraint needs.

    Raises:
        LatencyError: a block cannot be timed.
    """
    bound = {constraint.metric.partition(".")[0] for constraint in session.bench.constraints}
    subject = _untrained(session, trial)
    found = {}
    with session.timed("latency"):
        for label, backend in session.backends.items():
            if label not in bound or not isinstance(backend, ComposingBackend):
                continue
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
        latencies = {label: backend.measure(subject).as_dict() for label, backend in session.backends.items()}
    folder = session.settings.study_dir / "trials" / str(trial.number)
    write_json(folder / "latency.json", latencies)
    return latencies
