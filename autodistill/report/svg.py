"""The Pareto picture as a static SVG for READMEs, CI summaries and pages without scripts.

Written by hand, so that it needs no browser and no renderer, and small. It follows the reader's colour scheme. The
interactive figure is in `autodistill.report.figures`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape

from autodistill.report import formats
from autodistill.report.points import Axis, Group, Picture, Point, pareto_picture
from autodistill.report.tables import Summary

WIDTH, HEIGHT = 760, 480
#: Free space around the plot in px: room for ticks and titles, and for the legend on top.
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 62, 54
#: Legend: columns and the distance of its rows in px.
LEGEND_COLUMNS, LEGEND_ROW = 4, 20
#: Labelled multiples of powers of ten on a logarithmic axis over decades, and within one.
COARSE_DIGITS: tuple[float, ...] = (1, 2, 5)
FINE_DIGITS: tuple[float, ...] = (1, 1.5, 2, 3, 4, 5, 7)
#: About this many ticks on a linear axis.
TICKS = 6

STYLE = """
.pareto text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #3d4654 }
.pareto .name { font-size: 11.5px; font-weight: 600 }
.pareto .grid { stroke: #dfe3ea; stroke-width: 1 }
.pareto .paper { fill: #ffffff }
.pareto .complete { fill: #7c8aa5; fill-opacity: .7 }
.pareto .stopped { stroke: #b08a4a; stroke-width: 1.6; fill: none }
.pareto .running, .pareto .interrupted, .pareto .pending { stroke: #7c8aa5; stroke-width: 1.4; fill: none }
.pareto .front { stroke: #3b82d6; stroke-width: 2; fill: none }
.pareto .reference { fill: #8b6bd1; stroke: #8b6bd1 }
.pareto .baseline { fill: #d9722e; stroke: #d9722e }
.pareto .teacher { fill: #c0399f; stroke: #c0399f }
.pareto .pick { fill: #1c9a5b; stroke: #1c9a5b }
@media (prefers-color-scheme: dark) {
  .pareto text { fill: #d5dae3 } .pareto .paper { fill: #14171c } .pareto .grid { stroke: #2d333d }
}
"""

Scale = Callable[[float], float]


def pareto_svg(summary: Summary) -> str:
    """Draw quality against latency as an SVG document; an empty frame with a line of text when nothing is known."""
    picture = pareto_picture(summary)
    study = escape(str(summary.get("study", "study")))
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="pareto" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" aria-label="Pareto picture of {study}"><title>Pareto picture of {study}</title>'
        f'<style>{STYLE}</style><rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>'
    )
    if not picture.points:
        return f"{opening}{_text(WIDTH / 2, HEIGHT / 2, 'no scored model yet', 'middle')}</svg>"
    x, y = _x_scale(picture), _y_scale(picture)
    body = [_grid(picture, x, y), *(_group(picture, group, x, y) for group in picture.groups), _names(picture, x, y)]
    return f"{opening}{''.join(body)}{_legend(picture)}</svg>"


def _limits(values: list[float], axis: Axis) -> tuple[float, float]:
    """Where the axis begins and ends, with a margin; in logarithms when it is logarithmic."""
    moved = [math.log10(value) if axis.logarithmic else value for value in values]
    low, high = min(moved), max(moved)
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _x_scale(picture: Picture) -> Scale:
    low, high = _limits([point.x for point in picture.points], picture.x)
    width = WIDTH - LEFT - RIGHT
    return lambda value: LEFT + width * ((math.log10(value) if picture.x.logarithmic else value) - low) / (high - low)


def _y_scale(picture: Picture) -> Scale:
    bounds = [bound for point in picture.points for bound in (point.y, point.low, point.high) if bound is not None]
    low, high = _limits(bounds, picture.y)
    height = HEIGHT - TOP - BOTTOM
    return lambda value: (
        TOP + height * (1 - ((math.log10(value) if picture.y.logarithmic else value) - low) / (high - low))
    )


def digits(low: float, high: float) -> tuple[float, ...]:
    """Which multiples of powers of ten label a logarithmic axis: few over decades, more within one."""
    return COARSE_DIGITS if high / low > 6 else FINE_DIGITS  # 6: below it 1, 2, 5 give two ticks or fewer


def ticks(low: float, high: float, logarithmic: bool, marks: tuple[float, ...] | None = None) -> list[float]:
    """Round numbers in [low, high]: ``marks`` (default: `digits`) of every decade, or about `TICKS` even steps."""
    if logarithmic:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        candidates = [mark * 10.0**decade for decade in decades for mark in marks or digits(low, high)]
        return [value for value in candidates if low <= value <= high]
    raw = (high - low) / TICKS or 1.0
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * digit for digit in (1, 2, 5, 10) if unit * digit >= raw)
    return [step * index for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _grid(picture: Picture, x: Scale, y: Scale) -> str:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for value in _ticks_between(picture.x, [point.x for point in picture.points], x, LEFT, right):
        parts.append(f'<line class="grid" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(_text(x(value), bottom + 18, tick_text(value), "middle"))
    for value in _ticks_between(picture.y, [point.y for point in picture.points], y, TOP, bottom):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(_text(LEFT - 8, y(value) + 4, tick_text(value), "end"))
    parts.append(_text((LEFT + right) / 2, HEIGHT - 14, picture.x.title, "middle"))
    middle = (TOP + bottom) / 2
    parts.append(f'<g transform="rotate(-90 18 {middle:.1f})">{_text(18, middle, picture.y.title, "middle")}</g>')
    return "".join(parts)


def _ticks_between(axis: Axis, values: list[float], scale: Scale, first: float, last: float) -> list[float]:
    low, high = min(values), max(values)
    around = ticks(low / 10, high * 10, True, digits(low, high)) if axis.logarithmic else _linear_around(low, high)
    return [value for value in around if first <= scale(value) <= last]


def _linear_around(low: float, high: float) -> list[float]:
    margin = 0.06 * (high - low) or 0.5
    return ticks(low - margin, high + margin, logarithmic=False)


def tick_text(value: float) -> str:
    """A tick's label."""
    return formats.scaled(value, "") if value >= 1e4 else f"{value:.6g}"


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _group(picture: Picture, group: Group, x: Scale, y: Scale) -> str:
    if group.kind == "front":
        return _front(group, x, y, picture.x.maximised)
    bars = "".join(_bar(group.kind, point, x, y) for point in group.points)
    marks = (_mark(group.kind, x(point.x), y(point.y), f"{point.name}: {point.details}") for point in group.points)
    return bars + "".join(marks)


def _front(group: Group, x: Scale, y: Scale, maximised: bool) -> str:
    """The front as steps: between two points the worse of them in y is reached."""
    first, *rest = group.points
    steps = ((f"H{x(point.x):.1f}", f"V{y(point.y):.1f}") for point in rest)
    path = f"M{x(first.x):.1f} {y(first.y):.1f}" + "".join(v + h if maximised else h + v for h, v in steps)
    return f'<path class="front" d="{path}"/>'


def _bar(kind: str, point: Point, x: Scale, y: Scale) -> str:
    if point.low is None or point.high is None:
        return ""
    middle, top, bottom = x(point.x), y(point.high), y(point.low)
    return f'<path class="{kind}" d="M{middle:.1f} {top:.1f}V{bottom:.1f}m-3 0h6M{middle - 3:.1f} {top:.1f}h6"/>'


#: Kind -> outline around (0, 0); circles for all others.
SHAPES = {
    "stopped": "M-4 -4L4 4M-4 4L4 -4",
    "reference": "M0 -6L5.5 4.5H-5.5Z",
    "baseline": "M-4.5 -4.5H4.5V4.5H-4.5Z",
    "pick": "M0 -7L6 0L0 7L-6 0Z",
    "teacher": "M0 -8L2.2 -2.8L7.6 -2.5L3.5 1.1L4.8 6.5L0 3.6L-4.8 6.5L-3.5 1.1L-7.6 -2.5L-2.2 -2.8Z",
}


def _mark(kind: str, x: float, y: float, hint: str) -> str:
    title = f"<title>{escape(hint)}</title>"
    if kind in SHAPES:
        return f'<path class="{kind}" transform="translate({x:.1f} {y:.1f})" d="{SHAPES[kind]}">{title}</path>'
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4">{title}</circle>'


def _names(picture: Picture, x: Scale, y: Scale) -> str:
    """Names of teacher and picks, left of the point where there is room."""
    parts = []
    for group in picture.groups:
        for point in group.points if group.kind in ("teacher", "pick") else []:
            shift, anchor = (-10, "end") if x(point.x) > WIDTH / 2 else (10, "start")
            parts.append(_text(x(point.x) + shift, y(point.y) - 8, point.name, anchor, "name"))
    return "".join(parts)


def _legend(picture: Picture) -> str:
    parts = []
    for index, group in enumerate(picture.groups):
        row, column = divmod(index, LEGEND_COLUMNS)
        x, y = LEFT + column * (WIDTH - LEFT - RIGHT) / LEGEND_COLUMNS, 20 + row * LEGEND_ROW
        line = f'<path class="front" d="M{x - 8:.1f} {y}h16"/>'
        parts.append(line if group.kind == "front" else _mark(group.kind, x, y, group.title))
        parts.append(_text(x + 13, y + 4, _LEGEND_TITLES.get(group.kind, group.title)))
    return "".join(parts)


_LEGEND_TITLES = {
    "front": "front of flash trials",
    "stopped": "stopped early",
    "running": "under way",
    "interrupted": "interrupted",
    "pending": "waiting",
}
