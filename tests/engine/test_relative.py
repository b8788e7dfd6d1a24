"""Objectives have no units: what is fast in milliseconds is as fast in seconds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.components.search import Constraint, History, Objective
from autodistill.engine.relative import (
    feasible_rows,
    hypervolume_of,
    reference_point,
    relative,
    relative_matrix,
    useful_reference,
)

QUALITY = Objective("quality", "classification.accuracy", "maximize")
LATENCY = Objective("latency", "ort.p50_ms", "minimize")
positive = st.floats(min_value=1e-3, max_value=1e3)
values = st.lists(st.tuples(st.floats(0.05, 1.0), positive), min_size=1, max_size=8)


def teacher(quality: float = 0.8, latency: float = 10.0, trivial: float = 0.1) -> dict[str, dict[str, float]]:
    return {
        "values": {"classification.accuracy": quality, "ort.p50_ms": latency},
        "trivial": {"classification.accuracy": trivial},
    }


def volume(rows: list[tuple[float, float]], unit: float = 1.0, scale: float = 1.0) -> float:
    own = teacher(0.8 * scale, 10.0 * unit, 0.1 * scale)
    point = reference_point((QUALITY, LATENCY), (), own)
    columns = np.array(rows)
    metrics = {"classification.accuracy": columns[:, 0] * scale, "ort.p50_ms": columns[:, 1] * unit}
    seen = History(architectures=(None,) * len(rows), metrics=metrics)  # type: ignore[arg-type]
    found = hypervolume_of(relative_matrix(seen, (QUALITY, LATENCY), own), point, (QUALITY, LATENCY), own)
    assert found is not None
    return found


@given(values, positive, positive)
def test_a_change_of_unit_changes_nothing(rows: list[tuple[float, float]], unit: float, scale: float) -> None:
    assert volume(rows, unit, scale) == pytest.approx(volume(rows), rel=1e-6, abs=1e-9)


@given(values, st.tuples(st.floats(0.05, 1.0), positive))
def test_another_trial_never_makes_the_hypervolume_smaller(
    rows: list[tuple[float, float]], more: tuple[float, float]
) -> None:
    assert volume([*rows, more]) >= volume(rows) - 1e-9


@given(positive, positive)
def test_the_teacher_itself_is_minus_one_in_quality_and_zero_in_latency(quality: float, latency: float) -> None:
    own = teacher(quality, latency)
    assert relative(np.array([quality]), QUALITY, own)[0] == pytest.approx(-1.0)
    assert relative(np.array([latency]), LATENCY, own)[0] == pytest.approx(0.0, abs=1e-12)


@given(st.floats(0.01, 1.0), st.floats(0.01, 1.0), positive, positive)
def test_better_is_smaller_in_both(low: float, high: float, fast: float, slow: float) -> None:
    low, high = sorted((low, high))
    fast, slow = sorted((fast, slow))
    quality = relative(np.array([low, high]), QUALITY, teacher())
    latency = relative(np.array([fast, slow]), LATENCY, teacher())
    assert quality[1] <= quality[0]
    assert latency[0] <= latency[1]


@given(st.floats(0.1, 10.0))
def test_a_ratio_is_compared_by_factors_whichever_direction_is_better(factor: float) -> None:
    own = {"values": {"ort.throughput": 100.0, "ort.p50_ms": 10.0}, "trivial": {}}
    throughput = Objective("throughput", "ort.throughput", "maximize")
    faster = relative(np.array([100.0 * factor]), throughput, own)
    assert faster == pytest.approx(relative(np.array([10.0 / factor]), LATENCY, own))


@pytest.mark.parametrize("own", [-2.0, 0.0, 0.4])
def test_better_is_smaller_whatever_the_sign_of_the_teachers_value(own: float) -> None:
    loss = Objective("loss", QUALITY.metric, "minimize")
    worse, better = relative(np.array([-5.0, -2.5]), QUALITY, teacher(own))
    assert better < worse
    if own <= 0:  # a positive one is compared by factors
        better, worse = relative(np.array([-5.0, -2.5]), loss, teacher(own))
        assert better < worse


def test_the_reference_point_is_the_trivial_quality_and_the_teachers_latency_or_a_stricter_bound() -> None:
    assert reference_point((QUALITY, LATENCY), (), teacher()) == {"quality": 0.1, "latency": 10.0}
    strict = Constraint("fast", "ort.p50_ms", "<=", 4.0)
    loose = Constraint("slow", "ort.p50_ms", "<=", 40.0)
    other = Constraint("small", "size.parameters", "<=", 1.0)
    assert reference_point((QUALITY, LATENCY), (strict, loose, other), teacher())["latency"] == 4.0
    assert reference_point((QUALITY, LATENCY), (loose,), teacher())["latency"] == 10.0


def test_an_unknown_teacher_gives_no_hypervolume_unless_a_bound_stands_in() -> None:
    nothing = {"values": {}, "trivial": {}}
    assert math.isnan(reference_point((LATENCY,), (), nothing)["latency"])
    bound = Constraint("fast", "ort.p50_ms", "<=", 4.0)
    assert reference_point((LATENCY,), (bound,), nothing)["latency"] == 4.0
    assert hypervolume_of(np.zeros((1, 1)), {"latency": math.nan}, (LATENCY,), nothing) is None


def test_rows_without_a_value_add_nothing() -> None:
    own = teacher()
    point = reference_point((QUALITY, LATENCY), (), own)
    matrix = np.array([[np.nan, -1.0], [-0.5, -1.0]])
    found = hypervolume_of(matrix, point, (QUALITY, LATENCY), own)
    assert found == hypervolume_of(matrix[1:], point, (QUALITY, LATENCY), own)
    assert hypervolume_of(matrix[:1], point, (QUALITY, LATENCY), own) == 0.0


def test_feasible_means_complete_and_every_constraint_known_to_hold() -> None:
    seen = History(
        architectures=(None,) * 4,  # type: ignore[arg-type]
        states=("complete", "complete", "stopped", "complete"),
        metrics={"ort.p50_ms": np.array([1.0, 5.0, 1.0, np.nan])},
    )
    assert feasible_rows(seen, ()) == [True, True, False, True]
    assert feasible_rows(seen, (Constraint("fast", "ort.p50_ms", "<=", 2.0),)) == [True, False, False, False]
    assert feasible_rows(seen, (Constraint("small", "size.parameters", ">=", 2.0),)) == [False] * 4


def test_the_search_counts_quality_from_half_way_to_the_teacher_and_latency_as_the_report_does() -> None:
    limit = Constraint("fast", "ort.p50_ms", "<=", 4.0)
    found = useful_reference((QUALITY, LATENCY), (limit,), teacher(quality=0.8, trivial=0.2))
    assert found == pytest.approx({"classification.accuracy": 0.5, "ort.p50_ms": 4.0})


def test_a_perfect_score_of_what_is_minimised_is_the_best() -> None:
    """A rate of errors is 0 on a small split: no logarithm may lose it."""
    error, size = Objective("error", "own.error", "minimize"), Objective("size", "size.parameters", "minimize")
    own = {"values": {"own.error": 0.05, "size.parameters": 40.0}, "trivial": {"own.error": 0.5}}
    metrics = {"own.error": np.array([0.2, 0.1, 0.0]), "size.parameters": np.array([10.0, 20.0, 5.0])}
    seen = History(architectures=(None,) * 3, metrics=metrics)  # type: ignore[arg-type]
    matrix = relative_matrix(seen, (error, size), own)
    assert (matrix[2] < matrix[:2]).all()
    assert np.isfinite(matrix).all()


def test_a_bound_that_asks_for_more_replaces_the_reference_in_both_directions() -> None:
    throughput = Objective("throughput", "ort.throughput", "maximize")
    own = {"values": {"ort.throughput": 50.0, "ort.p50_ms": 10.0}, "trivial": {}}
    bounds = [Constraint("a", "ort.throughput", ">=", 500.0), Constraint("b", "ort.p50_ms", "<=", 2.0)]
    assert reference_point((throughput, LATENCY), bounds, own) == {"throughput": 500.0, "latency": 2.0}
    loose = [Constraint("a", "ort.throughput", ">=", 5.0), Constraint("b", "ort.p50_ms", "<=", 20.0)]
    assert reference_point((throughput, LATENCY), loose, own) == {"throughput": 50.0, "latency": 10.0}


@pytest.mark.parametrize(("bound", "expected"), [(20.0, 20.0), (800.0, 505.0)])
def test_gains_in_quality_count_from_half_of_the_way_or_from_a_stricter_bound(bound: float, expected: float) -> None:
    perplexity = Objective("perplexity", "mlm.perplexity", "minimize")
    own = {"values": {"mlm.perplexity": 10.0}, "trivial": {"mlm.perplexity": 1000.0}}
    found = useful_reference((perplexity,), [Constraint("a", "mlm.perplexity", "<=", bound)], own)
    assert found == {"mlm.perplexity": expected}


@given(st.lists(positive, min_size=1, max_size=6), positive, st.sampled_from([0.0, math.nan]))
def test_a_rate_that_the_teacher_lacks_has_no_unit_either(rates: list[float], unit: float, own: float) -> None:
    """The teacher may not meet the limit at any rate; a bound is the reference point then."""
    rate = Objective("rate", "srv.throughput_at_p99", "maximize")
    least = min(rates) / 2

    def found(scale: float) -> float | None:
        told = {"values": {rate.metric: own * scale}, "trivial": {}}
        bound = Constraint("least", rate.metric, ">=", least * scale)
        column = np.array(rates) * scale
        seen = History(architectures=(None,) * len(rates), metrics={rate.metric: column})  # type: ignore[arg-type]
        point = reference_point((rate,), (bound,), told)
        return hypervolume_of(relative_matrix(seen, (rate,), told), point, (rate,), told)

    assert found(1.0) == pytest.approx(math.log(max(rates) / least))
    assert found(unit) == pytest.approx(found(1.0), rel=1e-6, abs=1e-9)
