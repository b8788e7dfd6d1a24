"""The closing tables of a sweep: one line per job's study, and the averages of a sweep over tasks of GLUE."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.report.tables import main_metric

if TYPE_CHECKING:
    from autodistill.evaluators.glue_tasks import GlueAverage


def print_sweep(results: Sequence[dict[str, Any]]) -> None:
    """Print name, exit code, hypervolume, best pick and verdict of every job of a sweep."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        "study", "exit code", "trials", "hypervolume", "best pick", "final", "speed-up", "holds", title="sweep"
    )
    for result in results:
        table.add_row(*map(Text, _row(result)))
    console = Console()
    console.print(table)
    averages = glue_averages([summary for result in results if (summary := _summary(result)) is not None])
    for name, average in averages.items():
        interval = "" if average.low is None else f" [{average.low:.4f}, {average.high:.4f}]"
        missing = f" (missing: {', '.join(average.missing)})" if average.missing else ""
        line = f"GLUE average of {name}: {average.value:.4f}{interval} over {', '.join(average.tasks)}{missing}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def glue_averages(summaries: Sequence[Mapping[str, Any]]) -> dict[str, GlueAverage]:
    """The average that papers report, of every model that was scored on all of a sweep's tasks of GLUE.

    Args:
        summaries: of the studies.

    Returns:
        ``teacher``, ``best pick`` or a baseline's name -> average; empty for fewer than two tasks.
    """
    from autodistill.evaluators.glue_tasks import glue_average, task_of

    finals = {task: _finals(one) for one in summaries if (task := task_of(one["task"].get("benchmark", "")))}
    if len(finals) < 2:
        return {}
    common = [name for name in next(iter(finals.values())) if all(name in found for found in finals.values())]
    found = {name: glue_average("paper", {task: row[name] for task, row in finals.items()}) for name in common}
    return {name: average for name, average in found.items() if average is not None}


def _finals(summary: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Name of a model -> metric of the evaluator `glue` -> its final entry."""
    rows = {"teacher": summary["teacher"]["metrics"], "best pick": (summary["picks"] or [{}])[0].get("final")}
    rows |= {row["name"]: row["final"] for row in summary["baselines"]}
    return {
        name: {metric.removeprefix("glue."): entry for metric, entry in row.items() if metric.startswith("glue.")}
        for name, row in rows.items()
        if row
    }


def _summary(result: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a job wrote; None of one that ended before, whose folder may hold what an earlier one wrote."""
    path = Path(result["study"]) / "summary.json"
    found: dict[str, Any] | None = json.loads(path.read_text()) if not result["exit_code"] and path.is_file() else None
    return found


def _row(result: dict[str, Any]) -> list[str]:
    name, code = Path(result["study"]).name, str(result["exit_code"])
    summary = _summary(result)
    if summary is None:
        return [name, code, "", "", "", "", "", ""]
    volume = summary["hypervolume"]
    cells = [name, code, str(summary["trials"]["complete"]), "" if volume is None else f"{volume:.4f}"]
    if not summary["picks"] or not summary["picks"][0]["final"]:
        return [*cells, "", "", "", ""]
    pick = summary["picks"][0]
    final, speed = pick["final"].get(main_metric(summary)), pick["versus"]["teacher"]["speedup"]
    choices = ", ".join(f"{key}={value}" for key, value in pick["architecture"].items())
    holds = {True: "yes", False: "no", None: "unknown"}[summary["verdict"]["holds"]]
    return [*cells, choices, f"{final['value']:.4f}" if final else "", f"{speed:.2f}x" if speed else "", holds]
