"""What closes a sweep over tasks of GLUE."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autodistill.cli.model_verbs import print_table
from autodistill.cli.sweep import glue_averages, print_sweep


def summary(task: str, metric: str, value: float, *baselines: str) -> dict[str, Any]:
    entry = {"value": value, "low": value - 0.1, "high": value + 0.1}
    return {
        "task": {"benchmark": f"glue/{task}"},
        "teacher": {"metrics": {f"glue.{metric}": entry, "agreement.accuracy": entry}},
        "picks": [{"final": {f"glue.{metric}": entry}}],
        "baselines": [{"name": name, "final": {f"glue.{metric}": entry}} for name in baselines],
    }


def test_models_that_were_scored_on_all_tasks_are_averaged() -> None:
    given = [summary("rte", "accuracy", 0.6, "small", "tiny"), summary("mrpc", "f1", 0.8, "small")]
    found = glue_averages(given)
    assert list(found) == ["teacher", "best pick", "small"]
    assert found["best pick"].value == pytest.approx(0.7)
    assert found["best pick"].tasks == ("mrpc", "rte")


def test_other_sweeps_have_no_average() -> None:
    assert glue_averages([summary("rte", "accuracy", 0.6)]) == {}
    assert glue_averages([{"task": {"kind": "classification"}}] * 2) == {}


def test_names_in_brackets_are_no_markup(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    print_table("runs/[/a]/hf", ["[b]"], [["models[int8]"], ["runs/[a]/hf"]])
    print_sweep([{"study": tmp_path / "x[a]", "exit_code": 1}])
    printed = capsys.readouterr().out
    for name in ("runs/[/a]/hf", "[b]", "models[int8]", "runs/[a]/hf", "x[a]"):
        assert name in printed
