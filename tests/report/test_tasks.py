"""Scores on tasks of a task-agnostic study, in both reports."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from autodistill.report.tasks import gain_rows, task_columns, task_rows, tasks_section
from autodistill.report.terminal import render_summary


def entry(value: float, half: float = 0.02) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "n": 277, "seeds": 5, "split": "test"}


def average(value: float) -> dict[str, Any]:
    return {**entry(value), "tasks": ["rte"], "missing": ["cola", "mnli"]}


def with_tasks(summary: dict[str, Any], *labels: str) -> dict[str, Any]:
    """The summary with a teacher and a pick that were fine-tuned; the pick failed on the last task."""
    facts = {"kind": "classification", "metric": "glue.score", "direction": "maximize", "split": "test"}
    good = {label: {"metrics": {"glue.score": entry(0.7 + place / 10)}} for place, label in enumerate(labels)}
    baseline = {"name": "small", "role": "baseline", "tasks": good, "averages": {"paper": average(0.65)}}
    versus = {"gains": {label: entry(-0.05) for label in labels[:-1]}, "averages": {"paper": average(-0.04)}}
    models = [
        {"name": "teacher", "role": "teacher", "tasks": good, "averages": {"paper": average(0.7)}},
        {
            "name": "pick 12",
            "role": "pick",
            "tasks": {**good, labels[-1]: {"error": "diverged"}},
            "averages": {"paper": average(0.66)},
            "versus": {"teacher": versus, "small": {**versus, "averages": {"paper": average(0.03)}}},
        },
        baseline,
    ]
    return {
        **summary,
        "tasks": {"tasks": {label: {**facts, "benchmark": f"glue/{label}"} for label in labels}, "models": models},
    }


def printed(summary: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    render_summary(summary, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_study_without_tasks_shows_none(summary: dict[str, Any]) -> None:
    assert task_rows(summary) == []
    assert tasks_section(summary) == ""
    assert "fine-tuned" not in printed(summary)


def test_every_model_has_a_cell_per_task_and_average(summary: dict[str, Any]) -> None:
    found = with_tasks(summary, "rte", "mine")
    assert task_columns(found) == ["rte, score", "mine, score", "GLUE average"]
    teacher, pick, _ = task_rows(found)
    assert [one["value"] for _, one in teacher.cells] == pytest.approx([0.7, 0.8, 0.7])
    assert pick.cells[1] == ("glue.score", {})
    against, _ = gain_rows(found)["pick 12"]
    assert against.name == "teacher"
    assert [one.get("value") for _, one in against.cells] == [-0.05, None, -0.04]


def test_the_page_says_what_the_average_covers(summary: dict[str, Any]) -> None:
    page = tasks_section(with_tasks(summary, "rte", "mine"))
    assert "The GLUE average covers rte; it lacks cola, mnli" in page
    assert "Gains of pick 12 over each alternative" in page
    assert "pick 12 gains +0.0300 [+0.0100, +0.0500] over small, the best baseline there at any speed: surely" in page


@pytest.mark.parametrize("labels", [("rte", "mine"), ("rte", "a", "b", "c", "d", "e")])
def test_the_terminal_shows_what_fits(summary: dict[str, Any], labels: tuple[str, ...]) -> None:
    shown = printed(with_tasks(summary, *labels))
    assert "GLUE average" in shown
    assert "[0.640, 0.680]" in shown
    assert ("mine" in shown) == ("mine" in labels)
    assert max(map(len, shown.splitlines())) <= 100
