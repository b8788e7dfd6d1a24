"""The terminal report: the verdict first, then the numbers behind it, then how to go on.

The same facts as the HTML page in as many lines as fit on a screen; for figures and every trial see
`autodistill.report.html`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from autodistill.report import formats, tables
from autodistill.report.tables import ComparisonRow, Summary

#: Style of a row by its role.
ROLE_STYLES: Mapping[str, str] = {"teacher": "cyan", "reference": "dim", "baseline": "", "pick": "bold green"}
STATE_STYLES: Mapping[str, str] = {"complete": "green", "stopped": "yellow", "infeasible": "dim", "failed": "red"}


def render_summary(summary: Summary, console: Console) -> None:
    """Print the outcome of a study, finished or not.

    Args:
        summary: the content of ``summary.json``.
        console: where to print; plain text when it is no terminal.
    """
    _render_verdict(summary, console)
    _render_comparison(summary, console)
    _render_search(summary, console)
    _render_alarms(summary, console)
    _render_exports(summary, console)
    command = summary.get("command")
    if command:
        _line(console, "Go on with", str(command), style="bold")


def _render_verdict(summary: Summary, console: Console) -> None:
    holds = tables.mapping(summary, "verdict").get("holds")
    style = {True: "bold green", False: "bold yellow", None: "bold"}[holds]
    console.print()
    console.print(Text.assemble((tables.verdict_heading(summary), style), f"  (study {summary.get('study', '?')})"))
    console.print(Text(tables.verdict_sentence(summary)))


def _render_comparison(summary: Summary, console: Console) -> None:
    rows = tables.comparison_rows(summary)
    if not rows:
        return
    metric, labels = tables.main_metric(summary), tables.latency_labels(summary)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold", show_edge=False)
    table.add_column("model", overflow="fold")
    table.add_column(Text(_metric_title(summary, rows, metric)), justify="right")
    table.add_column("kept", justify="right", no_wrap=True)
    for label in labels:
        table.add_column(Text(f"{label}, median"), justify="right")
    table.add_column("speed-up", justify="right", no_wrap=True)
    table.add_column("parameters", justify="right", no_wrap=True)
    for position, row in enumerate(rows):
        following = rows[position + 1].role if position + 1 < len(rows) else row.role
        table.add_row(*_comparison_cells(row, metric, labels), style=ROLE_STYLES[row.role])
        if following != row.role:
            table.add_section()
    console.print()
    console.print(table)
    _line(console, "", f"95 % intervals in brackets; kept and speed-up relative to the teacher{_on(labels)}.", style="dim")


def _on(labels: list[str]) -> str:
    return f", the latter on {labels[0]}" if len(labels) > 1 else ""


def _metric_title(summary: Summary, rows: list[ComparisonRow], metric: str) -> str:
    splits = {split for row in rows if (split := tables.split_of(row, metric))}
    return f"{tables.metric_label(metric)}, {' and '.join(sorted(splits))}" if splits else tables.metric_label(metric)


def _comparison_cells(row: ComparisonRow, metric: str, labels: list[str]) -> list[Text]:
    entry = tables.mapping(row.metrics, metric)
    latencies = [tables.mapping(row.latencies, label) for label in labels]
    cells = [
        row.name,
        formats.metric_with_interval(metric, entry),
        formats.share(row.retained),
        *(_latency_text(report) for report in latencies),
        formats.ratio(row.speedup),
        formats.parameters(row.parameters),
    ]
    return [Text(cell) for cell in cells]


def _latency_text(report: Mapping[str, Any]) -> str:
    return f"{formats.milliseconds(report.get('median'))} {formats.spread(report.get('relative_half_width'))}".strip()


def _render_search(summary: Summary, console: Console) -> None:
    console.print()
    states = [Text(f"{number} {state}", style=STATE_STYLES.get(state, "")) for state, number in tables.trial_states(summary)]
    _line(console, "Trials", Text(", ").join(states) if states else Text("none yet"))
    if summary.get("hypervolume") is not None:
        _line(console, "Hypervolume", f"{formats.significant(summary['hypervolume'])} of the flash trials' front")
    _line(console, "Flash vs. full", fidelity_sentence(summary))
    spent = [f"{name} {formats.duration(value)} ({100 * part:.0f} %)" for name, value, part in tables.seconds_rows(summary)]
    _line(console, "Time", ", ".join(spent) or "nothing spent yet")


def fidelity_sentence(summary: Summary) -> str:
    """How well flash scores foretell final ones, in one sentence."""
    fidelity = tables.mapping(summary, "flash_fidelity")
    spearman, number = formats.number_of(fidelity.get("spearman")), fidelity.get("n", 0)
    if spearman is None:
        return f"rank correlation unknown: {number} models have both scores, 8 are needed"
    kendall = formats.significant(fidelity.get("kendall"), 2)
    return f"rank correlation {formats.significant(spearman, 2)} (Spearman), {kendall} (Kendall) over {number} models"


def _render_alarms(summary: Summary, console: Console) -> None:
    alarms = tables.entries(summary, "alarms")
    if alarms:
        console.print()
    for alarm in alarms:
        _line(console, "Mind", str(alarm), style="yellow")


def _render_exports(summary: Summary, console: Console) -> None:
    picks = tables.entries(summary, "picks")
    if picks:
        console.print()
    for pick in picks:
        written = [("hf", path) for path in [tables.mapping(pick, "paths").get("hf")] if path]
        written.extend((export.get("format", "?"), export.get("path", "?")) for export in tables.entries(pick, "exports"))
        for position, (name, path) in enumerate(written):
            heading = tables.student_name("pick", pick) if position == 0 else ""
            _line(console, heading, Text.assemble((f"{name:<10} ", "dim"), str(path)))
    if picks:
        console.print()


def _line(console: Console, heading: str, text: str | Text, style: str = "") -> None:
    """One heading and its text, the text wrapped beside the heading."""
    body = text if isinstance(text, Text) else Text(text, style=style)
    if not heading and not isinstance(text, Text):
        console.print(Padding(body, (0, 0)))
        return
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=14, no_wrap=True, overflow="ellipsis")  # 14: the longest heading, "Flash vs. full"
    grid.add_column(overflow="fold")
    grid.add_row(Text(heading, style="bold"), body)
    console.print(grid)
