"""What fine-tuning on tasks came to, as rows: each model's scores, the averages over GLUE, and the picks' gains.

Both reports show them; the summary's part is written by `autodistill.engine.tasks` and ``average_claim``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autodistill.report import formats, tables
from autodistill.report.markup import Html, details, model_name, number, section, table, tag, term
from autodistill.report.tables import Summary

#: Average -> what it is called; the first is the one in tables.
AVERAGE_NAMES: Mapping[str, str] = {"paper": "GLUE average", "leaderboard": "leaderboard's average"}

#: Averages over GLUE have no metric of their own; as `glue.score` they are plain numbers.
_AVERAGE_METRIC = "glue.score"


@dataclass(frozen=True)
class TaskRow:
    """A model's scores.

    Args:
        name: of the model.
        role: ``"teacher"``, ``"baseline"`` or ``"pick"``.
        cells: one per task: (metric, its entry), the entry empty where fine-tuning failed; then one per average.
    """

    name: str
    role: str
    cells: list[tuple[str, Mapping[str, Any]]]


def task_columns(summary: Summary) -> list[str]:
    """Titles of the cells: ``rte, score`` (``, on select`` without a test split), and the averages that there are."""
    tasks, untested = tables.mapping(tables.mapping(summary, "tasks"), "tasks"), untested_tasks(summary)
    titles = [
        f"{label}, {tables.metric_label(str(facts.get('metric')))}{', on select' if label in untested else ''}"
        for label, facts in tasks.items()
    ]
    return [*titles, *(AVERAGE_NAMES[kind] for kind in averages_of(summary))]


def task_rows(summary: Summary) -> list[TaskRow]:
    """One row per model; none without tasks."""
    found = tables.mapping(summary, "tasks")
    return [
        TaskRow(
            str(model.get("name")),
            str(model.get("role")),
            [
                *(
                    (
                        metric,
                        tables.mapping(tables.mapping(tables.mapping(model, "tasks"), label), "metrics").get(metric)
                        or {},
                    )
                    for label, metric in _metrics(found)
                ),
                *_average_cells(model, summary),
            ],
        )
        for model in tables.entries(found, "models")
    ]


def gain_rows(summary: Summary) -> dict[str, list[TaskRow]]:
    """Pick -> a row of paired gains for each model that it is compared with, in the columns of `task_columns`."""
    found = tables.mapping(summary, "tasks")
    rows: dict[str, list[TaskRow]] = {}
    for model in tables.entries(found, "models"):
        for other, versus in tables.mapping(model, "versus").items():
            gains = tables.mapping(versus, "gains")
            cells = [(metric, tables.mapping(gains, label)) for label, metric in _metrics(found)]
            row = TaskRow(str(other), "baseline", [*cells, *_average_cells(versus, summary)])
            rows.setdefault(str(model.get("name")), []).append(row)
    return rows


def coverage_sentence(summary: Summary) -> str:
    """Which tasks the average over GLUE covers, and which it lacks; empty without one."""
    for model in tables.entries(tables.mapping(summary, "tasks"), "models"):
        average = tables.mapping(tables.mapping(model, "averages"), "paper")
        if average:
            missing = ", ".join(tables.entries(average, "missing"))
            lacks = f"; it lacks {missing}, so it is not the average that papers report" if missing else ""
            return (
                f"The GLUE average covers {', '.join(tables.entries(average, 'tasks'))}{lacks}. As in papers, F1 "
                "counts for MRPC and QQP, Spearman's correlation for STS-B, and WNLI is left out."
            )
    return ""


def untested_tasks(summary: Summary) -> list[str]:
    """Labels of the tasks whose final figures are of the select split, for want of a test split."""
    tasks = tables.mapping(tables.mapping(summary, "tasks"), "tasks")
    return [label for label, facts in tasks.items() if facts.get("split") == "select"]


def untested_sentence(summary: Summary) -> str:
    """That nothing is claimed from tasks without a test split; empty where each has one."""
    labels = ", ".join(untested_tasks(summary))
    if not labels:
        return ""
    return (
        f"Nothing is claimed from {labels}: without a test split, final figures are of the select split, on which the "
        "grid was scored too."
    )


def claim_sentence(summary: Summary) -> str:
    """The summary's claim on the GLUE average in words; empty where there is none."""
    claim = tables.mapping(tables.mapping(summary, "tasks"), "claim")
    if not claim:
        return ""
    told = "".join(f" {limit}" for limit in tables.entries(claim, "limits"))
    if claim.get("unclaimed"):
        return f"On the GLUE average nothing is claimed: {claim['unclaimed']}.{told}"
    sure = {None: "no interval", True: "surely better", False: "not surely better"}[claim.get("holds")]
    gain = formats.gain_with_interval(_AVERAGE_METRIC, tables.mapping(claim, "gain"))
    return (
        f"On the GLUE average {claim['pick']} gains {gain} over {claim['baseline']}, the best baseline there at any "
        f"speed: {sure}.{told}"
    )


def _metrics(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(label, metric) of every task."""
    return [(label, str(facts.get("metric"))) for label, facts in tables.mapping(found, "tasks").items()]


def averages_of(summary: Summary) -> list[str]:
    """The averages that some model has."""
    models = tables.entries(tables.mapping(summary, "tasks"), "models")
    return [kind for kind in AVERAGE_NAMES if any(kind in tables.mapping(model, "averages") for model in models)]


def _average_cells(model: Mapping[str, Any], summary: Summary) -> list[tuple[str, Mapping[str, Any]]]:
    averages = tables.mapping(model, "averages")
    return [(_AVERAGE_METRIC, tables.mapping(averages, kind)) for kind in averages_of(summary)]


# -- the HTML page -----------------------------------------------------------------------------------------------


def tasks_section(summary: Summary) -> Html:
    """Scores after fine-tuning, and the paired gains of each pick; empty for a study without tasks."""
    rows = task_rows(summary)
    if not rows:
        return Html("")
    header = ["model", *task_columns(summary)]
    body = [
        [Html(model_name(row.name) + tag("small", term(row.role))), *(_cell(*cell) for cell in row.cells)]
        for row in rows
    ]
    classes = [row.role for row in rows]
    caption = "Final values after fine-tuning, the mean over seeds, with 95 % intervals over examples and seeds"
    gains = [
        details(f"Gains of {pick} over each alternative", _gains(header, others))
        for pick, others in gain_rows(summary).items()
    ]
    lead = (
        "Teacher, baselines and picks were fine-tuned by the same protocol: a grid on the select split, then several "
        f"seeds. {coverage_sentence(summary)} {claim_sentence(summary)} {untested_sentence(summary)}"
    )
    return section("Tasks after fine-tuning", table(caption, header, body, classes), *gains, lead=lead, anchor="tasks")


def _cell(metric: str, entry: Mapping[str, Any]) -> Html:
    origin = f"{entry['n']} examples, seeds: {entry.get('seeds')}" if entry.get("n") else None
    return number(formats.metric_value(metric, entry.get("value")), formats.metric_interval(metric, entry), origin)


def _gains(header: list[str], rows: list[TaskRow]) -> Html:
    body = [
        [model_name(row.name), *(formats.gain_with_interval(metric, entry) for metric, entry in row.cells)]
        for row in rows
    ]
    return table("Paired gains with 95 % intervals", ["against", *header[1:]], body)
