"""What a study has seen, as columns: from records to the `History` that search strategies read.

Only what is comparable enters: metrics of *complete* flash runs on the select split (a stopped run was scored
early), metrics known before training, and latencies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autodistill.components.search import History
from autodistill.engine.records import FINAL_TRIAL_STATES, RunRecord, TrialRecord

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

#: Report field -> metric, of what `LatencyReport.metrics` gives.
_LATENCY_FIELDS = {
    "median": "p50_ms",
    "p90": "p90_ms",
    "p99": "p99_ms",
    "throughput": "throughput",
    "peak_memory_bytes": "peak_memory_bytes",
}

#: 97.5 % quantile of the normal distribution: a 95 % interval's half width is this many standard errors.
_Z = 1.959963984540054

#: metric -> (value, variance) of one trial.
Observation = dict[str, tuple[float, float]]


def make_history(trials: Sequence[TrialRecord], runs: Iterable[RunRecord]) -> History:
    """The history of ``trials`` (in the order of asks)."""
    flash = {run.trial: run for run in runs if run.kind == "flash" and run.state == "complete"}
    observations = [observation(trial, flash.get(trial.number)) for trial in trials]
    metrics, variances = _columns(observations)
    return History(
        architectures=tuple(trial.architecture for trial in trials),
        replicates=tuple(trial.replicate for trial in trials),
        states=tuple(trial.state if trial.state in FINAL_TRIAL_STATES else "pending" for trial in trials),
        in_space=tuple(trial.in_space for trial in trials),
        metrics=metrics,
        variances=variances,
        told=tuple(-1 if trial.told is None else trial.told for trial in trials),
        notes=tuple(trial.note for trial in trials),
    )


def observation(trial: TrialRecord, flash: RunRecord | None) -> Observation:
    """Everything observed of one trial; ``flash`` is its complete flash run, or None.

    Known metrics without a latency report are exact (variance 0). A pending trial shows only what is known.
    """
    seen: Observation = {name: (value, 0.0) for name, value in trial.known.items()}
    for label, report in trial.latencies.items():
        seen.update(_latency(label, report))
    if flash is not None and trial.state in FINAL_TRIAL_STATES:
        seen.update(_select_metrics(flash))
    return seen


def _latency(label: str, report: Mapping[str, Any]) -> Observation:
    exact = report.get("kind") == "analytical"
    seen = {
        f"{label}.{metric}": (float(report[name]), 0.0 if exact else np.nan)
        for name, metric in _LATENCY_FIELDS.items()
        if report.get(name) is not None
    }
    half_width, median = report.get("relative_half_width"), report.get("median")
    if half_width is not None and median is not None:
        seen[f"{label}.p50_ms"] = (float(median), float(half_width * median / _Z) ** 2)
    return seen


def _select_metrics(run: RunRecord) -> Observation:
    return {
        name.removeprefix("select/"): (_number(entry.get("value")), _number(entry.get("variance")))
        for name, entry in run.metrics.items()
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
