"""How a search ends: never in silence where nothing could be trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_studies import tiny_study

from autodistill.cli import main


def test_a_search_that_could_train_nothing_is_an_error_and_trains_no_baselines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tiny_study(tmp_path, "study.name=lost", "baseline=[teacher_truncated]")
    path = tmp_path / "latencies.json"
    content = json.loads(path.read_text())
    del content["default"]  # the file knows an architecture of another space, and the teacher
    content["measurements"] = [{**content["measurements"][0], "architecture": {"family": "bert", "choices": {"a": 1}}}]
    path.write_text(json.dumps(content))
    assert main(["run", *given]) == 1
    error = capsys.readouterr().err
    assert "The search ended before a single trial could be trained. Every feasible architecture" in error
    assert "`autodistill report study.name=lost` shows what was tried" in error
    output = next(item for item in given if item.startswith("output_dir="))
    assert main(["report", "study.name=lost", output]) == 0
    summary = json.loads(next(tmp_path.rglob("summary.json")).read_text())
    assert {row["state"] for row in summary["history"]} == {"failed"}
    assert summary["baselines"] == []
