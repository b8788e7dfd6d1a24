"""What closes a sweep over tasks of GLUE."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autodistill.cli.model_verbs import print_table
from autodistill.cli.sweep import glue_averages, print_sweep, unlearnt_tasks


def summary(task: str, metric: str, value: float, *baselines: str, unlearnt: tuple[str, ...] = ()) -> dict[str, Any]:
    entry = {"value": value, "low": value - 0.1, "high": value + 0.1}
    return {
        "task": {"benchmark": f"glue/{task}"},
        "teacher": {"metrics": {f"glue.{metric}": entry, "agreement.accuracy": entry}},
        "picks": [
            {
                "name": "pick 3",
                "architecture": {"hidden_size": 128, "intermediate_size": 512, "num_heads": 4, "num_layers": 2},
                "final": {f"glue.{metric}": entry},
                "versus": {"teacher": {"speedup": 12.5}},
            }
        ],
        "baselines": [{"name": name, "final": {f"glue.{metric}": entry}} for name in baselines],
        "trials": {"complete": 20},
        "hypervolume": 35.7005,
        "verdict": {"metric": f"glue.{metric}", "holds": None},
        "unlearnt": list(unlearnt),
    }


def written(folder: Path, task: str, content: dict[str, Any]) -> dict[str, Any]:
    """A job that ended well, and its study's summary."""
    study = folder / f"glue_all-data=glue_{task}"
    study.mkdir()
    (study / "summary.json").write_text(json.dumps(content))
    return {"study": study, "exit_code": 0}


def test_models_that_were_scored_on_all_tasks_are_averaged() -> None:
    given = [summary("rte", "accuracy", 0.6, "small", "tiny"), summary("mrpc", "f1", 0.8, "small")]
    found = glue_averages(given)
    assert list(found) == ["teacher", "best pick", "small"]
    assert found["best pick"].value == pytest.approx(0.7)
    assert found["best pick"].tasks == ("mrpc", "rte")


def test_other_sweeps_have_no_average() -> None:
    assert glue_averages([summary("rte", "accuracy", 0.6)]) == {}
    assert glue_averages([{"task": {"kind": "classification"}}] * 2) == {}


def test_an_average_names_the_tasks_on_which_a_model_has_learnt_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {
        "rte": summary("rte", "accuracy", 0.53, "small", unlearnt=("teacher", "pick 3", "small", "pick 4")),
        "mrpc": summary("mrpc", "f1", 0.81, "small", unlearnt=("small",)),
        "wnli": summary("wnli", "accuracy", 0.5, "small", unlearnt=("teacher",)),  # in no average of papers
    }
    tasks = {"teacher": ["rte", "wnli"], "best pick": ["rte"], "small": ["rte", "mrpc"], "pick 4": ["rte"]}
    assert unlearnt_tasks(list(given.values())) == tasks
    print_sweep([written(tmp_path, task, content) for task, content in given.items()])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("GLUE average of ")]
    for line, (name, void) in zip(
        lines, {"teacher": "rte", "best pick": "rte", "small": "mrpc, rte"}.items(), strict=True
    ):
        assert line.startswith(f"GLUE average of {name}: 0.67"), line
        assert line.endswith(f"; void on {void}: no better than the trivial answer there"), line


def test_the_average_of_models_that_have_learnt_all_tasks_names_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"rte": summary("rte", "accuracy", 0.7), "mrpc": summary("mrpc", "f1", 0.9)}
    print_sweep([written(tmp_path, task, content) for task, content in given.items()])
    assert "void" not in capsys.readouterr().out


def test_the_table_can_be_read_on_80_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"COLUMNS": "80", "TERM": "dumb", "FORCE_COLOR": "1"}.items():  # a terminal without colours
        monkeypatch.setenv(name, value)
    void = ("teacher", "pick 3", "teacher_truncated-1")
    tasks = ("cola", "sst2", "mrpc", "stsb", "mnli", "rte")
    jobs = [written(tmp_path, task, summary(task, "accuracy", 0.8123, unlearnt=void)) for task in tasks]
    jobs.append({"study": tmp_path / "glue_all-data=glue_wnli", "exit_code": 2})
    print_sweep(jobs)
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("GLUE")]
    assert max(map(len, lines)) <= 80
    assert "\u2026" not in "".join(lines)  # nothing is cut off
    rows = [line.split() for line in lines if "glue_all-data=" in line]
    numbers, words = rows[: len(jobs)], rows[len(jobs) :]
    assert [row[0] for row in numbers] == [job["study"].name for job in jobs]
    assert [row[1:] for row in numbers] == [*[["0", "20", "35.7005", "0.8123", "12.50x", "unknown"]] * 6, ["2"]]
    assert [row[0] for row in words] == [row[0] for row in numbers[:-1]]
    for word in ("num_layers=2", "pick 3:", "teacher,", "teacher_truncated-1"):
        assert sum(word in line for line in lines) == len(tasks), word


def test_names_in_brackets_are_no_markup(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    print_table("runs/[/a]/hf", ["[b]"], [["models[int8]"], ["runs/[a]/hf"]])
    print_sweep([{"study": tmp_path / "x[a]", "exit_code": 1}])
    printed = capsys.readouterr().out
    for name in ("runs/[/a]/hf", "[b]", "models[int8]", "runs/[a]/hf", "x[a]"):
        assert name in printed
