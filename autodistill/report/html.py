"""The HTML report: one self-contained page that is a function of the summary.

Everything is inside the page, the plotting library included: it makes no request of any kind, and its content
security policy forbids them. Tables and text need no script; without one, a static picture stands for the figures.
What the sections say is in `autodistill.report.sections` and ``appendix``, their look in `autodistill.report.style`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.report import appendix, checks, figures, learnt, search_figures, sections, tables, tasks
from autodistill.report.markup import Html, tag, text
from autodistill.report.style import SCRIPT, STYLE
from autodistill.report.tables import Summary

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: No request goes anywhere; plotly styles elements and makes pictures for downloads from blobs.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
#: No toolbar: it covers the legend; dragging zooms and a double click goes back.
FIGURE_CONFIG = {"displayModeBar": False, "responsive": True}


def render_html(summary: Summary) -> str:
    """Return the page of a study, finished or not.

    Args:
        summary: the content of ``summary.json``.

    Returns:
        A complete HTML document of about five megabytes, nearly all of it the plotting library.
    """
    body = [
        tag("header", sections.heading(summary)),
        tag("main", *sections.opening(summary), *_figures(summary), *appendix.closing(summary)),
        tag("footer", appendix.footer(summary)),
    ]
    return document(str(summary.get("study", "study")), body)


def document(title: str, body: Sequence[Html]) -> str:
    """A complete page in the look of the report, the plotting library inside.

    Args:
        title: of the page.
        body: its parts.
    """
    from plotly.offline import get_plotlyjs

    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{text(title)} | AutoDistill</title>\n<style>{STYLE}</style>\n"
        f"<script>{get_plotlyjs()}</script>\n</head>\n<body>\n{''.join(body)}\n<script>{SCRIPT}</script>\n"
        "</body>\n</html>\n"
    )


def write_report(summary: Summary, path: Path) -> None:
    """Write the page to ``path``; a reader sees the old page or the new one, never a part.

    Args:
        summary: the content of ``summary.json``.
        path: the file; its folder is made if need be.
    """
    write_page(render_html(summary), path)


def write_page(page: str, path: Path) -> None:
    """Write a page to ``path``; its folder is made if need be, and no reader sees a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(page)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _figures(summary: Summary) -> list[Html]:
    pareto = figures.pareto_figure(summary)
    picture = figure_html(pareto, "pareto") if pareto.data else Html("")
    static = Html(f"<noscript>{figures.pareto_svg(summary)}</noscript>")
    found = [learnt.prediction_part(summary, figure_html(search_figures.prediction_figure(summary), "prediction"))]
    found += learnt.importance_parts(summary, _importance)
    hypervolume, device_time, fidelity = (
        _optional(summary, name) for name in ("hypervolume", "device-time", "fidelity")
    )
    return [
        sections.pareto_section(
            summary, Html(picture + static), learnt.targets_part(summary, lambda *target: _target(summary, *target))
        ),
        sections.comparison_section(summary),
        tasks.tasks_section(summary),
        checks.checks_section(summary),
        sections.picks_section(summary),
        sections.search_section(summary, hypervolume, device_time, fidelity, found),
    ]


def _optional(summary: Summary, name: str) -> Html | None:
    """The named figure, or None while there is nothing to draw."""
    if name == "hypervolume":
        drawn = bool(tables.entries(summary, "hypervolume_curve"))
        return figure_html(figures.hypervolume_figure(summary), name) if drawn else None
    if name == "device-time":
        figure = search_figures.device_time_figure(summary)
    else:
        figure = figures.flash_against_full_figure(summary)
    return figure_html(figure, name) if figure.data else None


def _target(summary: Summary, metric: str, place: int) -> Html:
    """The small picture of one target."""
    figure = figures.pareto_figure(summary, metric).update_layout(showlegend=False, height=search_figures.HEIGHT)
    waiting = tag("p", "No model has been scored yet.")
    return figure_html(figure, f"pareto-{place}") if figure.data else waiting


def _importance(entry: Mapping[str, Any], place: int) -> Html:
    return figure_html(search_figures.importance_figure(entry), f"importance-{place}")


def figure_html(figure: Figure, name: str) -> Html:
    """A figure as an element of a `document`.

    Args:
        figure: to draw.
        name: unique on the page.
    """
    markup = figure.to_html(
        full_html=False, include_plotlyjs=False, div_id=f"figure-{name}", config=FIGURE_CONFIG, default_height="auto"
    )
    return tag("div", Html(markup), class_="plot", role="img", aria_label=in_words(figure))


def in_words(figure: Figure) -> str:
    """What a figure shows, for who cannot see it: its axes, and of each group the names that are drawn or how many."""
    axes = [unescape(title) for axis in (figure.layout.yaxis, figure.layout.xaxis) if (title := axis.title.text)]
    groups = [_group_in_words(trace) for trace in figure.data if trace.hoverinfo != "skip"]  # the others guide the eye
    return f"{' against '.join(axes)}; {'; '.join(groups) or 'nothing yet'}."


def _group_in_words(trace: Any) -> str:
    bars = trace.type == "bar" and trace.orientation == "h"
    shown = trace.text if trace.text is not None else trace.y if bars else ()
    what = ", ".join(map(str, shown)) or f"{len(trace.x)} point{'s' if len(trace.x) != 1 else ''}"
    return unescape(f"{trace.name}: {what}" if trace.name else what)
