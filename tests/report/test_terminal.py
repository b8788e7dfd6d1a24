"""The terminal report fits its terminal, says the verdict first and never chokes on what is missing."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from autodistill.report import formats
from autodistill.report.terminal import render_summary

from .conftest import throughput_objective


def printed(summary: dict[str, Any], width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    render_summary(summary, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_verdict_comes_first(summary: dict[str, Any]) -> None:
    first, second = printed(summary).strip().splitlines()[:2]
    assert first == "The search paid off  (study reviews)"
    assert second.startswith("Pick 12 reaches 89.6 % [88.5, 90.7] accuracy on the test split")


def test_what_the_verdict_leaves_out_stands_below_it(summary: dict[str, Any]) -> None:
    summary["verdict"]["limits"] = ["Void, and not compared with: mobilebert.", "Trained once each."]
    lines = printed(summary, 400).strip().splitlines()
    assert lines[2:4] == summary["verdict"]["limits"]


@pytest.mark.parametrize(
    "wanted",
    [
        "uniform_scaling_4l     88.1 % [87.0, 89.2]   96.4 %",
        "tfidf_linear           80.2 % [79.1, 81.3]   87.7 %                 \u2013",
        "4.95 ms \u00b11.4 %      2.30\u00d7       7.87 M",
        "44 complete, 1 stopped, 2 infeasible, 1 failed",
        "rank correlation 0.91 (Spearman), 0.79 (Kendall) over 8 models",
        "distill 1 h 10 min (65 %)",
        "Mind            3.1 % of the test examples",
        "outputs/reviews/picks/12/onnx/model.onnx",
        "Go on with      autodistill explore study.name=reviews budget.trials=96",
    ],
)
def test_a_finished_study_shows(summary: dict[str, Any], wanted: str) -> None:
    assert wanted in printed(summary)


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("name", ["summary", "partial_summary", "bare_summary"])
def test_no_line_is_wider_than_the_terminal(name: str, width: int, request: pytest.FixtureRequest) -> None:
    lines = printed(request.getfixturevalue(name), width).splitlines()
    assert lines
    assert max(len(line) for line in lines) <= width


@pytest.mark.parametrize("width", [80, 100, 140])
def test_no_number_is_cut_off(summary: dict[str, Any], width: int) -> None:
    text = printed(summary, width)
    assert "\u2026" not in text
    assert text.count("\u00b11.4 %") >= 10


def test_every_backend_is_shown_where_there_is_room(summary: dict[str, Any]) -> None:
    assert "onnxruntime_batch8" in printed(summary, 140)


def test_a_running_study_shows_its_front(partial_summary: dict[str, Any]) -> None:
    text = printed(partial_summary)
    assert "No verdict yet" in text
    assert "front so far" in text
    assert f"trial {partial_summary['pareto'][0]}" in text


def test_the_least_summary_is_shown(bare_summary: dict[str, Any]) -> None:
    assert "unknown: both scores known for 0 of at least 8 models" in printed(bare_summary)
    assert "?" in printed({})


def test_a_failed_export_and_a_failed_baseline_are_told(summary: dict[str, Any]) -> None:
    summary["picks"][0]["exports"][1] = {"format": "onnx", "label": "onnx_int8", "error": "outputs differ"}
    summary["baselines"][0] |= {"final": None, "state": "failed", "error": "nan"}
    assert "failed: outputs differ" in printed(summary)
    assert "teacher_truncated_3l (failed)" in printed(summary, 140)


def test_names_with_brackets_are_no_markup(
    summary: dict[str, Any], poisoned: Callable[[dict[str, Any], str], dict[str, Any]]
) -> None:
    assert "[bold]x[/]" in printed(poisoned(summary, "[bold]x[/]"), 200)


def test_the_latency_that_is_an_objective_is_shown_where_it_is_no_median(summary: dict[str, Any]) -> None:
    text = printed(throughput_objective(summary), 200)
    assert "throughput at p99, onnxruntime_batch8" in text
    assert (
        formats.latency_value("throughput", summary["picks"][0]["latencies"]["onnxruntime_batch8"]["throughput_at_p99"])
        in text
    )


@pytest.mark.parametrize("width", [80, 100])
def test_no_throughput_is_cut_off(summary: dict[str, Any], width: int) -> None:
    text = printed(throughput_objective(summary), width)
    assert "\u2026" not in text
    assert text.count(" /s") == 10  # all but the linear model


def test_the_front_so_far_begins_with_the_highest_throughput(partial_summary: dict[str, Any]) -> None:
    lines = printed(throughput_objective(partial_summary), 200).splitlines()
    start = next(index for index, line in enumerate(lines) if "front so far" in line)
    assert " /s" in lines[start + 2]


def test_reasons_for_care_are_marked_and_told(summary: dict[str, Any]) -> None:
    assert "with care" not in printed(summary)
    summary["teacher"]["latencies"]["onnxruntime"]["flags"] = ["lower_bound", "imprecise"]
    summary["baselines"][0]["latencies"]["onnxruntime"]["flags"] = ["imprecise", "outliers"]
    text = printed(summary, 140)
    assert "\u00b11.4 %!" in text
    assert "!: to be taken with care: lower bound, imprecise, outliers (onnxruntime)." in text


def test_two_exports_that_failed_alike_are_two(summary: dict[str, Any]) -> None:
    failed = {"format": "onnx", "error": "no room on the disk"}
    summary["picks"][0]["exports"] = [failed | {"label": label} for label in ("onnx", "onnx_int8")]
    assert printed(summary).count("failed: no room on the disk") == 2
