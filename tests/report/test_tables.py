"""Rows and phrases say what the summary says, whatever part of it exists."""

from __future__ import annotations

import copy
import json
from importlib import resources
from typing import Any

import jsonschema
import pytest

from autodistill.components.latency import LATENCY_METRICS, LatencyReport
from autodistill.report import tables

from .conftest import throughput_objective


@pytest.mark.parametrize("name", ["summary", "partial_summary", "bare_summary"])
def test_the_example_summaries_are_valid(name: str, request: pytest.FixtureRequest) -> None:
    schema = json.loads(resources.files("autodistill.testing").joinpath("summary.schema.json").read_text())
    jsonschema.validate(request.getfixturevalue(name), schema)


def test_the_verdict_names_pick_baseline_interval_and_speed(summary: dict[str, Any]) -> None:
    assert tables.verdict_heading(summary) == "The search paid off"
    assert tables.verdict_sentence(summary) == (
        "Pick 12 reaches 89.6 % [88.5, 90.7] accuracy on the test split, 98.0 % of the teacher's, "
        "at 2.30 times its speed; it beats uniform_scaling_4l, the strongest baseline, by +1.5 points [+0.6, +2.4] at "
        "1.12 times its speed."
    )


@pytest.mark.parametrize(
    ("holds", "heading", "phrase"),
    [
        (False, "Not shown to beat the strongest baseline", "it does not beat uniform_scaling_4l"),
        (None, "No verdict", "the difference to uniform_scaling_4l, the strongest baseline, is +1.5 points"),
    ],
)
def test_a_verdict_that_does_not_hold_claims_nothing(
    summary: dict[str, Any], holds: bool | None, heading: str, phrase: str
) -> None:
    summary["verdict"]["holds"] = holds
    assert tables.verdict_heading(summary) == heading
    assert phrase in tables.verdict_sentence(summary)
    assert "beats" not in tables.verdict_sentence(summary)


def test_a_verdict_without_some_baselines_says_so(summary: dict[str, Any]) -> None:
    summary["verdict"] |= {"voided": ["mobilebert"], "limits": ["Void, and not compared with: mobilebert."]}
    assert "uniform_scaling_4l, the strongest baseline that is not void, by" in tables.verdict_sentence(summary)
    assert tables.verdict_limits(summary) == ["Void, and not compared with: mobilebert."]


def test_without_final_results_the_claim_is_the_verdict(partial_summary: dict[str, Any]) -> None:
    assert tables.verdict_heading(partial_summary) == "No verdict yet"
    assert tables.verdict_sentence(partial_summary) == "The study has no picks yet."


def test_the_best_pick_is_the_first_chosen_not_the_one_with_the_best_test_score(summary: dict[str, Any]) -> None:
    summary["picks"].reverse()
    best = tables.best_pick(summary)
    assert best is not None
    assert best["trial"] == 40


def test_a_pick_whose_training_failed_is_not_the_best(summary: dict[str, Any]) -> None:
    summary["picks"][0]["final"] = None
    best = tables.best_pick(summary)
    assert best is not None
    assert best["trial"] == 31


def test_the_verdict_may_name_its_pick(summary: dict[str, Any]) -> None:
    summary["verdict"]["pick"] = 31
    best = tables.best_pick(summary)
    assert best is not None
    assert best["trial"] == 31


def test_what_is_still_in_training_says_so(summary: dict[str, Any]) -> None:
    summary["picks"] = [pick | {"final": None, "state": "leased", "parameters": 0} for pick in summary["picks"]]
    assert tables.verdict_heading(summary | {"verdict": {"claim": "Nothing yet.", "holds": None}}) == "No verdict yet"
    last = tables.comparison_rows(summary)[-1]
    assert (last.state, last.parameters) == ("in training", None)


def test_rows_come_as_teacher_references_baselines_picks(summary: dict[str, Any]) -> None:
    roles = [row.role for row in tables.comparison_rows(summary)]
    assert roles == ["teacher", *["reference"] * 2, *["baseline"] * 5, *["pick"] * 3]


def test_baselines_are_put_in_relation_to_the_teacher(summary: dict[str, Any]) -> None:
    row = next(row for row in tables.comparison_rows(summary) if row.name == "tinybert_4l")
    assert row.retained == pytest.approx(0.872 / 0.914)
    assert row.speedup == pytest.approx(11.4 / summary["baselines"][4]["latencies"]["onnxruntime"]["median"])


def test_speed_is_compared_within_timing_sessions_where_known(summary: dict[str, Any]) -> None:
    summary["baselines"][0]["latencies"]["onnxruntime"]["ratio_to_reference"] = 0.25
    row = next(row for row in tables.comparison_rows(summary) if row.name == "teacher_truncated_3l")
    assert row.speedup == pytest.approx(4.0)


