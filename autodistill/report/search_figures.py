"""Figures of what the search has learnt: progress over device time, importance of parameters, prediction.

Functions of the summary like those of `autodistill.report.figures`, in the same look and without a legend: each has
one thing to show.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from autodistill.report import formats, tables
from autodistill.report.figures import LOOKS, blank_figure
from autodistill.report.tables import Summary

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Parameters that are shown; the rest explains little.
MAX_PARAMETERS = 8
#: Height of a figure in a pair, px; of one bar and of what stands around the bars.
HEIGHT = 340
BAR, AROUND_BARS = 34, 76
#: 95 % interval of a normal in standard deviations.
Z95 = 1.96
#: Seconds from which on an axis is in minutes or hours.
MINUTES, HOURS = 300.0, 3 * 3600.0


def device_time_figure(summary: Summary) -> Figure:
    """Hypervolume of the front over the device time of the flash runs; stopped and failed runs count."""
    from plotly import graph_objects

    progress = tables.mapping(tables.mapping(summary, "analytics"), "hypervolume")
    seconds = [formats.number_of(value) or 0.0 for value in tables.entries(progress, "device_seconds")]
    unit, name = _unit(max(seconds, default=0.0))
    figure = blank_figure(
        {"title": {"text": f"device time of the flash runs, {name}"}, "rangemode": "tozero"},
        {"title": {"text": "hypervolume"}, "rangemode": "tozero"},
    )
    if seconds:
        figure.add_trace(
            graph_objects.Scatter(
                x=[0.0, *(value / unit for value in seconds)],
                y=[0.0, *tables.entries(progress, "value")],
                customdata=["start", *(f"trial {number}" for number in tables.entries(progress, "trial"))],
                mode="lines",
                line={"shape": "hv", "color": LOOKS["front"][0], "width": 2.5},
                hovertemplate="%{customdata}, after %{x:.3g} " + name + ": %{y:.4g}<extra></extra>",
            )
        )
    return figure.update_layout(showlegend=False, height=HEIGHT)


def _unit(seconds: float) -> tuple[float, str]:
    if seconds >= HOURS:
        return 3600.0, "hours"
    return (60.0, "minutes") if seconds >= MINUTES else (1.0, "seconds")


def importance_figure(importance: Mapping[str, Any]) -> Figure:
    """Bars: the share of a metric's variance that each parameter explains alone, with 80 % intervals.

    Args:
        importance: one entry of ``analytics.importance``.
    """
    from plotly import graph_objects

    rows = tables.entries(importance, "parameters")[:MAX_PARAMETERS]
    figure = blank_figure(
        {"title": {"text": "share of the variance, %"}, "rangemode": "tozero"},
        {"autorange": "reversed", "showgrid": False, "ticks": ""},
    )
    if rows:
        shares = [100 * float(row["share"]) for row in rows]
        above = [max(0.0, 100 * float(row["high"]) - share) for row, share in zip(rows, shares, strict=True)]
        below = [max(0.0, share - 100 * float(row["low"])) for row, share in zip(rows, shares, strict=True)]
        spread = {"type": "data", "array": above, "arrayminus": below, "symmetric": False}
        figure.add_trace(
            graph_objects.Bar(
                x=shares,
                y=[escape(str(row["name"]).replace("_", " ")) for row in rows],
                orientation="h",
                marker={"color": LOOKS["front"][0], "opacity": 0.85},
                width=0.62,
                error_x={**spread, "color": LOOKS["complete"][0], "thickness": 1.6, "width": 4},
                hovertemplate="%{y}: %{x:.0f} %<extra></extra>",
            )
        )
    return figure.update_layout(showlegend=False, height=AROUND_BARS + BAR * max(len(rows), 1))


def prediction_figure(summary: Summary) -> Figure:
    """Predicted against observed scores, each predicted without its architecture, with 95 % intervals."""
    from plotly import graph_objects

    prediction = tables.mapping(tables.mapping(summary, "analytics"), "prediction")
    metric = str(prediction.get("metric", ""))
    scale = 100 if formats.is_percent(metric) else 1
    title = tables.metric_label(metric) + (", %" if scale == 100 else "")
    figure = blank_figure({"title": {"text": f"observed {title}"}}, {"title": {"text": f"predicted {title}"}})
    points = tables.entries(prediction, "points")
    if points:
        observed, predicted, deviation = (
            [scale * float(point[key]) for point in points] for key in ("observed", "predicted", "deviation")
        )
        ends = [min(observed), max(observed)]
        figure.add_trace(
            graph_objects.Scatter(
                x=ends, y=ends, mode="lines", line={"color": LOOKS["complete"][0], "dash": "dot"}, hoverinfo="skip"
            )
        )
        half = {"type": "data", "array": [Z95 * value for value in deviation], "width": 0, "thickness": 1}
        figure.add_trace(
            graph_objects.Scatter(
                x=observed,
                y=predicted,
                mode="markers",
                marker={"color": LOOKS["front"][0], "size": 7},
                error_y={**half, "color": "rgba(59,130,214,0.4)"},
                hovertemplate="observed %{x:.4g}<br>predicted %{y:.4g}<extra></extra>",
            )
        )
    return figure.update_layout(showlegend=False, height=HEIGHT)
