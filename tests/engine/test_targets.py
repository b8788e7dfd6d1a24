"""One set of trials, one Pareto set per target."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_studies import LAYERS, WIDTHS, architecture, tiny_study

import autodistill
from autodistill.components.search import Constraint, History, Objective
from autodistill.engine.targets import pareto_sets, target_objectives
from autodistill.registry import default_registry

QUALITY = Objective("quality", "classification.accuracy", "maximize")
FP32 = Objective("latency", "fp32.p50_ms", "minimize")
INT8 = Objective("int8", "int8.p50_ms", "minimize")
SIZE = Objective("size", "size.parameters", "minimize")
TEACHER = {
    "values": {QUALITY.metric: 0.9, "fp32.p50_ms": 10.0, "int8.p50_ms": 5.0, "int8.p90_ms": 6.0},
    "trivial": {QUALITY.metric: 0.5},
}
TARGETS = ["fp32", "int8"]

#: What both targets' reports hold.
TOLD = {f"{target}.{name}" for target in TARGETS for name in ("p50_ms", "p90_ms", "throughput")}


def history(rows: list[tuple[float, float, float]]) -> History:
    values = np.array(rows, dtype=np.float64).reshape(-1, 3)
    return History(
        architectures=tuple(architecture(1, 16 + index) for index in range(len(rows))),
        replicates=(0,) * len(rows),
        states=("complete",) * len(rows),
        in_space=(True,) * len(rows),
        metrics={QUALITY.metric: values[:, 0], "fp32.p50_ms": values[:, 1], "int8.p50_ms": values[:, 2]},
        told=tuple(range(len(rows))),
        notes=(None,) * len(rows),
    )


SEEN = history([(0.8, 4.0, 3.0), (0.7, 2.0, 4.0), (0.6, 3.0, 1.0), (0.5, 9.0, 4.5)])


def test_each_target_has_the_front_of_its_own_latency() -> None:
    found = pareto_sets(SEEN, (QUALITY, FP32), (), TEACHER, TARGETS)
    assert found["fp32"].rows == (0, 1)
    assert found["int8"].rows == (0, 2)
    assert (found["fp32"].is_objective, found["int8"].is_objective) == (True, False)
    assert found["int8"].reference == {"quality": 0.5, "int8": 5.0}
    corner = np.array([-0.5 / 0.9, 0.0])  # guessing, and the teacher's latency
    widths = np.log(np.array([5.0 / 3.0, 3.0])), np.array([0.3, 0.1]) / 0.9
    expected = widths[0][0] * widths[1][0] + (widths[0][1]) * widths[1][1]
    assert corner[0] < 0
    assert found["int8"].hypervolume == pytest.approx(expected)


def test_constraints_hold_for_every_target() -> None:
    bound = (Constraint("fast", "int8.p50_ms", "<=", 2.0),)
    found = pareto_sets(SEEN, (QUALITY, FP32), bound, TEACHER, TARGETS)
    assert found["fp32"].rows == found["int8"].rows == (2,)
    assert found["int8"].reference["int8"] == 2.0


def test_a_target_that_does_not_tell_the_objectives_metric_has_its_front_by_the_median() -> None:
    tail = Objective("latency", "fp32.p99_ms", "minimize")
    seen = replace(SEEN, metrics={**SEEN.metrics, "fp32.p99_ms": SEEN.metrics["fp32.p50_ms"] * 2})
    teacher = {**TEACHER, "values": {**TEACHER["values"], "fp32.p99_ms": 20.0}}
    found = pareto_sets(seen, (QUALITY, tail), (), teacher, TARGETS)
    assert found["fp32"].objectives[-1] == tail
    assert found["int8"].objectives[-1].metric == "int8.p50_ms"
    assert found["int8"].rows == (0, 2)
    assert found["int8"].hypervolume


def test_a_target_of_which_only_some_trials_tell_the_objectives_metric_has_its_front_by_the_median() -> None:
    tail = Objective("latency", "fp32.p99_ms", "minimize")
    fast = np.array([9.0, np.nan, np.nan, np.nan])  # the others made too few requests in their time
    seen = replace(SEEN, metrics={**SEEN.metrics, "fp32.p99_ms": SEEN.metrics["fp32.p50_ms"], "int8.p99_ms": fast})
    values = {**TEACHER["values"], "fp32.p99_ms": 20.0, "int8.p99_ms": 20.0}
    found = pareto_sets(seen, (QUALITY, tail), (), {**TEACHER, "values": values}, TARGETS)
    assert found["int8"].objectives[-1].metric == "int8.p50_ms"
    assert found["int8"].rows == (0, 2)


def test_a_target_without_timings_has_an_empty_set() -> None:
    found = pareto_sets(SEEN, (QUALITY, FP32), (), TEACHER, ["fp32", "tpu"])
    assert found["tpu"].rows == ()
    assert found["tpu"].hypervolume is None


def test_before_the_teacher_is_known_there_are_fronts_but_no_volumes() -> None:
    found = pareto_sets(SEEN, (QUALITY, FP32), (), {"values": {}, "trivial": {}}, TARGETS)
    assert found["int8"].rows == (0, 2)
    assert found["int8"].hypervolume is None


def test_objectives_of_a_target_keep_what_is_no_latency_in_place() -> None:
    assert target_objectives((QUALITY, FP32, SIZE), "fp32", TARGETS, TOLD) == (QUALITY, FP32, SIZE)
    assert target_objectives((QUALITY, FP32, INT8), "int8", TARGETS, TOLD) == (QUALITY, INT8)
    assert [item.metric for item in target_objectives((QUALITY, FP32, SIZE), "int8", TARGETS, TOLD)] == [
        QUALITY.metric,
        "int8.p50_ms",
        SIZE.metric,
    ]
    assert target_objectives((QUALITY,), "int8", TARGETS, TOLD)[-1].metric == "int8.p50_ms"


def test_a_target_is_judged_by_the_metric_of_the_latency_objective() -> None:
    tail = Objective("latency", "fp32.p90_ms", "minimize")
    rate = Objective("rate", "fp32.throughput", "maximize")
    assert target_objectives((QUALITY, tail), "int8", TARGETS, TOLD)[-1] == Objective("int8", "int8.p90_ms", "minimize")
    assert target_objectives((QUALITY, rate), "int8", TARGETS, TOLD)[-1] == Objective(
        "int8", "int8.throughput", "maximize"
    )


values = st.integers(1, 6).map(float)


@given(st.lists(st.tuples(values, values, values), min_size=1, max_size=12))
def test_a_targets_set_is_the_front_of_quality_and_its_own_latency(rows: list[tuple[float, float, float]]) -> None:
    seen = history(rows)
    all_three = pareto_sets(seen, (QUALITY, FP32, INT8), (), TEACHER, TARGETS)
    points = np.array([(-quality, fp32, int8) for quality, fp32, int8 in rows])
    for target, column in (("fp32", 1), ("int8", 2)):
        assert all_three[target].rows
        for row in all_three[target].rows:
            own = points[:, [0, column]]
            beaten = (own <= own[row]).all(axis=1) & (own < own[row]).any(axis=1)
            assert not beaten.any()


def test_a_study_of_two_targets_picks_for_both_and_reports_a_third(tmp_path: Path) -> None:
    """Accuracy and two latencies are three objectives; the third target is only timed."""
    int8, batch = tmp_path / "int8.json", tmp_path / "batch.json"
    for path, slope in ((int8, -1.0), (batch, 1.0)):  # int8 prefers what fp32 finds slow
        measured = [
            {
                "architecture": {"family": "bert", "choices": dict(architecture(layers, width).choices)},
                "report": {"median": 4.0 + slope * (layers + width / 64.0)},
            }
            for layers in LAYERS
            for width in WIDTHS
        ]
        content = {"measurements": measured, "named": {"teacher": {"median": 8.0}}, "default": {"median": 5.0}}
        path.write_text(json.dumps({**content, "workload": {"batch_size": 1, "lengths": [6, 10]}}))
    overrides = tiny_study(
        tmp_path,
        "budget.trials=4",
        "picks.max=2",
        f"+latency.int8={{name: replay, path: {int8}}}",
        f"+latency.batch={{name: replay, path: {batch}}}",
        "+objectives.int8.metric=int8.p50_ms",
    )
    registry = default_registry()
    study = autodistill.run(autodistill.compose(overrides, registry), overrides=overrides, registry=registry)
    summary = json.loads((study.directory / "summary.json").read_text())
    sets = summary["pareto_sets"]
    assert list(sets) == ["replay", "int8", "batch"]
    assert [sets[label]["is_objective"] for label in sets] == [True, True, False]
    fastest = {
        label: min(
            (row for row in summary["history"] if row["state"] == "complete" and row["origin"] == "search"),
            key=lambda row: row["latencies"][label]["median"],
        )["trial"]
        for label in sets
    }
    assert fastest["int8"] != fastest["replay"]
    for label, found in sets.items():
        assert fastest[label] in found["trials"]
        assert set(found["trials"]) <= set(summary["pareto"]) or label == "batch"
        assert found["hypervolume"] > 0
        finals = {row["trial"] for group in ("picks", "baselines") for row in summary[group]}
        assert set(found["final"]) <= finals
        assert found["final"]
    assert summary["final_pareto"]
    assert len(summary["picks"]) == 2
