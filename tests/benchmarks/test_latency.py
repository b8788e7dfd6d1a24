"""The benchmark of latency: its summaries say what they should, its records go on, a script runs on tiny models."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def module(name: str) -> Any:
    """A module of the benchmark, which is no part of the installed package."""
    return importlib.import_module(f"benchmarks.latency.{name}")


def test_records_are_made_once_and_survive_a_line_that_was_cut_off(tmp_path: Path) -> None:
    records = module("results").Records
    path = tmp_path / "records.jsonl"
    assert records(path).get("a", lambda: 1) == 1
    path.write_text(path.read_text() + '{"key": "b", "val')
    again = records(path)
    assert again.get("a", lambda: 2) == 1
    assert again.get("b", lambda: 3) == 3
    assert records(path).found == {"a": 1, "b": 3}


def test_summary_of_repeatability_counts_wide_flagged_and_scattered() -> None:
    def report(median: float, half: float, ratio: float, *flags: str) -> dict[str, Any]:
        return {"median": median, "relative_half_width": half, "ratio_to_reference": ratio, "flags": list(flags)}

    found = module("repeatability").summary(
        [
            [report(1.0, 0.01, 0.50), report(1.2, 0.02, 0.51)],
            [report(2.0, 0.05, 0.50, "imprecise"), report(2.0, 0.09, 0.60)],
        ]
    )
    assert (found["measurements"], found["half_width_above_3_percent"], found["of_those_flagged"]) == (4, 2, 1)
    assert found["ratios_within_5_percent"] == 1
    assert found["spread_of_median"] == pytest.approx([0.2, 0.0])


def test_agreement_is_perfect_in_rank_whatever_the_scale() -> None:
    found = module("agreement").agreement([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert found == {"models": 3, "spearman": 1.0, "median_error": 1.0, "largest_error": 1.0}


def test_twenty_architectures_of_two_families_can_be_built_and_are_distinct() -> None:
    setup = module("setup")
    models = setup.Models(Path("unused"), tiny=False)
    assert len(set(setup.TWENTY)) == 20
    assert {item.family for item in setup.TWENTY} == {"bert", "mobilebert"}
    for item in (*setup.TWENTY, *setup.TINY, *setup.PUBLISHED.values()):
        models.families[item.family].validate(item)


def test_what_a_section_is_of_are_not_the_folders_of_a_run(tmp_path: Path) -> None:
    setup = module("setup")
    parser = setup.options(None, ["torch"])
    given = parser.parse_args(["--records", str(tmp_path / "records.jsonl"), "--threads", "3"])
    assert set(setup.settings_of(given)) == {"backends", "threads", "length", "seconds", "tiny"}
    assert setup.section_of("models", given) == "models_threads_3"


@pytest.mark.slow
def test_script_runs_on_tiny_models_and_the_same_command_measures_nothing_again(tmp_path: Path) -> None:
    records, output = tmp_path / "records.jsonl", tmp_path / "latency.json"
    command = [sys.executable, "-m", "benchmarks.latency.composed", "--tiny", "--length", "8", "--seconds", "0.05"]
    command += ["--backends", "torch", "--threads", "1", "--records", str(records), "--output", str(output)]
    first = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert first.stdout.count("composed of 0.05 s ratios, torch length 8") == 5  # four architectures and the cost
    found = json.loads(output.read_text())["composed_threads_1"]
    assert found["settings"]["length"] == 8
    assert found["results"]["torch"]["median"]["models"] == 4
    assert found["results"]["torch"]["cost"]["shapes"] == 2
    second = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert "torch length 8" not in second.stdout
