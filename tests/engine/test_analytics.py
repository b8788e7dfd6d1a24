from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.components.architecture import Architecture
from autodistill.components.search import Constraint, History, Objective
from autodistill.engine.analytics import encode_choices, hypervolume_regret, study_analytics
from autodistill.engine.picks import averaged
from autodistill.engine.prediction import MAX_FOLDS, MAX_TRIALS
from autodistill.engine.records import RunKind, RunRecord, TrialRecord
from autodistill.engine.relative import hypervolume_of, reference_point, relative_matrix
from autodistill.engine.space import build_space
from autodistill.engine.summary import without_nan
from autodistill.pareto import hypervolume
from autodistill.search.candidates import Candidates
from autodistill.search.prediction import SurrogatePrediction, material
from autodistill.search.surrogates import FeatureMap
from autodistill.testing.search import toy_context, toy_metrics, toy_space

QUALITY = Objective("quality", "classification.accuracy", "maximize")
LATENCY = Objective("latency", "onnxruntime.p50_ms", "minimize")
TEACHER = {"values": {QUALITY.metric: 0.9, LATENCY.metric: 12.0}, "trivial": {QUALITY.metric: 0.5}}


coordinates = st.integers(0, 8).map(float)


@given(st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=10))
def test_regret_falls_to_zero_when_the_front_has_been_found(rows: list[tuple[float, float]]) -> None:
    points, corner = np.array(rows), np.array([7.0, 7.0])
    regret = hypervolume_regret(points, points, corner)
    assert regret[-1] == pytest.approx(0.0, abs=1e-9)
    assert (np.diff(regret) <= 0).all()
    whole = hypervolume(points, corner)
    assert hypervolume_regret(points[:1], points, corner)[0] == pytest.approx(
        whole - hypervolume(points[:1], corner), abs=1e-9
    )


def test_choices_become_ranks_and_what_does_not_vary_is_left_out() -> None:
    features, names = encode_choices(
        [
            {"layers": 2, "kind": "relu", "fixed": 7},
            {"layers": 12, "kind": "gelu", "fixed": 7, "ratio": 0.5},
            {"layers": 4, "kind": "gelu", "fixed": 7, "ratio": 0.25},
        ]
    )
    assert names == ["layers", "kind", "ratio"]
    assert features.tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.5, 0.0, 0.5]]


def test_numbers_keep_their_order_where_some_architectures_lack_the_parameter() -> None:
    features, _ = encode_choices([{"a": 1, "width": 16}, {"a": 1, "width": 2}, {"a": 1}, {"a": 1, "width": 4}])
    assert features[:, 0].tolist() == [1.0, 1 / 3, 0.0, 2 / 3]


def test_no_architectures_have_no_features() -> None:
    features, names = encode_choices([])
    assert names == []
    assert features.shape == (0, 0)


def study(
    n: int, states: dict[int, str] | None = None
) -> tuple[History, list[TrialRecord], dict[tuple[int, RunKind], RunRecord]]:
    drawn = list(dict.fromkeys(toy_space().sample(3 * n + 3, 0)))[:n]
    given_states = [(states or {}).get(row, "complete") for row in range(n)]
    scores = [toy_metrics(item) for item in drawn]
    quality = [
        values[QUALITY.metric] if state == "complete" else np.nan
        for values, state in zip(scores, given_states, strict=True)
    ]
    history = History(
        architectures=tuple(drawn),
        replicates=(0,) * n,
        states=tuple(given_states),
        in_space=(True,) * n,
        metrics={
            QUALITY.metric: np.array(quality, dtype=np.float64),
            LATENCY.metric: np.array([values[LATENCY.metric] for values in scores], dtype=np.float64),
        },
        variances={QUALITY.metric: np.full(n, 1e-6)},
        told=tuple(range(n)),
        notes=(None,) * n,
    )
    trials = [record(row, item, state) for row, (item, state) in enumerate(zip(drawn, given_states, strict=True))]
    runs: dict[tuple[int, RunKind], RunRecord] = {
        (row, "flash"): run(row, given_states[row]) for row in range(n) if given_states[row] != "infeasible"
    }
    return history, trials, runs


def record(number: int, item: Architecture, state: Any) -> TrialRecord:
    return TrialRecord(number, 1, item, 0, "search", None, True, state, None, number, number, 1)


