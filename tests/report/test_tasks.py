"""Scores on tasks of a task-agnostic study, in both reports."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from autodistill.engine.average_claim import average_claim
from autodistill.report.tasks import claim_sentence, gain_rows, task_columns, task_rows, tasks_section
from autodistill.report.terminal import render_summary


def entry(value: float, half: float = 0.02) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "n": 277, "seeds": 5, "split": "test"}


def average(value: float) -> dict[str, Any]:
    return {**entry(value), "tasks": ["rte"], "missing": ["cola", "mnli"]}


def with_tasks(summary: dict[str, Any], *labels: str) -> dict[str, Any]:
    """The summary with a teacher and a pick that were fine-tuned; the pick failed on the last task."""
    facts = {"kind": "classification", "metric": "glue.score", "direction": "maximize", "split": "test"}
    good: dict[str, Any] = {
        label: {"metrics": {"glue.score": entry(0.7 + place / 10)}, "check": {"alarm": None}}
        for place, label in enumerate(labels)
    }
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
    tasks = {label: {**facts, "benchmark": f"glue/{label}"} for label in labels}
    return {**summary, "tasks": {"tasks": tasks, "models": models, "claim": average_claim(tasks, models)}}


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


LEARNT, UNLEARNT, FAILED = {"check": {"alarm": None}}, {"check": {"alarm": "no better"}}, {"error": "diverged"}


def claim(
    baselines: dict[str, tuple[dict[str, Any], float | None]],
    pick: dict[str, Any] = LEARNT,
    split: str = "test",
    untrained: tuple[str, ...] = (),
) -> str:
    """The claim of a pick with an average of 0.7 over rte and sst2.

    Args:
        baselines: name -> what came of rte, and the average.
        pick: what came of rte.
        split: of rte.
        untrained: baselines that could not be distilled.
    """

    def row(name: str, role: str, rte: dict[str, Any], value: float | None) -> dict[str, Any]:
        averages = {} if value is None else {"paper": {**entry(value), "tasks": ["sst2", "rte"], "missing": []}}
        # On WNLI, which the average leaves out, no model is better than the trivial answer.
        return {
            "name": name,
            "role": role,
            "tasks": {"rte": rte, "sst2": LEARNT, "wnli": UNLEARNT},
            "averages": averages,
        }

    models = [row(name, "baseline", rte, value) for name, (rte, value) in baselines.items()]
    gains = {
        name: {"averages": {"paper": entry(0.7 - value)}} for name, (_, value) in baselines.items() if value is not None
    }
    ours = {**row("pick 3", "pick", pick, None if pick is FAILED else 0.7), "versus": gains}
    tasks = {label: {"benchmark": f"glue/{label}", "split": "test"} for label in ("sst2", "wnli")}
    tasks["rte"] = {"benchmark": "glue/rte", "split": split}
    return claim_sentence({"tasks": {"claim": average_claim(tasks, [*models, ours], untrained)}})


def test_a_claim_on_the_average_names_the_baselines_that_are_void() -> None:
    assert claim({"small": (LEARNT, 0.6), "strong": (FAILED, None)}, untrained=("lost",)) == (
        "On the GLUE average pick 3 gains +0.100 [+0.0800, +0.120] over small, the best baseline there at any speed: "
        "surely better. Void: strong (fine-tuning failed on rte), lost (its training failed). Well trained, it may be "
        "the strongest."
    )
    assert "Void" not in claim({"small": (LEARNT, 0.6)})


def test_void_baselines_alone_are_no_rivals_on_the_average() -> None:
    assert claim({"strong": (FAILED, None), "collapsed": (UNLEARNT, 0.25)}) == (
        "On the GLUE average nothing is claimed: no baseline has learnt all of its tasks. Void: strong (fine-tuning "
        "failed on rte), collapsed (no better than the trivial answer on rte). Well trained, it may be the strongest."
    )
    assert "nothing is claimed: no baseline" in claim({"odd": (LEARNT, None), "collapsed": (UNLEARNT, 0.25)})
    lost = claim({}, untrained=("lost",))
    assert lost.startswith("On the GLUE average nothing is claimed: no baseline has learnt")
    assert "Void: lost (its training failed)." in lost


def test_a_baseline_that_is_ahead_stays_the_rival_although_it_has_not_learnt_a_task() -> None:
    found = claim({"small": (LEARNT, 0.3), "best": (UNLEARNT, 0.69)})
    assert "over best, the best baseline there at any speed: not surely better. Void: best (no better than" in found
    assert "over small" in claim({"small": (LEARNT, 0.6), "collapsed": (UNLEARNT, 0.25)})


def test_nothing_is_claimed_of_a_first_pick_that_failed_or_without_a_test_split() -> None:
    small = {"small": (LEARNT, 0.6)}
    expected = "On the GLUE average nothing is claimed: "
    assert claim(small, pick=FAILED) == f"{expected}pick 3 (fine-tuning failed on rte)."
    assert claim(small, split="select") == f"{expected}rte without a test split."


def test_figures_of_a_task_without_a_test_split_say_so(summary: dict[str, Any]) -> None:
    found = with_tasks(summary, "rte", "mine")
    assert "Nothing is claimed from" not in tasks_section(found) + printed(found)
    found["tasks"]["tasks"]["mine"]["split"] = "select"
    assert task_columns(found) == ["rte, score", "mine, score, on select", "GLUE average"]
    for shown in (tasks_section(found), printed(found)):
        assert "Nothing is claimed from mine: without a test split" in shown


@pytest.mark.parametrize("labels", [("rte", "mine"), ("rte", "a", "b", "c", "d", "e")])
def test_the_terminal_shows_what_fits(summary: dict[str, Any], labels: tuple[str, ...]) -> None:
    shown = printed(with_tasks(summary, *labels))
    assert "GLUE average" in shown
    assert "[0.640, 0.680]" in shown
    assert ("mine" in shown) == ("mine" in labels)
    assert max(map(len, shown.splitlines())) <= 100
