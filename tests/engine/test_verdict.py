from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autodistill.components.latency import UNKNOWN_HALF_WIDTH
from autodistill.engine.verdict import Contender, Judge, no_slower, verdict
from autodistill.evaluators.scoring import mean, proportion


def contender(median: float, ratio: float | None = None, half_width: float | None = None) -> Contender:
    report: dict[str, Any] = {"median": median, "ratio_to_reference": ratio, "relative_half_width": half_width}
    return Contender("model", {}, {"cpu": report}, None)


def test_a_speed_up_is_how_many_times_faster_one_is_than_the_other() -> None:
    assert contender(2.0).times_faster(contender(6.0), "cpu") == pytest.approx(3.0)


def test_ratios_to_the_reference_win_over_medians_when_both_have_one() -> None:
    assert contender(2.0, ratio=0.5).times_faster(contender(6.0, ratio=1.0), "cpu") == pytest.approx(2.0)


def test_a_ratio_and_a_median_are_never_mixed() -> None:
    assert contender(2.0, ratio=0.5).times_faster(contender(6.0), "cpu") == pytest.approx(3.0)


def test_a_model_that_was_not_timed_has_no_speed_up() -> None:
    assert contender(2.0).times_faster(Contender("tfidf", {}, {}, None), "cpu") is None
    assert contender(2.0).times_faster(contender(6.0), None) is None


def test_a_baseline_is_slower_only_beyond_what_the_timings_are_sure_of() -> None:
    pick = contender(2.0, half_width=0.2)
    assert not no_slower(contender(2.6, half_width=0.02), pick, "cpu")
    assert no_slower(contender(2.6, half_width=0.3), pick, "cpu")
    assert no_slower(contender(1.9), pick, "cpu")
    assert no_slower(Contender("untimed", {}, {}, None), pick, "cpu")


def test_a_timing_that_tells_no_interval_is_no_exact_one() -> None:
    report = {"kind": "measured", "median": 2.1, "relative_half_width": None}
    unsure = Contender("slow", {}, {"cpu": report}, None)
    assert unsure.half_width("cpu") == UNKNOWN_HALF_WIDTH
    assert Contender("sheet", {}, {"cpu": {**report, "kind": "analytical"}}, None).half_width("cpu") == 0
    assert not no_slower(contender(2.1), contender(2.0), "cpu")
    assert no_slower(unsure, contender(2.0), "cpu")


def test_a_verdict_says_that_latency_and_quality_are_of_two_precisions() -> None:
    judge = Judge("x.accuracy", "maximize", 0.5, "cpu", "test")

    def rated(precision: str, right: int) -> Contender:
        scores = {"x.accuracy": proportion(np.arange(400) < right)}
        return Contender("model", scores, {"cpu": {"median": 2.0, "precision": precision}}, None)

    limits = verdict(judge, [rated("int8", 380)], [rated("int8", 300)], rated("int8", 390))["limits"]
    assert limits[-1].startswith("Latency is that of the int8 model, quality that of the fp32 model")
    assert len(verdict(judge, [rated("fp32", 380)], [rated("fp32", 300)], rated("fp32", 390))["limits"]) == 1


def test_nothing_is_kept_of_a_metric_to_minimise() -> None:
    judge = Judge("x.perplexity", "minimize", 20.0, None, "test")

    def rated(name: str, centre: float) -> Contender:
        return Contender(name, {"x.perplexity": mean(centre + np.linspace(-1, 1, 400))}, {}, None)

    pick, teacher = rated("pick 3", 12.0), rated("teacher", 8.0)
    assert judge.kept(pick, teacher) is None
    found = verdict(judge, [pick], [rated("small", 16.0)], teacher)
    assert found["claim"].startswith("pick 3 has x.perplexity 12.0000 (the teacher 8.0000); it beats the strongest")
    assert found["holds"] is True
