"""The page of ``autodistill latency``: a table, latency against length and batch size, and rooflines.

One self-contained document in the look of a study's report; it is a function of the reports and makes no request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.report import formats
from autodistill.report.figures import blank_figure
from autodistill.report.html import document, figure_html, write_page
from autodistill.report.markup import Html, section, table, tag, term
from autodistill.report.tables import care, load_columns

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Report = Mapping[str, Any]

#: Colours and symbols of series, told apart on light and on dark paper, and without colour.
COLOURS = ("#3b82d6", "#d9722e", "#1c9a5b", "#c0399f", "#8b6bd1", "#b08a4a", "#7c8aa5")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross")

#: Rooflines that are drawn at most; each is a figure of its own.
MAX_ROOFS = 8


def write_latency_page(reports: Sequence[Report], failures: Sequence[Mapping[str, str]], path: Path) -> None:
    """Write the page.

    Args:
        reports: of `autodistill.components.latency.LatencyReport.as_dict`, with ``model`` and ``label``.
        failures: ``model``, ``label`` and ``error`` of what could not be timed.
        path: file to write.
    """
    write_page(latency_page(reports, failures), path)


def latency_page(reports: Sequence[Report], failures: Sequence[Mapping[str, str]]) -> str:
    """The page as text; see `write_latency_page`."""
    parts = [section("Models", _table(reports), anchor="models")] if reports else []
    for axis, title in (("lengths", "tokens per sequence"), ("batch_size", "sequences per request")):
        figure = workload_figure(reports, axis, title)
        if figure.data:
            drawn = figure_html(figure, f"latency-{axis}")
            parts.append(section(f"Median latency against {title}", drawn, anchor=axis.replace("_", "-")))
    roofs = [report for report in reports if report["backend"] == "roofline"]
    parts += [_roof_section(report, place) for place, report in enumerate(roofs[:MAX_ROOFS])]
    if len(roofs) > MAX_ROOFS:
        more = (
            f"{len(roofs) - MAX_ROOFS} more are in the table only; all operators are in the JSON file beside this page."
        )
        parts.append(section("Further rooflines", tag("p", more), anchor="more-roofs"))
    if failures:
        listed = [tag("li", f"{item['model']} on {item['label']}: {item['error']}") for item in failures]
        parts.append(section("Could not be timed", tag("ul", *listed), anchor="failures"))
    heading = tag("header", tag("h1", "Latency"), tag("p", _lead(reports), class_="lead"))
    return document("Latency", [heading, tag("main", *parts)])


def _lead(reports: Sequence[Report]) -> str:
    devices = list(dict.fromkeys(str(report["device"]) for report in reports))
    return "Milliseconds per request on " + "; ".join(devices) if devices else "Nothing could be timed."


def _table(reports: Sequence[Report]) -> Html:
    extra = load_columns(reports)
    header = [
        "model",
        "backend",
        "kind",
        "precision",
        "batch",
        "lengths",
        term("median"),
        term("spread"),
        term("p90"),
        term("p99"),
        term("of teacher"),
        *extra,
        term("care"),
    ]
    caption = (
        "Medians and percentiles in milliseconds per request; each end of a percentile's interval holds with 95 % by "
        "itself, both together with 90 %"
    )
    return table(caption, header, [_cells(report, extra.values()) for report in reports])


def _cells(report: Report, extra: Iterable[str]) -> list[str]:
    half, workload = formats.number_of(report["relative_half_width"]), report["workload"]
    return [
        report["model"],
        report["label"],
        report["kind"],
        report["precision"],
        str(workload.get("batch_size", "")),
        ", ".join(str(length) for length in workload.get("lengths", [])),
        *(formats.significant(report[name]) for name in ("median",)),
        formats.MISSING if half is None else f"{100 * half:.1f} %",
        *(_percentile(report, name) for name in ("p90", "p99")),
        formats.significant(report["ratio_to_reference"]),
        *(formats.significant(report.get(name)) for name in extra),
        care(report),
    ]


def _percentile(report: Report, name: str) -> str:
    """A percentile with its interval where there is one."""
    text, interval = formats.significant(report[name]), report.get(f"{name}_interval")
    return f"{text} ({' to '.join(formats.significant(end) for end in interval)})" if interval else text


# -- latency against the workload ----------------------------------------------------------------------------------


def workload_figure(reports: Sequence[Report], axis: str, title: str) -> Figure:
    """Median latency over one number of the workload, a line for everything else; empty when it does not vary.

    Args:
        reports: see `write_latency_page`.
        axis: ``lengths`` or ``batch_size``.
        title: what the axis says.
    """
    from plotly import graph_objects

    figure = blank_figure(
        {"title": {"text": escape(title)}, "type": "log"}, {"title": {"text": "median latency, ms"}, "type": "log"}
    )
    for place, (name, points) in enumerate(_series(reports, axis).items()):
        figure.add_trace(
            graph_objects.Scatter(
                name=escape(name),
                x=[x for x, _ in points],
                y=[y for _, y in points],
                mode="lines+markers",
                line={"color": COLOURS[place % len(COLOURS)], "width": 2},
                marker={"symbol": SYMBOLS[place % len(SYMBOLS)], "size": 8},
                hovertemplate=f"{escape(title)}: %{{x}}<br>%{{y:.4g}} ms<extra>{escape(name)}</extra>",
            )
        )
    return figure


def _series(reports: Sequence[Report], axis: str) -> dict[str, list[tuple[float, float]]]:
    """Name -> points, of reports of one length that differ in ``axis`` only; two points at least."""
    found: dict[str, list[tuple[float, float]]] = {}
    for report in reports:
        workload = report["workload"]
        lengths = set(workload.get("lengths", []))
        if len(lengths) != 1:
            continue
        (length,) = lengths
        x, other = (length, workload["batch_size"]) if axis == "lengths" else (workload["batch_size"], length)
        word = "batch" if axis == "lengths" else "length"
        found.setdefault(f"{report['model']} on {report['label']}, {word} {other}", []).append((x, report["median"]))
    return {name: sorted(points) for name, points in found.items() if len({x for x, _ in points}) > 1}


# -- rooflines -----------------------------------------------------------------------------------------------------


def roofline_figure(report: Report) -> Figure:
    """Operators of a model against the roof of a chip.

    Args:
        report: of the ``roofline`` backend, with ``breakdown`` and the roof in ``environment``.
    """
    from plotly import graph_objects

    roof = report["environment"]
    peak = roof["peak_flops"]
    roofs = {"main memory": roof["memory_bytes_per_s"], "memory on the chip": roof.get("on_chip_bytes_per_s")}
    shown = [row for row in report["breakdown"] if row["flops"] > 0 and _bytes(row) > 0]
    ridges = {name: peak / bandwidth for name, bandwidth in roofs.items() if bandwidth}
    intensities = [*ridges.values(), *(row["flops"] / _bytes(row) for row in shown)]
    low, high = min(intensities) / 3, max(intensities) * 3  # a little room on both sides
    figure = blank_figure(
        {"title": {"text": "operations per byte"}, "type": "log"},
        {"title": {"text": "operations per second"}, "type": "log"},
    )
    for (name, ridge), dash in zip(ridges.items(), ("solid", "dot"), strict=False):
        figure.add_trace(
            graph_objects.Scatter(
                name=escape(f"roof of {report['device']}, {name}"),
                x=[low, ridge, high],
                y=[peak * low / ridge, peak, peak],
                mode="lines",
                line={"color": COLOURS[0], "width": 2.5, "dash": dash},
                hoverinfo="skip",
            )
        )
    for place, row in enumerate(shown):
        rate = row["flops"] * row["count"] / (row["ms"] / 1000)  # ms to s
        figure.add_trace(
            graph_objects.Scatter(
                name=escape(row["operator"]),
                x=[row["flops"] / _bytes(row)],
                y=[rate],
                mode="markers",
                marker={"symbol": SYMBOLS[place % len(SYMBOLS)], "size": 11, "color": COLOURS[(place + 1) % 7]},
                hovertemplate=(
                    f"{escape(row['operator'])} ({row['count']} times)<br>%{{x:.3g}} per byte<br>%{{y:.3g}} per second"
                    f"<br>limit: {escape(row['side'])}<extra></extra>"
                ),
            )
        )
    return figure


def _bytes(row: Mapping[str, Any]) -> float:
    """Of main memory; of memory on the chip for an operator that needs no other."""
    return float(row["bytes"] or row.get("on_chip_bytes", 0.0))


def _roof_section(report: Report, place: int) -> Html:
    total = sum(row["ms"] for row in report["breakdown"])
    rows = [
        [
            row["operator"],
            str(row["count"]),
            f"{row['ms']:.4g}",
            f"{100 * row['ms'] / total:.1f} %",
            row["side"],
            formats.scaled(row["flops"], ""),
            formats.scaled(row["bytes"], "B"),
        ]
        for row in report["breakdown"]
    ]
    header = ["operator", "times", "ms", "share", "limit", "operations of one", "bytes of one"]
    title = f"{report['model']} on {report['device']} ({report['precision']})"
    return section(
        title,
        figure_html(roofline_figure(report), f"roof-{place}"),
        table("Where the time goes at the middle length", header, rows),
        lead="Computed from a data sheet, not measured. Operators are drawn by their bytes of main memory, or of "
        "memory on the chip where they need no other; those without matrix arithmetic are in the table only.",
        anchor=f"roof-{place}",
    )
