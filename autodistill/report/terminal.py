"""The terminal report: the verdict first, then the numbers behind it, then how to go on.

The same facts as the HTML page in as many lines as fit on a screen; for figures and every trial see
`autodistill.report.html`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autodistill.report import formats, tables
from autodistill.report.learnt import prediction_sentence, savings_sentence
from autodistill.report.tables import ComparisonRow, Summary
from autodistill.report.targets import answers_rows, target_rows
from autodistill.report.tasks import (
    averages_of,
    claim_sentence,
    coverage_sentence,
    task_columns,
    task_rows,
    untested_sentence,
)

#: Rows of the front that are shown while there are no picks.
FRONT_ROWS = 10
#: Tasks and averages over them that are shown side by side; of more only the averages are.
MOST_TASKS = 4
#: Columns that no table reaches; measures how wide one would like to be.
UNBOUNDED = 1000
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
    _render_tasks(summary, console)
    _render_front(summary, console)
    _render_targets(summary, console)
    _render_answers(summary, console)
    _render_search(summary, console)
    _render_alarms(summary, console)
    _render_exports(summary, console)
    command = summary.get("command")
    if command:
        console.print()
        _line(console, "Go on with", str(command), style="bold")


def _render_verdict(summary: Summary, console: Console) -> None:
    holds = tables.mapping(summary, "verdict").get("holds")
    style = {True: "bold green", False: "bold yellow", None: "bold"}[holds]
    console.print()
    console.print(Text.assemble((tables.verdict_heading(summary), style), f"  (study {summary.get('study', '?')})"))
    console.print(Text(tables.verdict_sentence(summary)))
    for limit in tables.verdict_limits(summary):
        console.print(Text(limit, style="dim"))


def _render_comparison(summary: Summary, console: Console) -> None:
    rows = tables.comparison_rows(summary)
    if not rows:
        return
    labels = tables.latency_labels(summary)
    table = _comparison_table(summary, rows, labels, " ")
    ever_less = [(labels, "\n"), (labels[:1], " "), (labels[:1], "\n")]
    if tables.special_latencies(summary):  # which tell the speed without a median, too
        ever_less.append(([], "\n"))
    for shown, separator in ever_less:
        if table.__rich_measure__(console, console.options.update(max_width=UNBOUNDED)).maximum <= console.width:
            break
        table = _comparison_table(summary, rows, shown, separator)
    console.print()
    console.print(table)
    explained = f"95 % intervals in brackets; kept and speed-up relative to the teacher{_on(labels)}."
    console.print(Text(explained, style="dim"))
    if note := tables.runs_note(summary):
        console.print(Text(note, style="dim"))
    with_care = _with_care(rows)
    if with_care:
        console.print(Text(f"!: to be taken with care: {with_care}.", style="dim"))


def _with_care(rows: list[ComparisonRow]) -> str:
    """Which flags the reports of each backend have, each once; empty when none has any."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        for label, report in row.latencies.items():
            found.setdefault(label, {}).update(dict.fromkeys(tables.flags(report)))
    return "; ".join(f"{', '.join(words)} ({label})" for label, words in found.items() if words)


def _comparison_table(summary: Summary, rows: list[ComparisonRow], labels: list[str], separator: str) -> Table:
    """The comparison; ``separator`` stands between a number and its interval and may be a line break."""
    metric, special = tables.main_metric(summary), tables.special_latencies(summary)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold", show_edge=False)
    table.add_column("model", overflow="fold", min_width=12)
    latencies = [*labels, *(_special_title(one, separator) for one in special)]
    numbers = [_metric_title(summary, rows, metric), "kept", *latencies, "speed-up", "parameters"]
    for title in numbers:
        table.add_column(Text(title), justify="right", no_wrap=True)
    for position, row in enumerate(rows):
        following = rows[position + 1].role if position + 1 < len(rows) else row.role
        cells = _comparison_cells(row, metric, labels, special, separator)
        table.add_row(*cells, style=ROLE_STYLES[row.role], end_section=following != row.role)
    return table


def _on(labels: list[str]) -> str:
    return f", the latter on {labels[0]}" if len(labels) > 1 else ""


