"""Sentences and parts about targets, savings, importance and prediction."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from autodistill.report.html import render_html
from autodistill.report.learnt import metric_words, prediction_sentence, savings_sentence
from autodistill.report.targets import answers_rows, target_rows
from autodistill.report.terminal import render_summary


def printed(summary: dict[str, Any], width: int = 140) -> str:
    file = io.StringIO()
    render_summary(summary, Console(file=file, width=width, force_terminal=False))
    return file.getvalue()


def test_targets_are_rows_with_the_ends_of_their_fronts(summary: dict[str, Any]) -> None:
    first, second = target_rows(summary)
    assert (first.target, first.is_objective) == ("onnxruntime", True)
    assert (second.target, second.is_objective) == ("onnxruntime_batch8", False)
    assert second.hypervolume == pytest.approx(0.44)
    assert first.size == len(summary["pareto"])
    fastest = min(
        (row for row in summary["history"] if row["trial"] in summary["pareto"]),
        key=lambda row: row["latencies"]["onnxruntime"]["median"],
    )
    assert first.fastest[0] == f"{fastest['latencies']['onnxruntime']['median']:.3g} ms"
    assert first.fastest[1].startswith(f"trial {fastest['trial']}, ")
    assert first.best[1] != first.fastest[1]


def test_a_target_whose_front_is_empty_has_no_ends(partial_summary: dict[str, Any]) -> None:
    partial_summary["pareto"] = []
    assert [(row.size, row.fastest) for row in target_rows(partial_summary)] == [(0, ("\u2013", ""))] * 2


def test_several_targets_are_shown_on_the_page_and_in_the_terminal(summary: dict[str, Any]) -> None:
    page = render_html(summary)
    assert "Other targets" in page
    assert "Fronts of all targets" in page
    assert 'id="figure-pareto-1"' in page
    assert "onnxruntime_batch8: no objective of the search." in printed(summary)


def test_a_target_of_another_precision_says_whose_quality_is_shown(summary: dict[str, Any]) -> None:
    caveat = "quality is that of the fp32 model"
    assert caveat not in render_html(summary)
    summary["pareto_sets"]["onnxruntime_batch8"] |= {"precision": "int8", "caveat": caveat}
    assert f"not an objective of the search; {caveat}." in render_html(summary)
    assert f"onnxruntime_batch8: no objective of the search; {caveat}." in printed(summary, width=200)


def test_what_models_score_as_a_target_runs_them_is_shown(summary: dict[str, Any]) -> None:
    assert "In the precision of the target" not in render_html(summary)
    assert "as the target runs it" not in printed(summary)
    metric = summary["task"]["metric"]
    own = {"value": 0.871, "low": 0.85, "high": 0.89, "n": 1821, "seeds": 1, "split": "test"}
    change = own | {"value": -0.012, "low": -0.02, "high": -0.004}
    for student in (summary["baselines"][0], summary["picks"][0]):
        student["targets"] = {"int8": {"precision": "int8", "metrics": {metric: own}, "change": change}}
    assert [(row.role, row.target) for row in answers_rows(summary)] == [("baseline", "int8"), ("pick", "int8")]
    page = render_html(summary)
    assert "In the precision of the target" in page
    assert '<span class="down">\u22121.2 points [\u22122.0, \u22120.4]</span>' in page
    lines = [line for line in printed(summary).splitlines() if "int8 (int8)" in line]
    assert len(lines) == 1
    assert "87.1 % [85.0, 89.0]" in lines[0]


def test_one_target_needs_no_table_of_targets(summary: dict[str, Any]) -> None:
    summary["pareto_sets"].pop("onnxruntime_batch8")
    assert "Other targets" not in render_html(summary)
    assert "no objective" not in printed(summary)


def test_savings_are_told_in_examples(summary: dict[str, Any]) -> None:
    summary["pruning"] |= {"stopped": 9, "examples": 86_400.4, "share_of_examples": 0.184}
    wanted = (
        "9 flash runs were stopped early, which saved 86,400 examples: 18.4 % of what all flash runs would have read."
    )
    assert savings_sentence(summary) == wanted
    assert "9 flash runs were stopped early" in printed(summary)
    assert "which saved 86,400 examples" in render_html(summary)


@pytest.mark.parametrize(
    ("pruning", "told"),
    [
        ({"stopped": 0, "examples": 0.0}, ""),
        ({}, ""),
        ({"stopped": 1, "examples": None}, "1 flash run was stopped early."),
    ],
)
def test_savings_that_are_none_or_unknown(summary: dict[str, Any], pruning: dict[str, Any], told: str) -> None:
    assert savings_sentence({**summary, "pruning": pruning}) == told


def test_a_stopped_trial_says_where_it_was_stopped(summary: dict[str, Any]) -> None:
    assert "<small>at 25.0 %</small>" in render_html(summary)


def test_the_prediction_is_told_in_words(summary: dict[str, Any], partial_summary: dict[str, Any]) -> None:
    wanted = (
        "rank correlation 0.93 (Spearman) over 44 trials; 95.2 % of them lie inside their 95 % interval. "
        "Each was predicted by one of 20 models, fitted without one in 20 of the architectures."
    )
    assert prediction_sentence(summary) == wanted
    summary["analytics"]["prediction"]["scored"] = 300
    assert "over the latest 44 trials; " in prediction_sentence(summary)
    assert prediction_sentence(partial_summary) == ""


def test_what_cannot_be_told_says_why(partial_summary: dict[str, Any]) -> None:
    page = render_html(partial_summary)
    assert page.count("not told. 8 architectures are too few; 10 are needed.") == 2
    assert "Predicted against observed" not in page
    reason = {"metric": "classification.accuracy", "n": 3, "reason": "nothing varied.", "points": []}
    partial_summary["analytics"]["prediction"] = reason
    assert "not told. Nothing varied." in render_html(partial_summary)


def test_metrics_of_latency_are_named_with_their_label() -> None:
    assert metric_words("onnxruntime.p50_ms") == "median latency (onnxruntime)"
    assert metric_words("batch8.throughput") == "throughput (batch8)"
    assert metric_words("classification.macro_f1") == "macro f1"
