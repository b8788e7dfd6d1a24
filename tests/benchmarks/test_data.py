"""The benchmarks of data run on a megabyte, and go on where they stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
    run("memory", "--megabytes", "1", "--work", str(tmp_path / "work"), "--output", str(output))
    results = json.loads(output.read_text())["memory"]["results"]
    assert results["tokenise"]["rows"] > 1000
    assert 0 < results["tokenise"]["peak_private_megabytes"] < 2000
    assert results["teach"]["rows"] == 32
