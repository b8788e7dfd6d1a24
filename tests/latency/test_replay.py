from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodistill.components.architecture import Architecture
from autodistill.components.latency import UNKNOWN_HALF_WIDTH, LatencyContext, LatencyReport, LatencySubject
from autodistill.errors import ConfigError, LatencyError
from autodistill.latency.configs import ReplayConfig
from autodistill.latency.replay import ReplayLatency, record

ONE = Architecture("bert", {"layers": 1})
TWO = Architecture("bert", {"layers": 2})
THREE = Architecture("bert", {"layers": 3})


def report(median: float, **changes: Any) -> LatencyReport:
    workload = {"batch_size": 4, "lengths": [16, 32], "precision": "fp32", "threads": 2, "device": "cpu"}
    return LatencyReport("onnxruntime", "measured", "fp32", workload, median, "Some CPU", **changes)


def backend(context: LatencyContext, tmp_path: Path, content: Any) -> ReplayLatency:
    (tmp_path / "replay.json").write_text(json.dumps(content))
    return ReplayLatency(context, path=str(tmp_path / "replay.json"))


def subject(architecture: Architecture | None, name: str = "trial 3") -> LatencySubject:
    return LatencySubject(name, architecture, None)


def test_recorded_measurements_come_back_as_replayed(context: LatencyContext, tmp_path: Path) -> None:
    reports = {ONE: report(1.5, p90=2.0, ratio_to_reference=0.2), TWO: report(2.5, p90=3.0)}
    record(reports, tmp_path / "replay.json", named={"teacher": report(9.0)})
    made = ReplayLatency(context, path=str(tmp_path / "replay.json"))
    answer = made.measure(subject(ONE))
    assert answer.kind == "replayed"
    assert {**answer.as_dict(), "kind": "measured"} == reports[ONE].as_dict()
    assert made.measure(subject(None, "teacher")).median == 9.0
    assert made.workload.as_dict() == reports[ONE].workload


def test_short_form_maps_digests_to_medians(context: LatencyContext, tmp_path: Path) -> None:
    made = backend(context, tmp_path, {ONE.digest: 1.5})
    assert made.measure(subject(ONE)).median == 1.5
    assert made.workload.lengths == context.lengths


def test_architectures_may_be_given_as_canonical_strings(context: LatencyContext, tmp_path: Path) -> None:
    content = {"measurements": [{"architecture": ONE.canonical, "report": {"median": 1.5}}]}
    assert backend(context, tmp_path, content).measure(subject(ONE)).median == 1.5


def test_missing_architecture_is_an_error_that_names_it(context: LatencyContext, tmp_path: Path) -> None:
    with pytest.raises(LatencyError, match=rf"no measurement of trial 3, bert\(layers=3\) \(digest {THREE.digest}\)"):
        backend(context, tmp_path, {ONE.digest: 1.5}).measure(subject(THREE))


def test_default_answers_for_what_is_not_listed(context: LatencyContext, tmp_path: Path) -> None:
    made = backend(context, tmp_path, {"default": {"median": 4.0}, "named": {"teacher": {"median": 9.0}}})
    assert made.measure(subject(THREE)).median == 4.0
    assert made.measure(subject(THREE, "teacher")).median == 9.0
    estimate = made.estimate([ONE, TWO])
    assert estimate is not None
    assert estimate["p50_ms"][0].tolist() == [4.0, 4.0]


def test_estimate_has_the_metrics_that_all_have_with_the_variance_of_the_median(
    context: LatencyContext, tmp_path: Path
) -> None:
    record({ONE: report(1.0, relative_half_width=0.1, p90=2.0), TWO: report(2.0)}, tmp_path / "replay.json")
    estimate = ReplayLatency(context, path=str(tmp_path / "replay.json")).estimate([TWO, ONE])
    assert estimate is not None
    assert set(estimate) == {"p50_ms"}
    values, variances = estimate["p50_ms"]
    assert values.tolist() == [2.0, 1.0]
    assert variances == pytest.approx([0.0, (0.1 / 1.96) ** 2], rel=1e-3)


