"""The benchmarks of data run on a megabyte, and go on where they stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import autodistill
from autodistill.teachers.configs import FineTunedTeacherConfig

ROOT = Path(__file__).parents[2]


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, "-m", f"benchmarks.data.{script}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_throughput_is_measured_once(tmp_path: Path) -> None:
    output = tmp_path / "data.json"
    arguments = ("--megabytes", "1", "--repeats", "1", "--processes", "1", "--output", str(output))
    run("tokenise", *arguments)
    results = json.loads(output.read_text())["tokenise"]["results"]
    assert results["corpus"]["tokens"] == pytest.approx(results["datasets_map"]["tokens"], rel=0.02)
    run("tokenise", *arguments)
    assert json.loads(output.read_text())["tokenise"]["results"]["corpus"]["seconds"] == results["corpus"]["seconds"]


def test_memory_is_watched(tmp_path: Path) -> None:
    output = tmp_path / "data.json"
    arguments = ("--megabytes", "1", "--batch-size", "8", "--accumulate", "2", "--work", str(tmp_path / "work"))
    run("memory", *arguments, "--output", str(output))
    section = json.loads(output.read_text())["memory"]
    assert section["settings"] == {"megabytes": 1, "batch_size": 8, "accumulate": 2}
    results = section["results"]
    assert results["tokenise"]["rows"] > 1000
    assert 0 < results["tokenise"]["peak_private_megabytes"] < 2000
    assert results["teach"]["rows"] == 4 * 8


def test_a_head_is_taught_in_batches_of_the_preset() -> None:
    teacher = autodistill.compose(["experiment=corpus_mlm", "data.path=texts"]).one("teacher")
    assert teacher.parameters["fine_tune_batch_size"] == FineTunedTeacherConfig.fine_tune_batch_size == 32


def test_memory_of_rows_is_some_bytes_each(tmp_path: Path) -> None:
    output = tmp_path / "data.json"
    run("rows", "--rows", "300000", "--output", str(output))
    results = json.loads(output.read_text())["rows"]["results"]
    assert 4 <= results["order"]["bytes_per_row"] < 8
    assert all(found["bytes_per_row"] < 40 for found in results.values())
