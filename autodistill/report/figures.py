"""Interactive figures of a study, as plotly figures that are functions of the summary.

Colours are chosen to be read on light and on dark paper, and the shapes tell the groups apart without colour. The
static picture for READMEs is in `autodistill.report.svg`; where points come from, in `autodistill.report.points`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from autodistill.report import formats, tables
from autodistill.report.points import Axis, Group, Picture, Point, pareto_picture
from autodistill.report.svg import digits, pareto_svg, tick_text, ticks
from autodistill.report.tables import Summary

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["flash_against_full_figure", "hypervolume_figure", "pareto_figure", "pareto_svg"]

#: Kind of group -> (colour, plotly symbol, size in px).
LOOKS: Mapping[str, tuple[str, str, int]] = {
    "complete": ("#7c8aa5", "circle", 8),
    "stopped": ("#b08a4a", "x-thin", 7),
    "running": ("#7c8aa5", "circle-open", 8),
    "interrupted": ("#7c8aa5", "circle-open", 8),
    "pending": ("#7c8aa5", "circle-open", 8),
    "front": ("#3b82d6", "circle", 8),
    "reference": ("#8b6bd1", "triangle-up", 11),
    "baseline": ("#d9722e", "square", 11),
    "teacher": ("#c0399f", "star", 15),
    "pick": ("#1c9a5b", "diamond", 13),
}
#: Groups whose points carry their names in the picture.
NAMED = frozenset({"teacher", "pick"})
#: Height of the wide figures in px; their width follows the page.
HEIGHT = 460
#: Neutral ink and lines, readable on white and on near black; the page adapts them to its scheme.
INK = "#5b6472"
GRID = "rgba(128,138,155,0.25)"


def pareto_figure(summary: Summary, latency: str | None = None) -> Figure:
    """Quality against latency: flash trials, their front, and the final values with 95 % intervals.

    Args:
        summary: of the study.
        latency: a latency metric; by default the study's main one.
    """
    picture = pareto_picture(summary, latency)
    figure = blank_figure(
        _axis(picture.x, [point.x for point in picture.points]), _axis(picture.y, [point.y for point in picture.points])
    )
    for group in picture.groups:
        figure.add_trace(_front_trace(picture, group) if group.kind == "front" else _group_trace(picture, group))
    return figure


def hypervolume_figure(summary: Summary) -> Figure:
    """Hypervolume of the front after every result of the search."""
    from plotly import graph_objects

    curve = [formats.number_of(value) for value in tables.entries(summary, "hypervolume_curve")]
    figure = blank_figure({"title": {"text": "results told to the search"}}, {"title": {"text": "hypervolume"}})
    figure.add_trace(
        graph_objects.Scatter(
            x=list(range(1, len(curve) + 1)),
            y=curve,
            mode="lines",
            line={"shape": "hv", "color": LOOKS["front"][0], "width": 2.5},
            hovertemplate="after %{x} results: %{y:.4g}<extra></extra>",
        )
    )
    return figure.update_layout(showlegend=False, height=340)


def flash_against_full_figure(summary: Summary) -> Figure:
    """Final value against flash value of every pick and baseline that has both."""
    metric = tables.main_metric(summary)
    title = tables.metric_label(metric) + (", %" if formats.is_percent(metric) else "")
    figure = blank_figure({"title": {"text": f"flash {title}"}}, {"title": {"text": f"final {title}"}})
    for role, students in (("baseline", "baselines"), ("pick", "picks")):
        points = [point for student in tables.entries(summary, students) if (point := _both(role, student, metric))]
        if points:
            figure.add_trace(_scatter(Group(role, students, points), "flash %{x:.4g}<br>final %{y:.4g}"))
    return figure.update_layout(height=380)


def _both(role: str, student: Mapping[str, Any], metric: str) -> Point | None:
    """A student's flash and final value; on the select split where both are known there."""
    final = tables.mapping(student, "final")
    entry = tables.mapping(final, f"select/{metric}") or tables.mapping(final, metric)
    flash, value = tables.metric_of(metric, tables.mapping(student, "flash"), {}), formats.number_of(entry.get("value"))
    if flash is None or value is None:
        return None
    scale = 100 if formats.is_percent(metric) else 1
    low, high = (formats.number_of(entry.get(side)) for side in ("low", "high"))
    details = formats.architecture(tables.mapping(student, "architecture"))
    return Point(scale * flash, scale * value, tables.student_name(role, student), details, *_scaled(scale, low, high))