def test_nothing_is_kept_of_a_metric_that_is_minimised(summary: dict[str, Any]) -> None:
    summary["objectives"][0]["direction"] = "minimize"
    for pick in summary["picks"]:
        del pick["versus"]
    assert {row.retained for row in tables.comparison_rows(summary)} == {None}


def test_the_verdict_says_which_way_its_metric_is_better(summary: dict[str, Any]) -> None:
    summary["verdict"] |= {"metric": "mlm.perplexity", "direction": "minimize"}  # no objective of this study
    assert not tables.is_maximised(summary, "mlm.perplexity")
    assert tables.is_maximised(summary, "classification.accuracy")


def test_the_latency_objective_comes_first(summary: dict[str, Any]) -> None:
    summary["objectives"][1]["metric"] = "onnxruntime_batch8.p90_ms"
    assert tables.latency_labels(summary) == ["onnxruntime_batch8", "onnxruntime"]
    assert tables.main_latency(summary) == "onnxruntime_batch8.p90_ms"
    teacher = tables.comparison_rows(summary)[0]
    expected = summary["teacher"]["latencies"]["onnxruntime_batch8"]["p90"]
    assert teacher.value("onnxruntime_batch8.p90_ms") == expected


def test_the_main_metric_is_that_of_the_verdict(summary: dict[str, Any]) -> None:
    summary["verdict"]["metric"] = "classification.macro_f1"
    assert tables.main_metric(summary) == "classification.macro_f1"


def test_without_a_task_metric_the_objective_to_maximise_is_the_main_one(summary: dict[str, Any]) -> None:
    del summary["task"]["metric"]
    summary["objectives"].reverse()
    assert tables.main_metric(summary) == "classification.accuracy"


def test_the_front_is_listed_from_fast_to_slow(partial_summary: dict[str, Any]) -> None:
    front = tables.front_trials(partial_summary)
    medians = [trial["latencies"]["onnxruntime"]["median"] for trial in front]
    assert len(front) == len(partial_summary["pareto"]) > 1
    assert medians == sorted(medians)


def test_rows_do_not_change_the_summary(summary: dict[str, Any]) -> None:
    before = copy.deepcopy(summary)
    tables.comparison_rows(summary)
    tables.verdict_sentence(summary)
    assert summary == before


@pytest.mark.parametrize("metric", LATENCY_METRICS)
def test_every_latency_metric_is_found_in_reports(metric: str) -> None:
    report = LatencyReport("x", "measured", "fp32", {}, 1.0, "cpu", p90=2.0, p99=3.0, throughput=4.0)
    known = dict.fromkeys(LATENCY_METRICS, 5.0) | report.metrics()
    fields = dict.fromkeys(vars(report), 5.0) | {"median": 1.0, "p90": 2.0, "p99": 3.0, "throughput": 4.0}
    assert tables.metric_of(f"srv.{metric}", {}, {"srv": fields}) == known[metric]


def test_the_fastest_of_a_front_has_the_highest_throughput(summary: dict[str, Any]) -> None:
    front = tables.front_trials(throughput_objective(summary))
    served = [trial["latencies"]["onnxruntime_batch8"]["throughput_at_p99"] for trial in front]
    assert len(served) > 1
    assert served == sorted(served, reverse=True)


@pytest.mark.parametrize(
    ("metric", "maximised"),
    [
        ("srv.throughput", True),
        ("srv.p99_ms", False),
        ("srv.cost_per_million", False),
        ("size.parameters", False),
        ("classification.accuracy", True),
    ],
)
def test_what_is_no_objective_is_better_in_its_usual_direction(metric: str, maximised: bool) -> None:
    assert tables.is_maximised({}, metric) is maximised


def test_a_ratio_is_never_compared_with_milliseconds(summary: dict[str, Any]) -> None:
    del summary["teacher"]["latencies"]["onnxruntime"]["ratio_to_reference"]
    summary["teacher"]["latencies"]["onnxruntime"]["median"] = 80.0
    report = summary["baselines"][0]["latencies"]["onnxruntime"]
    report |= {"median": 20.0, "ratio_to_reference": 0.25}
    row = next(row for row in tables.comparison_rows(summary) if row.name == "teacher_truncated_3l")
    assert row.speedup == pytest.approx(4.0)


def test_labels_come_in_the_order_of_the_objectives(summary: dict[str, Any]) -> None:
    more = {"label": "second", "metric": "onnxruntime.p50_ms", "direction": "minimize"}
    summary["objectives"][1]["metric"] = "onnxruntime_batch8.p50_ms"
    summary["objectives"].append(more)
    assert tables.latency_labels(summary) == ["onnxruntime_batch8", "onnxruntime"]
    assert (tables.main_latency(summary) or "").startswith(tables.latency_labels(summary)[0] + ".")