def _metric_title(summary: Summary, rows: list[ComparisonRow], metric: str) -> str:
    splits = {split for row in rows if (split := tables.split_of(row, metric))}
    return f"{tables.metric_label(metric)}, {' and '.join(sorted(splits))}" if splits else tables.metric_label(metric)


def _special_title(metric: str, separator: str) -> str:
    """``throughput, onnxruntime``: the column of a latency metric that is no median."""
    return f"{tables.metric_label(metric)},{separator}{metric.rpartition('.')[0]}"


def _comparison_cells(
    row: ComparisonRow, metric: str, labels: list[str], special: list[str], separator: str
) -> list[Text]:
    entry = tables.mapping(row.metrics, metric)
    latencies = [tables.mapping(row.latencies, label) for label in labels]
    cells = [
        row.name + (f" ({row.state})" if row.state else ""),
        _pair(formats.metric_value(metric, entry.get("value")), formats.metric_interval(metric, entry), separator),
        formats.share(row.retained),
        *(_latency_text(report, separator) for report in latencies),
        *(formats.latency_value(one, row.value(one)) for one in special),
        formats.ratio(row.speedup),
        formats.parameters(row.parameters),
    ]
    return [Text(cell) for cell in cells]


def _latency_text(report: Mapping[str, Any], separator: str) -> str:
    spread = formats.spread(report.get("relative_half_width"))
    return _pair(formats.milliseconds(report.get("median")), spread + ("!" if tables.care(report) else ""), separator)


def _pair(value: str, interval: str, separator: str) -> str:
    return f"{value}{separator}{interval}" if interval else value


def _render_tasks(summary: Summary, console: Console) -> None:
    """Scores of a task-agnostic study's models after fine-tuning on tasks; gains are on the HTML page."""
    rows = task_rows(summary)
    if not rows:
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold", show_edge=False)
    table.add_column("fine-tuned", overflow="fold", min_width=12)
    columns = task_columns(summary)
    # Each takes some 16 characters, the averages stand last, and the page has all of them.
    shown = slice(None) if len(columns) <= MOST_TASKS else slice(len(columns) - len(averages_of(summary)), None)
    for title in columns[shown]:
        table.add_column(Text(title.replace(", ", "\n")), justify="right", no_wrap=True)
    for row in rows:
        pairs = [
            _pair(formats.metric_value(metric, entry.get("value")), formats.metric_interval(metric, entry), "\n")
            for metric, entry in row.cells[shown]
        ]
        table.add_row(*map(Text, (row.name, *pairs)), style=ROLE_STYLES[row.role])
    console.print()
    console.print(table)
    sentences = (coverage_sentence(summary), "dim"), (claim_sentence(summary), ""), (untested_sentence(summary), "")
    for sentence, style in sentences:
        if sentence:
            console.print(Text(sentence, style=style))


def _render_front(summary: Summary, console: Console) -> None:
    """The front of a search that has no picks yet."""
    front = tables.front_trials(summary)
    if not front or tables.entries(summary, "picks"):
        return
    metric, latency = tables.main_metric(summary), tables.main_latency(summary) or ""
    label, _, name = latency.rpartition(".")
    is_median = name in ("", "p50_ms")
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold", show_edge=False)
    table.add_column("front so far")
    table.add_column(Text(f"{tables.metric_label(metric)}, flash"), justify="right", no_wrap=True)
    title = (label or "latency") if is_median else _special_title(latency, " ")
    table.add_column(Text(title), justify="right", no_wrap=True)
    table.add_column("architecture", overflow="fold")
    for trial in front[:FRONT_ROWS]:
        value = tables.metric_of(metric, tables.mapping(trial, "metrics"), {})
        latencies = tables.mapping(trial, "latencies")
        own = formats.latency_value(latency, tables.metric_of(latency, {}, latencies))
        speed = _latency_text(tables.mapping(latencies, label), " ") if is_median else own
        choices = formats.architecture(tables.mapping(trial, "architecture"))
        cells = [f"trial {trial['trial']}", formats.metric_value(metric, value), speed, choices]
        table.add_row(*(Text(cell) for cell in cells))
    console.print()
    console.print(table)


