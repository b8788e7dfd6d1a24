"""The summary of a study that is still young: it satisfies the schema at every moment."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import jsonschema
import numpy as np
import pytest
from tiny_studies import architecture

from autodistill.engine.records import StudyRecord
from autodistill.engine.storage import Storage
from autodistill.engine.summary import SummaryBuilder, without_nan
from autodistill.report import tables

ACCURACY = "classification.accuracy"
IDENTITY = {
    "task": {"kind": "classification", "labels": ["a", "b"], "metric": ACCURACY},
    "objectives": {"quality": [ACCURACY, "maximize"], "latency": ["replay.p50_ms", "minimize"]},
    "constraints": {"fast": ["replay.p50_ms", "<=", 4.0]},
}


def report(median: float, precision: str = "fp32") -> dict[str, Any]:
    given = {"backend": "replay", "kind": "replayed", "precision": precision, "workload": {}, "device": "replayed"}
    return {**given, "unit": "ms", "median": median, "threads": 1}


def teacher_step() -> dict[str, Any]:
    return {
        "name": "mini",
        "parameters": 1000,
        "metrics": {ACCURACY: {"value": 0.9, "variance": 0.001, "split": "select"}},
        "latencies": {"replay": report(9.0)},
        "values": {ACCURACY: 0.9, "replay.p50_ms": 9.0},
        "trivial": {ACCURACY: 0.5},
        "alarms": [],
    }


#: Width -> accuracy and median latency of trials, of which the first alone was trained to the end.
TOLD = {16: (0.8, 2.0), 32: (None, 2.0), 48: (None, 2.0), 64: (None, 2.0)}


@pytest.fixture
def storage(open_storage: Callable[..., Storage]) -> Storage:
    return open_storage()


@pytest.fixture
def study(storage: Storage) -> StudyRecord:
    return storage.create_study("young", IDENTITY, {"export": {}}, {}, {})


def add(
    storage: Storage, study: StudyRecord, width: int, accuracy: float | None, median: float, replicate: int = 0
) -> int:
    trial = storage.add_trial(
        study.id,
        architecture(1, width),
        replicate=replicate,
        origin="search",
        label=None,
        in_space=True,
        note=None,
        seed=1,
    )
    storage.update_trial(study.id, trial.number, known={"size.parameters": 10.0}, latencies={"replay": report(median)})
    if accuracy is not None:
        storage.update_trial(study.id, trial.number, began_training=True)
        run = storage.lease_run(study.id, trial.number, "flash", "me", 60.0)
        assert run is not None
        ends = {"low": accuracy - 0.07, "high": accuracy + 0.05}
        metrics = {ACCURACY: {"value": accuracy, "variance": 0.001, **ends, "n": 60, "split": "select"}}
        assert storage.finish_run(
            run, state="complete", metrics=metrics, seconds={"train": 1.0}, trial_state="complete"
        )
    return trial.number


def build(storage: Storage, study: StudyRecord) -> dict[str, Any]:
    """The summary, checked against the schema."""
    summary = SummaryBuilder(storage, study).build()
    schema = json.loads(files("autodistill.testing").joinpath("summary.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(json.loads(json.dumps(summary, allow_nan=False)))
    return summary


def test_a_study_that_was_just_made_claims_nothing(storage: Storage, study: StudyRecord) -> None:
    summary = build(storage, study)
    assert summary["task"]["kind"] == "classification"
    assert summary["hypervolume"] is None
    assert summary["hypervolume_curve"] == summary["pareto"] == summary["picks"] == []
    assert "nothing is claimed" in summary["verdict"]["claim"]
    assert summary["verdict"]["holds"] is None


def test_a_search_under_way_has_a_front_and_a_hypervolume(storage: Storage, study: StudyRecord) -> None:
    storage.set_step(study.id, "teacher", teacher_step())
    best = add(storage, study, 16, 0.8, 2.0)
    add(storage, study, 32, 0.7, 3.0)  # dominated
    slow = add(storage, study, 64, 0.9, 5.0)  # violates the constraint
    add(storage, study, 48, None, 2.5)  # not trained yet
    summary = build(storage, study)
    assert summary["pareto"] == [best]
    assert summary["trials"]["complete"] == 3
    assert summary["trials"]["pending"] == 1
    assert summary["hypervolume_reference"] == {"quality": 0.5, "latency": 4.0}
    expected = (0.8 - 0.5) / 0.9 * math.log(4.0 / 2.0)
    assert summary["hypervolume"] == pytest.approx(expected)
    assert summary["hypervolume_curve"] == pytest.approx([expected, expected])
    assert slow not in summary["pareto"]


def test_the_curve_has_a_point_for_every_result_that_the_search_was_told(storage: Storage, study: StudyRecord) -> None:
    storage.set_step(study.id, "teacher", teacher_step())
    add(storage, study, 16, 0.8, 2.0)
    for origin in ("baseline", "manual"):
        given: dict[str, Any] = {"label": None, "in_space": True, "note": None, "seed": 1, "replicate": 0}
        trial = storage.add_trial(study.id, architecture(2, 16), origin=origin, **given)
        storage.update_trial(study.id, trial.number, state="complete", latencies={"replay": report(3.0)})
    assert len(build(storage, study)["hypervolume_curve"]) == 1


def test_what_stopped_trials_cost_is_one_look_at_the_storage(
    storage: Storage, study: StudyRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    real = Storage.step
    monkeypatch.setattr(Storage, "step", lambda self, key, name: (seen.append(name), real(self, key, name))[1])
    looks = []
    for width in (16, 32, 64):
        number = add(storage, study, width, None, 2.0)
        storage.update_trial(study.id, number, state="stopped")
        storage.set_step(study.id, f"stopped:{number}", {"rung": 0, "share": 0.25, "reason": f"hopeless {width}"})
        seen.clear()
        rows = build(storage, study)["history"]
        looks.append(len(seen))
    assert [(row["error"], row["stopped_at"]) for row in rows] == [(f"hopeless {w}", 0.25) for w in (16, 32, 64)]
    assert len(set(looks)) == 1


def test_the_curve_of_three_objectives_ends_at_the_hypervolume(storage: Storage) -> None:
    three = {**IDENTITY["objectives"], "size": ["size.parameters", "minimize"]}
    study = storage.create_study("three", {**IDENTITY, "objectives": three, "constraints": {}}, {"export": {}}, {}, {})
    teacher = teacher_step()
    teacher["values"] |= {"size.parameters": 100.0}
    storage.set_step(study.id, "teacher", teacher)
    curves = []
    for width, (accuracy, median) in enumerate([(0.6, 2.0), (0.8, 6.0), (0.7, 4.0), (0.55, 7.0), (0.85, 1.0)], start=1):
        add(storage, study, 16 * width, accuracy, median)
        summary = build(storage, study)
        assert summary["hypervolume_curve"][-1] == pytest.approx(summary["hypervolume"])
        curves.append(summary["hypervolume"])
    assert summary["hypervolume_curve"] == pytest.approx(curves)
    assert curves == sorted(curves)


def test_a_lucky_replicate_counts_by_the_mean_in_every_hypervolume(storage: Storage, study: StudyRecord) -> None:
    storage.set_step(study.id, "teacher", teacher_step())
    add(storage, study, 16, 0.9, 2.0)
    add(storage, study, 16, 0.7, 2.0, replicate=1)
    summary = build(storage, study)
    expected = (0.8 - 0.5) / 0.9 * math.log(4.0 / 2.0)
    assert summary["hypervolume"] == pytest.approx(expected)
    assert summary["hypervolume_curve"][-1] == pytest.approx(expected)
    assert summary["analytics"]["hypervolume"]["value"][-1] == pytest.approx(expected)
    assert summary["pareto_sets"]["replay"]["hypervolume"] == pytest.approx(expected)


def test_a_target_of_another_precision_says_whose_quality_it_has(storage: Storage, study: StudyRecord) -> None:
    storage.set_step(study.id, "teacher", teacher_step())
    number = add(storage, study, 16, 0.8, 2.0)
    both = {"replay": report(2.0), "int8": report(1.0, "int8")}
    storage.update_trial(study.id, number, latencies=both)
    sets = build(storage, study)["pareto_sets"]
    assert (sets["replay"]["precision"], sets["replay"]["caveat"]) == ("fp32", None)
    assert (sets["int8"]["precision"], sets["int8"]["caveat"]) == ("int8", "quality is that of the fp32 model")


def test_frozen_picks_that_are_not_trained_yet_say_so(storage: Storage, study: StudyRecord) -> None:
    storage.set_step(study.id, "teacher", teacher_step())
    number = add(storage, study, 16, 0.8, 2.0)
    storage.set_step(study.id, "picks_frozen", {"trials": [number]})
    (pick,) = build(storage, study)["picks"]
    assert pick["state"] == "waiting"
    assert pick["final"] is None
    assert pick["initialisation"] == "not trained yet"
    assert pick["flash"][ACCURACY]["value"] == 0.8
    assert pick["flash"][ACCURACY]["n"] == 60
    assert (pick["flash"][ACCURACY]["low"], pick["flash"][ACCURACY]["high"]) == (0.8 - 0.07, 0.8 + 0.05)


def test_runs_that_an_earlier_version_stored_have_no_interval(storage: Storage, study: StudyRecord) -> None:
    storage.set_step(study.id, "teacher", teacher_step())
    number = add(storage, study, 16, None, 2.0)
    run = storage.lease_run(study.id, number, "flash", "me", 60.0)
    assert run is not None
    metrics = {ACCURACY: {"value": 0.8, "variance": 0.001, "n": 60, "split": "select"}}
    assert storage.finish_run(run, state="complete", metrics=metrics, seconds={}, trial_state="complete")
    storage.set_step(study.id, "picks_frozen", {"trials": [number]})
    (pick,) = build(storage, study)["picks"]
    told = {"value": 0.8, "low": None, "high": None, "n": 60, "seeds": 1, "split": "select"}
    assert pick["flash"][ACCURACY] == told


def test_a_failed_and_an_infeasible_trial_keep_their_reasons(storage: Storage, study: StudyRecord) -> None:
    for width, state in ((16, "failed"), (32, "infeasible")):
        number = add(storage, study, width, None, 2.0)
        storage.update_trial(study.id, number, state=state, error=f"{state} because")  # type: ignore[arg-type]
    summary = build(storage, study)
    assert [row["error"] for row in summary["history"]] == ["failed because", "infeasible because"]
    assert summary["trials"] == {
        **dict.fromkeys(("complete", "stopped", "pending", "running", "interrupted"), 0),
        **dict.fromkeys(("failed", "infeasible"), 1),
    }


def test_a_trial_is_running_while_its_lease_is_held_and_interrupted_after(
    open_storage: Callable[..., Storage], clock: Any
) -> None:
    storage = open_storage(clock=clock)
    study = storage.create_study("young", IDENTITY, {"export": {}}, {}, {})
    storage.set_step(study.id, "teacher", teacher_step())
    pick, running, killed, waiting = (add(storage, study, width, *told) for width, told in TOLD.items())
    storage.set_step(study.id, "pick:0", {"trial": pick})
    runs = {}
    for number, kind in ((pick, "full"), (running, "flash"), (killed, "flash")):
        runs[number] = storage.lease_run(study.id, number, kind, "me", 60.0)  # type: ignore[arg-type]
        storage.update_trial(study.id, number, began_training=True)
    assert [row["state"] for row in build(storage, study)["history"]] == ["complete", "running", "running", "pending"]
    assert build(storage, study)["picks"][0]["state"] == "leased"
    clock.now += 40
    storage.renew(runs[running], 60.0)  # type: ignore[arg-type]
    clock.now += 40
    summary = build(storage, study)
    assert [row["state"] for row in summary["history"]] == ["complete", "running", "interrupted", "pending"]
    assert {state: count for state, count in summary["trials"].items() if count} == {
        **dict.fromkeys(("complete", "running", "interrupted", "pending"), 1)
    }
    assert storage.trial_states(study.id)[waiting] == "pending"
    assert summary["picks"][0]["state"] == "interrupted"
    assert tables.comparison_rows(summary)[-1].state == "interrupted"


def test_trials_that_could_not_be_timed_are_none_of_those_that_were_trained(
    storage: Storage, study: StudyRecord
) -> None:
    add(storage, study, 16, 0.8, 2.0)
    for width in (32, 64):
        storage.update_trial(study.id, add(storage, study, width, None, 2.0), state="failed", error="not timed")
    storage.update_trial(study.id, add(storage, study, 48, None, 2.0), began_training=True, state="failed", error="nan")
    summary = build(storage, study)
    assert (tables.trained_trials(summary), summary["trials"]["failed"]) == (2, 3)


def test_a_baseline_whose_training_failed_raises_an_alarm(storage: Storage, study: StudyRecord) -> None:
    storage.set_step(study.id, "teacher", teacher_step())
    trial = storage.add_trial(
        study.id, architecture(1, 16), replicate=0, origin="baseline", label="deep", in_space=True, note=None, seed=1
    )
    run = storage.lease_run(study.id, trial.number, "full", "me", 60.0)
    assert run is not None
    storage.finish_run(run, state="failed", error="the loss is not finite")
    summary = build(storage, study)
    assert {"name": "training of deep", "found": "failed", "alarm": summary["alarms"][0]} in summary["checks"]
    assert "deep could not be trained, so nothing is compared with it: the loss is not finite" in summary["alarms"]


def test_a_pick_no_better_than_the_trivial_answer_raises_an_alarm(storage: Storage, study: StudyRecord) -> None:
    storage.set_step(study.id, "teacher", teacher_step())
    number = add(storage, study, 16, 0.8, 2.0)
    storage.set_step(study.id, "picks_frozen", {"trials": [number]})
    entry = {"value": 0.52, "low": 0.45, "high": 0.59, "n": 100, "seeds": 1, "split": "test"}
    row = {"name": "pick 0", "parameters": 10, "metrics": {ACCURACY: entry}, "latencies": {"replay": report(2.0)}}
    teacher = {"name": "teacher", "parameters": 1000, "metrics": {}, "latencies": {}}
    finals = {"split": "test", "teacher": teacher, "references": [], "baselines": {}, "picks": {str(number): row}}
    verdict = {"claim": "nothing", "holds": None, "baseline": None}
    storage.replace_step(study.id, "finals", {**finals, "verdict": verdict})
    summary = build(storage, study)
    assert summary["final_pareto"] == [number]
    assert any("pick 0" in alarm and "no better than the trivial answer" in alarm for alarm in summary["alarms"])


def test_numbers_that_json_cannot_say_become_null() -> None:
    given = {"a": math.nan, "b": [math.inf, 1.0], "c": np.float64(2.0), "d": (np.int64(3),), "e": "text"}
    assert without_nan(given) == {"a": None, "b": [None, 1.0], "c": 2.0, "d": [3], "e": "text"}


def test_the_final_front_of_a_target_is_that_of_its_own_scores(storage: Storage, study: StudyRecord) -> None:
    both, teacher = {"replay": report(2.0), "int8": report(1.0, "int8")}, teacher_step()
    teacher |= {"latencies": both, "values": {**teacher["values"], "int8.p50_ms": 5.0}}
    storage.set_step(study.id, "teacher", teacher)
    numbers = [add(storage, study, width, 0.8, 2.0) for width in (16, 32, 64)]
    quality, scores = "classification.accuracy", {"fp32": (0.9, 0.8, 0.85), "int8": (0.6, 0.7, None)}

    def entry(value: float) -> dict[str, Any]:
        return {"value": value, "low": value, "high": value, "n": 10, "seeds": 1, "split": "test"}

    def row(place: int) -> dict[str, Any]:
        own, there = scores["fp32"][place], scores["int8"][place]
        found = {"left_out": "no memory"} if there is None else {"metrics": {quality: entry(there)}}
        metrics = {quality: entry(own)}
        return {"name": "x", "metrics": metrics, "latencies": both, "targets": {"int8": found}, "parameters": 1}

    picks = {str(number): row(place) for place, number in enumerate(numbers)}
    own = {"name": "teacher", "parameters": 2, "metrics": {}, "latencies": both}
    storage.set_step(study.id, "finals", {"teacher": own, "picks": picks, "baselines": {}})
    for number in numbers:
        storage.update_trial(study.id, number, latencies=both)
    summary = build(storage, study)
    assert summary["final_pareto"] == summary["pareto_sets"]["replay"]["final"] == [numbers[0]]
    assert summary["pareto_sets"]["int8"]["final"] == [numbers[1]]
    assert summary["pareto_sets"]["int8"]["caveat"].endswith("trained models were scored in int8 too")