def test_what_is_estimated_does_not_depend_on_who_is_asked_about(context: LatencyContext, tmp_path: Path) -> None:
    record({ONE: report(1.0, p90=2.0), TWO: report(2.0, p90=3.0)}, tmp_path / "replay.json")
    full = ReplayLatency(context, path=str(tmp_path / "replay.json"))
    partial = backend(
        context,
        tmp_path,
        {
            "measurements": [
                {"architecture": ONE.canonical, "report": {"median": 1.0, "p90": 2.0}},
                {"architecture": TWO.canonical, "report": {"median": 2.0}},
            ]
        },
    )
    for asked in ([ONE], [TWO], [THREE], [THREE, ONE]):
        assert set(full.estimate(asked) or {}) == {"p50_ms", "p90_ms"}
        assert set(partial.estimate(asked) or {}) == {"p50_ms"}


def test_recorded_timing_without_an_interval_is_not_exact_and_a_bare_number_is(
    context: LatencyContext, tmp_path: Path
) -> None:
    record({ONE: report(1.0, n=1), TWO: report(2.0)}, tmp_path / "replay.json")
    estimate = ReplayLatency(context, path=str(tmp_path / "replay.json")).estimate([ONE, TWO])
    assert estimate is not None
    assert estimate["p50_ms"][1] == pytest.approx([(UNKNOWN_HALF_WIDTH / 1.96) ** 2, 0.0], rel=1e-3)


def test_an_unlisted_architecture_is_not_known_and_does_not_hide_the_others(
    context: LatencyContext, tmp_path: Path
) -> None:
    estimate = backend(context, tmp_path, {ONE.digest: 1.5}).estimate([ONE, THREE])
    assert estimate is not None
    values, variances = estimate["p50_ms"]
    assert values.tolist() == pytest.approx([1.5, math.nan], nan_ok=True)
    assert np.isnan(variances[1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "must hold a JSON object"),
        ({"measurements": [], "nmaed": {}}, r"unknown keys \['nmaed'\]"),
        ({"measurements": [{"architecture": ONE.canonical}]}, "has exactly 'architecture' and 'report'"),
        ({"default": {"median": -1}}, "report of default must have a 'median' > 0"),
        ({"named": {"teacher": {"median": 1, "p50": 2}}}, "report of teacher must have"),
        ({"workload": {"batch": 1}, "default": 1.0}, r"replay\.json: its 'workload' cannot be read .*batch"),
        ({"workload": {"load": {"rate": 1}}, "default": 1.0}, "its 'workload' cannot be read"),
        ({"workload": {"lengths": 16}, "default": 1.0}, "its 'workload' cannot be read"),
        ({"workload": {"lengths": "16"}, "default": 1.0}, "its 'workload' cannot be read .*whole numbers"),
        ({"measurements": 3}, "measurements must be a list, got 3"),
        ({"measurements": [{"architecture": {"family": "bert"}, "report": 1.0}]}, "the architecture .* cannot be read"),
        ({"measurements": [{"architecture": "bert", "report": 1.0}]}, "the architecture 'bert' cannot be read"),
        ({"named": [1.0]}, "'named', from names to reports, cannot be read"),
        ({"named": {"teacher": "9 ms"}}, "the report of teacher cannot be read"),
        ({"default": None}, "the report of default cannot be read"),
        ({ONE.digest: "fast"}, f"the report of architecture {ONE.digest} cannot be read"),
        ({"default": {"median": 1.0, "p90": "x"}}, "p90 of the report of default must be a number, got 'x'"),
    ],
)
def test_malformed_file_is_refused(context: LatencyContext, tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        backend(context, tmp_path, content)


def test_missing_file_is_refused_with_its_path(context: LatencyContext) -> None:
    with pytest.raises(ConfigError, match=r"must be a JSON file of measurements, got 'nowhere\.json'"):
        ReplayLatency(context, path="nowhere.json")


def test_path_must_be_given() -> None:
    with pytest.raises(ConfigError, match=r"latency\.replay\.path must be the path of a file"):
        ReplayConfig()
