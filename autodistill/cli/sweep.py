"""The closing tables of a sweep: one line per job's study, and the averages of a sweep over tasks of GLUE."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.report.tables import main_metric

if TYPE_CHECKING:
    from autodistill.evaluators.glue_tasks import GlueAverage

#: What the row of the best pick is called, as it is another one in every study.
BEST_PICK = "best pick"

#: Columns of the table of numbers, whose titles leave 25 of 80 columns for the study, and of that of words.
NUMBERS = ("exit\ncode", "trials", "hyper-\nvolume", "final", "speed-up", "holds")
WORDS = ("best pick", "void: no better than the trivial answer")


def print_sweep(results: Sequence[dict[str, Any]]) -> None:
    """Print name, exit code, hypervolume and verdict of every job of a sweep, then best picks and the models that have
    learnt nothing, then averages.
    """
    from rich.console import Console

    from autodistill.cli.model_verbs import print_table

    jobs = [(Path(result["study"]).name, str(result["exit_code"]), _summary(result)) for result in results]
    print_table("sweep", ["study", *NUMBERS], [[name, code, *_numbers(summary)] for name, code, summary in jobs])
    words = [[name, *_words(summary)] for name, _, summary in jobs if summary is not None]
    if words:
        shown = 3 if any(void for *_, void in words) else 2
        print_table("best picks", ["study", *WORDS][:shown], [row[:shown] for row in words])
    console = Console()
    found = [summary for _, _, summary in jobs if summary is not None]
    void = unlearnt_tasks(found)
    for name, average in glue_averages(found).items():
        interval = "" if average.low is None else f" [{average.low:.4f}, {average.high:.4f}]"
        missing = f" (missing: {', '.join(average.missing)})" if average.missing else ""
        line = f"GLUE average of {name}: {average.value:.4f}{interval} over {', '.join(average.tasks)}{missing}"
        if unlearnt := [task for task in average.tasks if task in void.get(name, ())]:
            line += f"; void on {', '.join(unlearnt)}: no better than the trivial answer there"
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def glue_averages(summaries: Sequence[Mapping[str, Any]]) -> dict[str, GlueAverage]:
    """The average that papers report, of every model that was scored on all of a sweep's tasks of GLUE.

    Args:
        summaries: of the studies.

    Returns:
        ``teacher``, ``best pick`` or a baseline's name -> average; empty for fewer than two tasks.
    """
    from autodistill.evaluators.glue_tasks import glue_average

    finals = {task: _finals(summary) for task, summary in _by_task(summaries).items()}
    if len(finals) < 2:
        return {}
    common = [name for name in next(iter(finals.values())) if all(name in found for found in finals.values())]
    found = {name: glue_average("paper", {task: row[name] for task, row in finals.items()}) for name in common}
    return {name: average for name, average in found.items() if average is not None}


def unlearnt_tasks(summaries: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The tasks of GLUE on which a model is no better than the trivial answer, by the metric of the study's verdict.

    Args:
        summaries: of the studies.

    Returns:
        The names of `glue_averages` -> tasks; without the models that have learnt all of theirs.
    """
    found: dict[str, list[str]] = {}
    for task, summary in _by_task(summaries).items():
        best = (summary["picks"] or [{}])[0].get("name")
        for name in summary.get("unlearnt", []):
            found.setdefault(BEST_PICK if name == best else name, []).append(task)
    return found


def _by_task(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Task of GLUE -> summary; the last one where a task was studied more than once."""
    from autodistill.evaluators.glue_tasks import task_of

    return {task: one for one in summaries if (task := task_of(one["task"].get("benchmark", "")))}


def _finals(summary: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Name of a model -> metric of the evaluator `glue` -> its final entry."""
    rows = {"teacher": summary["teacher"]["metrics"], BEST_PICK: (summary["picks"] or [{}])[0].get("final")}
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


def _words(summary: Mapping[str, Any]) -> list[str]:
    """Cells of `WORDS`."""
    pick = _final_pick(summary)
    choices = ", ".join(f"{key}={value}" for key, value in pick["architecture"].items()) if pick else ""
    return [f"{pick['name']}: {choices}" if pick else "", ", ".join(summary.get("unlearnt", []))]


def _final_pick(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """The best pick; None where none was trained and compared."""
    pick: dict[str, Any] | None = next(iter(summary["picks"]), None)
    return pick if pick and pick["final"] else None


def _numbers(summary: Mapping[str, Any] | None) -> list[str]:
    """Cells of `NUMBERS` after the exit code; empty where nothing is known."""
    if summary is None:
        return [""] * 5
    volume, pick = summary["hypervolume"], _final_pick(summary)
    cells = [str(summary["trials"]["complete"]), "" if volume is None else f"{volume:.4f}"]
    if pick is None:
        return [*cells, "", "", ""]
    final, speed = pick["final"].get(main_metric(summary)), pick["versus"]["teacher"]["speedup"]
    holds = {True: "yes", False: "no", None: "unknown"}[summary["verdict"]["holds"]]
    return [*cells, f"{final['value']:.4f}" if final else "", f"{speed:.2f}x" if speed else "", holds]