def run(number: int, state: Any) -> RunRecord:
    cost = {"device_seconds": 2.0, "examples": 100.0}
    return RunRecord(number, "flash", state, 1, "", "", 0.0, metrics={QUALITY.metric: {"value": 0.5}}, cost=cost)


def analytics(n: int, states: dict[int, str] | None = None, *constraints: Constraint) -> dict[str, Any]:
    content = study_analytics(*study(n, states), (QUALITY, LATENCY), constraints, TEACHER, space=toy_space())
    json.dumps(without_nan(content), allow_nan=False)
    return content


def test_progress_has_a_row_per_flash_run_and_grows_with_complete_ones_only() -> None:
    found = analytics(6, {1: "infeasible", 2: "stopped", 3: "failed"})["hypervolume"]
    assert found["trial"] == [0, 2, 3, 4, 5]
    assert found["device_seconds"] == [2.0, 4.0, 6.0, 8.0, 10.0]
    assert found["examples"][-1] == 500.0
    assert found["value"][0] == found["value"][1] == found["value"][2] > 0
    assert found["value"] == sorted(found["value"])


def test_progress_counts_the_mean_of_the_replicates_told_by_then() -> None:
    history, trials, runs = study(4)
    first = history.architectures[0]
    lucky = history.metrics[QUALITY.metric].copy()
    lucky[[0, 2]] = 0.99, 0.55  # the third trial is another replicate of the first
    again = replace(
        history,
        architectures=(first, history.architectures[1], first, history.architectures[3]),
        replicates=(0, 0, 1, 0),
        metrics={
            QUALITY.metric: lucky,
            LATENCY.metric: history.metrics[LATENCY.metric][[0, 1, 0, 3]],
        },
    )

    def last(upto: int) -> float:
        """By the definition: the hypervolume of the means of what was told."""
        seen = averaged(again.take(range(upto)))
        point = reference_point((QUALITY, LATENCY), (), TEACHER)
        matrix = relative_matrix(seen, (QUALITY, LATENCY), TEACHER)
        volume = hypervolume_of(matrix, point, (QUALITY, LATENCY), TEACHER)
        assert volume is not None
        return volume

    found = study_analytics(again, trials, runs, (QUALITY, LATENCY), (), TEACHER)["hypervolume"]["value"]
    assert found == pytest.approx([last(1), last(2), last(3), last(4)])
    assert found[2] < found[1]  # the luck is found out


def test_trials_that_break_a_bound_add_no_volume() -> None:
    found = analytics(4, None, Constraint("fast", LATENCY.metric, "<=", 1e-3))["hypervolume"]
    assert found["value"] == [0.0] * 4


def test_few_trials_have_progress_and_reasons() -> None:
    found = analytics(5)
    assert [entry["metric"] for entry in found["importance"]] == [QUALITY.metric, LATENCY.metric]
    for entry in [*found["importance"], found["prediction"]]:
        assert entry["reason"] == "5 architectures are too few; 10 are needed."


def test_a_study_that_was_just_made_has_nothing() -> None:
    found = study_analytics(History(), [], {}, (QUALITY, LATENCY), (), {"values": {}, "trivial": {}})
    assert found["hypervolume"] is None
    assert found["prediction"] is None
    assert all(entry["parameters"] == [] for entry in found["importance"])


def test_many_trials_are_explained_and_predicted() -> None:
    found = analytics(40, {0: "stopped"})
    quality, latency = found["importance"]
    assert (quality["n"], latency["n"]) == (39, 40)  # a stopped trial was timed, but has no score
    assert quality["parameters"][0]["name"] in ("num_layers", "hidden_size")
    assert latency["parameters"][0]["name"] == "num_layers"
    assert sum(entry["share"] for entry in latency["parameters"]) <= 1.2
    prediction = found["prediction"]
    assert prediction["metric"] == QUALITY.metric
    assert prediction["spearman"] > 0.8
    assert prediction["coverage"] > 0.7
    assert len(prediction["points"]) == prediction["n"] == 39


