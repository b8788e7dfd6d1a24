"""The benchmark of the evaluation: its scripts run on a tiny setting and write their sections."""

from __future__ import annotations

import importlib
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autodistill.testing.tiny import write_tiny_teacher

ROOT = Path(__file__).parents[2]


def script(name: str, *arguments: str, output: Path) -> tuple[str, dict[str, Any]]:
    """What a script prints, and its section."""
    command = [sys.executable, "-m", f"benchmarks.evaluation.{name}", *arguments, "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    section = json.loads(output.read_text())[name]
    assert section["command"].startswith(f"python -m benchmarks.evaluation.{name}")
    return done.stdout, section["results"]


def write_rte(folder: Path) -> Path:
    """RTE in the official layout: whether a sentence has an animal in it."""
    generator = random.Random(0)
    (folder / "RTE").mkdir(parents=True)
    for name, count in (("train", 120), ("dev", 40)):
        lines = ["index\tsentence1\tsentence2\tlabel"]
        for row in range(count):
            clue, label = generator.choice([("cat", "entailment"), ("red", "not_entailment")])
            words = [f"w{generator.randrange(40)}" for _ in range(4)]
            lines.append(f"{row}\t{' '.join([*words, clue])}\tw{row % 40}\t{label}")
        (folder / "RTE" / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    return folder


def write_squad(path: Path) -> Path:
    answers = [{"text": "The Cat", "answer_start": 0}, {"text": "cat", "answer_start": 4}]
    paragraph = {"context": "The Cat sat.", "qas": [{"id": "q", "question": "Who?", "answers": answers}]}
    path.write_text(json.dumps({"data": [{"title": "t", "paragraphs": [paragraph]}], "version": "1.1"}))
    return path


def test_metrics_are_compared_and_equal(tmp_path: Path) -> None:
    glue, squad = write_rte(tmp_path / "glue"), write_squad(tmp_path / "dev.json")
    given = ["--glue", str(glue), "--tasks", "rte", "--squad", str(squad)]
    _, results = script("metrics", *given, output=tmp_path / "out.json")
    assert results["glue"] == {"rte": {"accuracy": 0.0}}
    assert results["squad"]["answers"] == 7
    assert results["squad"]["different"] == 0


def test_coverage_is_counted(tmp_path: Path) -> None:
    given = ["--repetitions", "5", "--only", "accuracy 0.9", "three seeds"]
    _, results = script("coverage", *given, output=tmp_path / "out.json")
    assert len(results) == 4
    assert all(0 <= row["coverage"] <= 1 and row["median_width"] > 0 for row in results.values())


def test_the_protocol_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    glue, model, output = write_rte(tmp_path / "glue"), write_tiny_teacher(tmp_path / "model"), tmp_path / "out.json"
    given = ["--glue", str(glue), "--work", str(tmp_path / "runs"), "--model", str(model), "--tasks", "rte"]
    given += ["--learning-rates", "3e-3", "--epochs", "1", "--seeds", "2", "--threads", "1", "--max-length", "32"]
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setattr(sys, "argv", ["glue_protocol.py", *given, "--output", str(output)])
    protocol: Any = importlib.import_module("benchmarks.evaluation.glue_protocol")
    protocol.main()
    first = json.loads(output.read_text())["glue_protocol"]["results"]
    assert first["tasks"]["rte"]["metrics"]["glue.accuracy"]["seeds"] == 2
    assert first["averages"]["leaderboard"]["tasks"] == ["rte"]
    kept = sorted((tmp_path / "runs").rglob("result.json"))
    times = [path.stat().st_mtime_ns for path in kept]
    protocol.main()
    assert json.loads(output.read_text())["glue_protocol"]["results"] == first
    assert [path.stat().st_mtime_ns for path in kept] == times