def _render_targets(summary: Summary, console: Console) -> None:
    """One line per target of a study that has several, and what is to be said of some."""
    rows = target_rows(summary)
    if len(rows) < 2:
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold", show_edge=False)
    table.add_column("target", overflow="fold")
    for title in ("on the front", "fastest", "best", "hypervolume"):
        table.add_column(title, justify="right")
    for row in rows:
        ends = [f"{value} ({name})" if name else value for value, name in (row.fastest, row.best)]
        cells = (row.target, str(row.size), *ends, formats.significant(row.hypervolume))
        table.add_row(*(Text(cell) for cell in cells))
    console.print()
    console.print(table)
    for row in rows:
        remarks = "; ".join(filter(None, ("" if row.is_objective else "no objective of the search", row.caveat)))
        if remarks:
            console.print(Text(f"{row.target}: {remarks}.", style="dim"))


def _render_answers(summary: Summary, console: Console) -> None:
    """One line per pick and target of another precision: what it scores there."""
    rows, metric = [row for row in answers_rows(summary) if row.role == "pick"], tables.main_metric(summary)
    if not rows:
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold", show_edge=False)
    table.add_column("as the target runs it", overflow="fold")
    table.add_column(Text(tables.metric_label(metric)), justify="right")
    table.add_column("change", justify="right")
    for row in rows:
        name = f"{row.model}, {row.target} ({row.precision})"
        value = formats.metric_with_interval(metric, row.metric)
        change = row.left_out or formats.gain_with_interval(metric, row.change)
        table.add_row(*(Text(cell) for cell in (name, value, change)))
    console.print()
    console.print(table)


def _render_search(summary: Summary, console: Console) -> None:
    console.print()
    counted = tables.trial_states(summary)
    states = [Text(f"{number} {state}", style=STATE_STYLES.get(state, "")) for state, number in counted]
    _line(console, "Trials", Text(", ").join(states) if states else Text("none yet"))
    if summary.get("hypervolume") is not None:
        _line(console, "Hypervolume", f"{formats.significant(summary['hypervolume'])} of the flash trials' front")
    fidelity = f"rank correlation {tables.fidelity_sentence(summary)}{tables.spread_sentence(summary)}"
    _line(console, "Flash vs. full", fidelity)
    if prediction_sentence(summary):
        _line(console, "Prediction", prediction_sentence(summary))
    if savings_sentence(summary):
        _line(console, "Stopped early", savings_sentence(summary))
    times = tables.seconds_rows(summary)
    spent = [f"{name} {formats.duration(seconds)} ({100 * part:.0f} %)" for name, seconds, part in times]
    _line(console, "Time", ", ".join(spent) or "nothing spent yet")


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
        for position, (name, path) in enumerate(_written_files(summary, pick)):
            heading = tables.student_name("pick", pick) if position == 0 else ""
            _line(console, heading, Text.assemble((f"{name:<12} ", "dim"), str(path)))


def _written_files(summary: Summary, pick: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, path from the working directory, or why there is none) of every file of a pick."""
    folder = PurePath(str(tables.mapping(summary, "config").get("output_dir") or ""), str(summary.get("study", "")))
    directory = tables.mapping(pick, "paths").get("hf")
    found = {str(directory): ("hf", str(folder / directory))} if directory else {}
    for export in tables.entries(pick, "exports"):
        name, path = str(export.get("label") or export.get("format", "?")), export.get("path")
        # An export may be the folder of the pick itself; what failed has no path.
        key, told = (
            (str(path), str(folder / str(path))) if path else (f"failed {name}", f"failed: {export.get('error')}")
        )
        found[key] = (name, told)
    return list(found.values())


def _line(console: Console, heading: str, text: str | Text, style: str = "") -> None:
    """One heading and its text, the text wrapped beside the heading."""
    body = text if isinstance(text, Text) else Text(text, style=style)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=14, no_wrap=True, overflow="ellipsis")  # 14: the longest heading, "Flash vs. full"
    grid.add_column(overflow="fold")
    grid.add_row(Text(heading, style="bold"), body)
    console.print(grid)