def test_what_is_a_ratio_is_decided_by_the_metric_and_not_by_its_direction() -> None:
    history, trials, _ = study(40)
    latency = history.metrics[LATENCY.metric]
    metrics = {**history.metrics, "onnxruntime.throughput": 1.0 / latency, "mlm.perplexity": 1.0 + latency}
    objectives = [
        LATENCY,
        Objective("throughput", "onnxruntime.throughput", "maximize"),
        Objective("perplexity", "mlm.perplexity", "minimize"),
        Objective("opposite", "mlm.perplexity", "maximize"),
    ]
    seen = replace(history, metrics=metrics)
    found = study_analytics(seen, trials, {}, objectives, (), TEACHER)["importance"]
    shares = [{item["name"]: item["share"] for item in entry["parameters"]} for entry in found]
    assert shares[0] == pytest.approx(shares[1], abs=0.02)  # a forest splits the other way round
    assert shares[2] == shares[3]


def test_derived_values_explain_nothing_of_their_own() -> None:
    history, trials, runs = study(40)
    derived = {"twice": "num_layers", "more": "num_layers"}
    told = [{name: 2 * item.choices[of] for name, of in derived.items()} for item in history.architectures]  # type: ignore[operator]
    seen = replace(
        history,
        architectures=tuple(
            Architecture(item.family, {**item.choices, **more})
            for item, more in zip(history.architectures, told, strict=True)
        ),
    )
    plain = study_analytics(history, trials, runs, (QUALITY, LATENCY), (), TEACHER, space=toy_space())
    found = study_analytics(
        seen, trials, runs, (QUALITY, LATENCY), (), TEACHER, derived=["more", "twice"], space=toy_space()
    )
    assert found["importance"] == plain["importance"]
    assert found["prediction"] == plain["prediction"]


def test_another_model_can_be_judged() -> None:
    def flat(train_x: Any, train_y: Any, noise: Any, test_x: Any) -> tuple[Any, Any]:
        return np.full(len(test_x), 0.25), np.ones(len(test_x))

    many = study_analytics(*study(150), (QUALITY, LATENCY), (), TEACHER, flat, space=toy_space())["prediction"]
    assert (many["n"], many["scored"], many["folds"]) == (MAX_TRIALS, 150, MAX_FOLDS)
    found = study_analytics(*study(12), (QUALITY, LATENCY), (), TEACHER, flat, space=toy_space())["prediction"]
    assert (found["n"], found["scored"], found["folds"]) == (12, 12, 12)
    scores = study(12)[0].metrics[QUALITY.metric]
    assert [point["observed"] for point in found["points"]] == pytest.approx(scores)
    for point in found["points"]:  # 0.25 standard deviations above the mean, in the metric's unit
        assert point["predicted"] == pytest.approx(scores.mean() + 0.25 * scores.std())
    assert found["spearman"] is None


@pytest.mark.parametrize(
    ("activation", "categories"),
    [(["relu", "gelu", "silu"], ()), ({"type": "categorical", "values": [1, 2, 4]}, (3,))],
)
def test_the_model_that_is_judged_has_the_features_of_the_strategy(
    activation: Any, categories: tuple[int, ...]
) -> None:
    space = build_space("toy", {"num_layers": [1, 2, 4], "activation": activation, "hidden_size": [96, 192]}, {})
    drawn = list(space.enumerate())
    history = replace(study(18)[0], architectures=tuple(drawn))
    history.metrics["size.parameters"] = 1.0 + np.arange(18.0)  # type: ignore[index]
    found = {sizes: material(space, history, range(18), QUALITY, sizes) for sizes in (True, False)}
    for sizes, seen in found.items():
        assert seen is not None
        assert seen.model == SurrogatePrediction(int(sizes), categories)
        context = toy_context(space=space)
        pool = Candidates(context).describe(drawn)
        expected = FeatureMap(space, (pool,), sizes=sizes).layout
        assert seen.features.shape[1] - sizes == expected.width - expected.linear


def test_a_run_that_diverged_is_at_the_fence_for_the_model_that_is_judged() -> None:
    history, trials, runs = study(40)
    history.metrics[QUALITY.metric][5] = -50.0
    found = study_analytics(history, trials, runs, (QUALITY, LATENCY), (), TEACHER, space=toy_space())["prediction"]
    assert found["spearman"] > 0.8
    assert found["points"][5]["observed"] == -50.0


def test_without_its_space_a_study_has_no_prediction_but_a_reason() -> None:
    found = study_analytics(*study(12), (QUALITY, LATENCY), (), TEACHER)["prediction"]
    assert found["reason"] == "The search space of the study cannot be built any more."
