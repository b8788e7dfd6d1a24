"""Points of the Pareto picture: which models stand where, before anything is drawn.

The interactive figure (``figures``) and the static picture (``svg``) draw the same groups from here. Flash trials
stand at their flash score on the select split; picks, baselines and the teacher at their final values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from autodistill.components.latency import LATENCY_FIELDS
from autodistill.report import formats, tables
from autodistill.report.tables import ComparisonRow, Summary
from autodistill.search.scales import is_ratio

#: More flash trials than this are thinned evenly in pictures; the front stays whole.
MAX_POINTS = 3000
#: Metric of a latency report -> the field of its interval, (low, high).
INTERVALS: Mapping[str, str] = {"p90_ms": "p90_interval", "p99_ms": "p99_interval"}

STATE_TITLES: Mapping[str, str] = {
    "complete": "flash trial",
    "stopped": "flash trial, stopped early",
    "running": "flash trial, under way",
    "interrupted": "flash trial, interrupted",
    "pending": "flash trial, waiting",
}


@dataclass(frozen=True)
class Axis:
    """One axis: the metric, its title, whether it is logarithmic or in per cent, and whether more of it is better."""

    metric: str
    title: str
    logarithmic: bool
    percent: bool
    maximised: bool

    def shown(self, value: float | None) -> float | None:
        """``value`` on the axis' scale; None when it cannot be drawn."""
        if value is None or (self.logarithmic and value <= 0):
            return None
        return 100 * value if self.percent else value


@dataclass(frozen=True)
class Point:
    """One model; ``low``/``high`` bound ``y``, ``x_low``/``x_high`` bound ``x``, all on the axes' scales."""

    x: float
    y: float
    name: str
    details: str
    low: float | None = None
    high: float | None = None
    x_low: float | None = None
    x_high: float | None = None


@dataclass(frozen=True)
class Group:
    """Points that look alike; ``kind`` is a role, a state, or ``front``."""

    kind: str
    title: str
    points: list[Point]


@dataclass(frozen=True)
class Picture:
    """The Pareto picture: two axes and groups of points, the least important first."""

    x: Axis
    y: Axis
    groups: list[Group] = field(default_factory=list)

    @property
    def points(self) -> list[Point]:
        """All points of all groups."""
        return [point for group in self.groups for point in group.points]


def pareto_picture(summary: Summary, latency: str | None = None) -> Picture:
    """Place every model of the study; groups without points are left out.

    Args:
        summary: of the study.
        latency: a latency metric for the x axis; by default the study's main one.
    """
    picture = Picture(*pareto_axes(summary, latency))
    groups = [*_flash_groups(summary, picture), _front(summary, picture), *_final_groups(summary, picture)]
    return Picture(picture.x, picture.y, [group for group in groups if group.points])


def pareto_axes(summary: Summary, latency: str | None = None) -> tuple[Axis, Axis]:
    """(x, y) of `pareto_picture`."""
    return _axis(summary, latency or _x_metric(summary)), _axis(summary, tables.main_metric(summary))


def _x_metric(summary: Summary) -> str:
    latency = tables.main_latency(summary)
    if latency is not None:
        return latency
    quality = tables.main_metric(summary)
    others = [str(objective["metric"]) for objective in tables.entries(summary, "objectives")]
    return next((metric for metric in others if metric != quality), "size.parameters")


def _axis(summary: Summary, metric: str) -> Axis:
    label, _, name = metric.rpartition(".")
    percent = formats.is_percent(metric)
    words = {"p50_ms": "median latency in ms", "p90_ms": "90th percentile of latency in ms", "parameters": "parameters"}
    text = words.get(name, tables.metric_label(metric)) + (", %" if percent else "")
    title = f"{text} ({label})" if name in LATENCY_FIELDS else text
    return Axis(metric, title, is_ratio(metric), percent, tables.is_maximised(summary, metric))


def _flash_groups(summary: Summary, picture: Picture) -> list[Group]:
    trials = [trial for trial in tables.entries(summary, "history") if tables.is_search_trial(trial)]
    stride = -(-len(trials) // MAX_POINTS) or 1
    return [
        Group(state, title, _placed(picture, (t for t in trials[::stride] if t.get("state") == state)))
        for state, title in STATE_TITLES.items()
    ]


def _front(summary: Summary, picture: Picture) -> Group:
    points = _placed(picture, tables.front_trials(summary, picture.x.metric))
    return Group("front", "Pareto front of the flash trials", sorted(points, key=lambda point: point.x))


def _placed(picture: Picture, trials: Iterable[Mapping[str, Any]]) -> list[Point]:
    points = []
    for trial in trials:
        metrics, latencies = tables.mapping(trial, "metrics"), tables.mapping(trial, "latencies")
        x = picture.x.shown(tables.metric_of(picture.x.metric, metrics, latencies))
        y = picture.y.shown(tables.metric_of(picture.y.metric, metrics, latencies))
        if x is not None and y is not None:
            architecture = formats.architecture(tables.mapping(trial, "architecture"))
            points.append(Point(x, y, f"trial {trial.get('trial', '?')}", architecture))
    return points


def _final_groups(summary: Summary, picture: Picture) -> list[Group]:
    rows = tables.comparison_rows(summary)
    titles = {"reference": "references", "baseline": "baselines, final", "teacher": "teacher", "pick": "picks, final"}
    return [
        Group(role, title, [point for row in rows if row.role == role and (point := _final(picture, row)) is not None])
        for role, title in titles.items()
    ]


def _final(picture: Picture, row: ComparisonRow) -> Point | None:
    x, y = picture.x.shown(row.value(picture.x.metric)), picture.y.shown(row.value(picture.y.metric))
    if x is None or y is None:
        return None
    entry = tables.mapping(row.metrics, picture.y.metric)
    low, high = (picture.y.shown(formats.number_of(entry.get(bound))) for bound in ("low", "high"))
    details = formats.architecture(row.architecture) if row.architecture else row.role
    return Point(x, y, row.name, details, low, high, *_latency_interval(row, picture.x.metric))


def _latency_interval(row: ComparisonRow, metric: str) -> tuple[float | None, float | None]:
    """The interval of a latency metric as far as its report tells one: of medians and percentiles."""
    label, _, name = metric.rpartition(".")
    report = tables.mapping(row.latencies, label)
    if name in INTERVALS:
        ends = tables.entries(report, INTERVALS[name])
        return (formats.number_of(ends[0]), formats.number_of(ends[1])) if len(ends) == 2 else (None, None)
    median, half = (formats.number_of(report.get(field)) for field in ("median", "relative_half_width"))
    if name != "p50_ms" or median is None or half is None:
        return None, None
    return median * (1 - half), median * (1 + half)
