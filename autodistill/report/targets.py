"""Rows of the targets: what a study has found for each of its latency backends, and what models score there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autodistill.report import formats, tables
from autodistill.report.tables import Summary


@dataclass(frozen=True)
class TargetRow:
    """The front of one target.

    Args:
        target: label of the latency backend.
        metric: what the target is judged by.
        size: trials on its front.
        fastest: latency of the front's fastest trial with its unit, and its name with its quality.
        best: the same of the front's best.
        hypervolume: of the flash trials for this target, or None.
        is_objective: whether the search aimed at it.
        caveat: what must be said of the quality shown, e.g. that it is of another precision; empty where nothing must.
    """

    target: str
    metric: str
    size: int
    fastest: tuple[str, str]
    best: tuple[str, str]
    hypervolume: float | None
    is_objective: bool
    caveat: str = ""


def target_rows(summary: Summary) -> list[TargetRow]:
    """One row per target, those that are objectives first."""
    rows = [_row(summary, str(label), found) for label, found in tables.mapping(summary, "pareto_sets").items()]
    return sorted(rows, key=lambda row: not row.is_objective)


@dataclass(frozen=True)
class AnswersRow:
    """A trained model as a target of another precision runs it.

    Args:
        model: its name.
        role: ``baseline`` or ``pick``.
        target: label of the latency backend.
        precision: that it runs.
        metric: the main metric there: value, interval, n, split.
        change: of that metric, paired: there minus as trained.
        left_out: why neither is known; empty where they are.
    """

    model: str
    role: str
    target: str
    precision: str
    metric: Mapping[str, Any]
    change: Mapping[str, Any]
    left_out: str = ""


def answers_rows(summary: Summary) -> list[AnswersRow]:
    """Baselines and picks as every target of another precision runs them; empty where there is no such target."""
    quality = tables.main_metric(summary)
    return [
        AnswersRow(
            tables.student_name(role, student),
            role,
            str(target),
            str(found.get("precision", "")),
            tables.mapping(tables.mapping(found, "metrics"), quality),
            tables.mapping(found, "change"),
            str(found.get("left_out") or ""),
        )
        for role, group in (("baseline", "baselines"), ("pick", "picks"))
        for student in tables.entries(summary, group)
        for target, found in tables.mapping(student, "targets").items()
    ]


def _row(summary: Summary, target: str, found: Mapping[str, Any]) -> TargetRow:
    metric, quality = str(found.get("metric", "")), tables.main_metric(summary)
    trials = tables.front_trials(summary, metric)

    def end(trial: Mapping[str, Any] | None) -> tuple[str, str]:
        if trial is None:
            return formats.MISSING, ""
        metrics, latencies = tables.mapping(trial, "metrics"), tables.mapping(trial, "latencies")
        value = formats.metric_value(quality, tables.metric_of(quality, metrics, {}))
        shown = formats.latency_value(metric, tables.metric_of(metric, metrics, latencies))
        return shown, f"trial {trial.get('trial')}, {value}"

    def score(trial: Mapping[str, Any]) -> float:
        value = tables.metric_of(quality, tables.mapping(trial, "metrics"), {})
        return float("-inf") if value is None else value if tables.is_maximised(summary, quality) else -value

    return TargetRow(
        target=target,
        metric=metric,
        size=len(tables.entries(found, "trials")),
        fastest=end(trials[0] if trials else None),
        best=end(max(trials, key=score, default=None)),
        hypervolume=formats.number_of(found.get("hypervolume")),
        is_objective=bool(found.get("is_objective")),
        caveat=str(found.get("caveat") or ""),
    )