def _scaled(scale: float, *values: float | None) -> list[float | None]:
    return [None if value is None else scale * value for value in values]


def blank_figure(x: Mapping[str, Any], y: Mapping[str, Any]) -> Figure:
    """A figure without data in the look of the report, with what the axes ``x`` and ``y`` add to it."""
    from plotly import graph_objects

    common = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "ticks": "outside", "tickcolor": GRID}
    return graph_objects.Figure(
        layout={
            "template": None,
            "height": HEIGHT,
            "margin": {"l": 58, "r": 16, "t": 12, "b": 52},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
            "xaxis": {**common, **x, "automargin": True},
            "yaxis": {**common, **y, "automargin": True},
            "hoverlabel": {"align": "left", "font": {"family": "system-ui, sans-serif", "size": 13}},
            "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        }
    )


def _axis(axis: Axis, values: Sequence[float]) -> dict[str, Any]:
    title = {"title": {"text": escape(axis.title)}}
    if not axis.logarithmic or not values:
        return title
    low, high = min(values), max(values)
    shown = ticks(low / 10, high * 10, logarithmic=True, marks=digits(low, high))  # room to zoom out
    return {**title, "type": "log", "tickvals": shown, "ticktext": [tick_text(value) for value in shown]}


def _group_trace(picture: Picture, group: Group) -> Any:
    return _scatter(group, f"{_hover(picture.x, 'x')}<br>{_hover(picture.y, 'y')}")


def _hover(axis: Axis, letter: str) -> str:
    return f"{escape(axis.title)}: %{{{letter}:.4g}}"


def _scatter(group: Group, values: str) -> Any:
    from plotly import graph_objects

    colour, symbol, size = LOOKS[group.kind]
    named = group.kind in NAMED
    return graph_objects.Scatter(
        name=escape(group.title),
        x=[point.x for point in group.points],
        y=[point.y for point in group.points],
        mode="markers+text" if named else "markers",
        text=[escape(point.name) for point in group.points] if named else None,
        textposition="top left",
        textfont={"size": 12},
        marker={"color": colour, "symbol": symbol, "size": size, "line": {"width": _outline(symbol), "color": colour}},
        opacity=0.8 if group.kind in ("complete", "running", "interrupted", "pending") else 1,
        error_y=_vertical(group.points, colour),
        error_x=_horizontal(group.points, colour),
        customdata=[[escape(point.name), escape(point.details)] for point in group.points],
        hovertemplate=f"<b>%{{customdata[0]}}</b><br>{values}<br>%{{customdata[1]}}<extra></extra>",
    )


def _outline(symbol: str) -> float:
    return 2 if symbol.endswith("thin") else 1  # thin symbols are outline only


def _vertical(points: Sequence[Point], colour: str) -> dict[str, Any]:
    return _bars([(point.low, point.y, point.high) for point in points], colour)


def _horizontal(points: Sequence[Point], colour: str) -> dict[str, Any]:
    return _bars([(point.x_low, point.x, point.x_high) for point in points], colour)


def _bars(rows: Sequence[tuple[float | None, float, float | None]], colour: str) -> dict[str, Any]:
    """Error bars of (low, value, high); no bar where an end is unknown."""
    up = [0.0 if high is None else max(0.0, high - value) for _, value, high in rows]
    down = [0.0 if low is None else max(0.0, value - low) for low, value, _ in rows]
    bars = {"type": "data", "array": up, "arrayminus": down, "symmetric": False, "visible": any(up + down)}
    return {**bars, "color": colour, "thickness": 1.2, "width": 4}


def _front_trace(picture: Picture, group: Group) -> Any:
    from plotly import graph_objects

    colour, symbol, size = LOOKS["front"]
    return graph_objects.Scatter(
        name=escape(group.title),
        x=[point.x for point in group.points],
        y=[point.y for point in group.points],
        mode="lines+markers",
        # Between two points the worse of them in y is reached; which one, the direction of x decides.
        line={"shape": "vh" if picture.x.maximised else "hv", "color": colour, "width": 2},
        marker={"color": colour, "symbol": symbol, "size": size},
        customdata=[[escape(point.name), escape(point.details)] for point in group.points],
        hovertemplate=(
            f"<b>%{{customdata[0]}}</b>, on the front<br>{_hover(picture.x, 'x')}<br>{_hover(picture.y, 'y')}"
            "<br>%{customdata[1]}<extra></extra>"
        ),
    )
