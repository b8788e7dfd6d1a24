from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest

from autodistill.components.architecture import Architecture
from autodistill.components.training import RungReport
from autodistill.engine.records import RunRecord, TrialRecord
from autodistill.engine.storage import Storage
from autodistill.errors import AskedMeanwhileError, StudyError

Opener: TypeAlias = Callable[..., Storage]
EMPTY: dict[str, Any] = {"identity": {}, "config": {}, "components": {}, "environment": {}}


def architecture(layers: int = 4) -> Architecture:
    return Architecture("bert", {"layers": layers, "hidden": 128})


def add(storage: Storage, study_id: int, layers: int = 4, **changes: Any) -> TrialRecord:
    arguments: dict[str, Any] = {
        "replicate": 0,
        "origin": "search",
        "label": None,
        "in_space": True,
        "note": None,
        "seed": 7,
    }
    return storage.add_trial(study_id, architecture(layers), **{**arguments, **changes})


def leased(storage: Storage, study_id: int, number: int = 0, owner: str = "a", **options: Any) -> RunRecord:
    run = storage.lease_run(study_id, number, "flash", owner, 60, **options)
    assert run is not None
    return run


@pytest.fixture
def storage(open_storage: Opener, clock: Any) -> Storage:
    return open_storage(clock=clock)


@pytest.fixture
def study_id(storage: Storage) -> int:
    return storage.create_study("demo", **EMPTY).id


# Studies


def test_a_study_is_read_back_as_it_was_created(open_storage: Opener) -> None:
    parts: dict[str, Any] = {
        "identity": {"data": "abc"},
        "config": {"seed": 1},
        "components": {"search": "x"},
        "environment": {"n": 2},
    }
    created = open_storage().create_study("demo", **parts)
    read = open_storage().get_study("demo")
    assert read == created
    assert (read.identity, read.config, read.components, read.environment) == tuple(parts.values())
    assert read.created.endswith("+00:00")


def test_a_name_is_taken_once(storage: Storage, study_id: int) -> None:
    with pytest.raises(StudyError, match=r"'demo' exists already in storage .*Choose another study.name"):
        storage.create_study("demo", **EMPTY)


def test_an_unknown_study_lists_those_that_exist(storage: Storage, study_id: int) -> None:
    assert storage.find_study("dmo") is None
    with pytest.raises(StudyError, match=r"no study 'dmo' in storage .* Did you mean 'demo'\? Studies there: demo\."):
        storage.get_study("dmo")


def test_an_unknown_study_of_an_empty_storage_says_so(storage: Storage) -> None:
    with pytest.raises(StudyError, match="It has no studies yet"):
        storage.get_study("demo")


def test_a_long_list_of_studies_is_cut(storage: Storage) -> None:
    for number in range(22):
        storage.create_study(f"s{number}", **EMPTY)
    with pytest.raises(StudyError, match="s20, s21 and 2 more"):
        storage.get_study("zzz")


def test_studies_come_in_the_order_of_creation(storage: Storage) -> None:
    for name in ("b", "a"):
        storage.create_study(name, **EMPTY)
    assert [study.name for study in storage.studies()] == ["b", "a"]


def test_update_study_replaces_only_what_is_given(storage: Storage) -> None:
    study = storage.create_study("demo", {"i": 1}, {"c": 1}, {"p": 1}, {"e": 1})
    storage.update_study(study.id, config={"c": 2})
    storage.update_study(study.id)
    read = storage.get_study("demo")
    assert (read.config, read.components, read.environment, read.identity) == ({"c": 2}, {"p": 1}, {"e": 1}, {"i": 1})
    with pytest.raises(StudyError, match="no study with id 99"):
        storage.update_study(99, config={})


# Trials


def test_trials_are_numbered_in_the_order_of_asks(storage: Storage, study_id: int) -> None:
    other = storage.create_study("other", **EMPTY).id
    numbers = [add(storage, study_id, layers).number for layers in (2, 4, 6)]
    assert numbers == [0, 1, 2]
    assert add(storage, other).number == 0
    assert [(trial.number, trial.asked) for trial in storage.trials(study_id)] == [(0, 0), (1, 1), (2, 2)]


def test_trials_are_found_by_architecture_and_by_state(storage: Storage, study_id: int) -> None:
    for layers, replicate in ((2, 0), (4, 0), (2, 1)):
        add(storage, study_id, layers, replicate=replicate)
    storage.update_trial(study_id, 0, state="complete")
    assert [trial.number for trial in storage.trials(study_id, architecture=architecture(2))] == [0, 2]
    assert [trial.number for trial in storage.trials(study_id, state="pending")] == [1, 2]
    assert [trial.number for trial in storage.trials(study_id, architecture=architecture(2), state="pending")] == [2]


def test_a_trial_is_read_back_as_it_was_added(storage: Storage, study_id: int) -> None:
    changes: dict[str, Any] = {
        "replicate": 1,
        "origin": "baseline",
        "label": "minilm_6l",
        "in_space": False,
        "seed": 2**63 - 1,
    }
    trial = add(storage, study_id, note={"why": "edge", "x": math.inf}, **changes)
    assert trial == storage.trial(study_id, 0)
    assert (trial.architecture, trial.state, trial.told, trial.note) == (
        architecture(),
        "pending",
        None,
        {"why": "edge", "x": math.inf},
    )
    assert {name: getattr(trial, name) for name in changes} == changes
    assert (trial.known, trial.latencies, trial.began_training, trial.error) == ({}, {}, False, None)


def test_an_architecture_is_added_once_per_replicate_and_origin(storage: Storage, study_id: int) -> None:
    add(storage, study_id)
    with pytest.raises(StudyError, match=r"Trial 0 is already replicate 0 of bert\(hidden=128, layers=4\) \(search\)"):
        add(storage, study_id, seed=8)
    add(storage, study_id, replicate=1)
    assert add(storage, study_id, origin="baseline").number == 2
    found = storage.find_trial(study_id, architecture(), replicate=1)
    assert found is not None
    assert found.number == 1
    assert storage.find_trial(study_id, architecture(12)) is None


def test_adding_to_a_study_that_is_not_there_is_an_error(storage: Storage) -> None:
    with pytest.raises(StudyError, match="no study with id 3"):
        add(storage, 3)
    with pytest.raises(StudyError, match="has no trial 0"):
        storage.trial(3, 0)


@pytest.mark.parametrize(
    ("changes", "match"), [({"origin": "luck"}, "origin"), ({"seed": -1}, "seed"), ({"seed": 2**63}, "seed")]
)
def test_impossible_trials_are_refused(storage: Storage, study_id: int, changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=f"The {match} of a trial must be"):
        add(storage, study_id, **changes)
    assert storage.trials(study_id) == []


def test_tells_are_counted_in_the_order_in_which_trials_end(storage: Storage, study_id: int) -> None:
    for layers in (2, 4, 6):
        add(storage, study_id, layers)
    storage.update_trial(study_id, 0, state="pending")
    storage.update_trial(study_id, 2, state="infeasible", error="too slow")
    storage.update_trial(study_id, 0, state="complete")
    assert [trial.told for trial in storage.trials(study_id)] == [1, None, 0]


def test_a_trial_is_told_exactly_once(storage: Storage, study_id: int) -> None:
    add(storage, study_id)
    assert storage.update_trial(study_id, 0, state="failed", error="diverged").told == 0
    assert storage.update_trial(study_id, 0, state="pending").error is None
    assert storage.update_trial(study_id, 0, state="complete").told == 0
    assert storage.update_trial(study_id, 0, state="complete").told == 0


def test_a_final_state_stays(storage: Storage, study_id: int) -> None:
    add(storage, study_id)
    storage.update_trial(study_id, 0, state="complete")
    with pytest.raises(StudyError, match="Trial 0 is complete already and cannot become failed"):
        storage.update_trial(study_id, 0, state="failed")
    with pytest.raises(ValueError, match="must be one of pending, complete"):
        storage.update_trial(study_id, 0, state="done")  # type: ignore[arg-type]


def test_update_trial_changes_only_what_is_given(storage: Storage, study_id: int) -> None:
    add(storage, study_id)
    storage.update_trial(study_id, 0, known={"size.parameters": 12.0, "odd": math.nan})
    storage.update_trial(study_id, 0, latencies={"onnx": {"median": 1.5}}, began_training=True)
    trial = storage.update_trial(study_id, 0, error="text with \x00 and \ud800")
    assert trial.known["size.parameters"] == 12.0
    assert math.isnan(trial.known["odd"])
    assert trial.latencies == {"onnx": {"median": 1.5}}
    assert trial.began_training
    assert (trial.state, trial.error) == ("pending", "text with \ufffd and ?")


# Runs


def test_a_result_is_read_back_as_it_was_written(storage: Storage, study_id: int) -> None:
    add(storage, study_id)
    run = leased(storage, study_id)
    result: dict[str, Any] = {
        "metrics": {"classification.accuracy": {"value": 0.5, "variance": None, "split": "select"}},
        "seconds": {"train": 1.5},
        "cost": {"examples": 10, "flops": 1e18, "device_seconds": 1.5},
        "initialisation": {"groups": {"embeddings": "exact"}},
        "artifacts": {"checkpoint": "trials/0/last.ckpt"},
    }
    assert storage.finish_run(run, state="complete", **result)
    [read] = storage.runs(study_id)
    assert {name: getattr(read, name) for name in result} == result
    assert (read.trial, read.kind, read.state, read.attempt, read.owner) == (0, "flash", "complete", 1, "a")


def test_a_lease_excludes_everybody_until_it_expires(storage: Storage, study_id: int, clock: Any) -> None:
    add(storage, study_id)
    leased(storage, study_id)
    clock.now += 59
    assert storage.lease_run(study_id, 0, "flash", "b", 60) is None
    assert storage.lease_run(study_id, 0, "flash", "a", 60) is None
    assert storage.lease_run(study_id, 0, "full", "b", 60) is not None


def test_an_expired_lease_is_taken_over_and_its_holder_is_fenced_off(
    storage: Storage, study_id: int, clock: Any
) -> None:
    add(storage, study_id)
    old = leased(storage, study_id)
    clock.now += 10
    assert storage.renew(old, 60)
    clock.now += 61
    new = leased(storage, study_id, owner="b")
    assert (new.attempt, new.owner) == (2, "b")
    assert new.token != old.token

    assert not storage.renew(old, 60)
    assert not storage.release_run(old)
    assert not storage.finish_run(old, state="complete", metrics={"m": {"value": 0.0}}, trial_state="complete")
    assert storage.runs(study_id) == [new]
    assert storage.trial(study_id, 0).state == "pending"

    assert storage.finish_run(new, state="complete", metrics={"m": {"value": 1.0}})
    [read] = storage.runs(study_id)
    assert read.metrics == {"m": {"value": 1.0}}
    [waste] = storage.waste(study_id)
    assert (waste.trial, waste.kind, waste.attempt, waste.owner, waste.reason) == (0, "flash", 1, "a", "expired")
    assert waste.seconds == 10


def test_an_expired_lease_that_nobody_took_is_still_good(storage: Storage, study_id: int, clock: Any) -> None:
    add(storage, study_id)
    run = leased(storage, study_id)
    clock.now += 1000
    assert storage.renew(run, 60)
    assert storage.lease_run(study_id, 0, "flash", "b", 60) is None
    assert storage.finish_run(run, state="complete")


@pytest.mark.parametrize("state", ["complete", "stopped", "failed"])
def test_a_run_that_has_ended_is_not_leased_again(storage: Storage, study_id: int, clock: Any, state: Any) -> None:
    add(storage, study_id)
    run = leased(storage, study_id)
    assert storage.finish_run(run, state=state, error="why")
    assert not storage.finish_run(run, state=state)
    clock.now += 1000
    assert storage.lease_run(study_id, 0, "flash", "b", 60) is None
    assert storage.waste(study_id) == []


def test_a_failed_run_is_tried_again_on_demand_and_counts_as_waste(storage: Storage, study_id: int) -> None:
    add(storage, study_id)
    assert storage.finish_run(leased(storage, study_id), state="failed", error="diverged")
    again = leased(storage, study_id, retry_failed=True)
    assert (again.attempt, again.state, again.error) == (2, "leased", None)
    assert [waste.reason for waste in storage.waste(study_id)] == ["failed"]


def test_a_lease_that_was_given_back_is_free_at_once_and_no_waste(storage: Storage, study_id: int) -> None:
    add(storage, study_id)
    old = leased(storage, study_id)
    assert storage.release_run(old)
    assert not storage.renew(old, 60)
    new = leased(storage, study_id, owner="b")
    assert new.attempt == 2
    assert storage.waste(study_id) == []


def test_a_lease_that_is_withdrawn_leaves_nothing_of_a_run_that_had_no_attempt(storage: Storage, study_id: int) -> None:
    add(storage, study_id)
    run = leased(storage, study_id)
    assert storage.withdraw_run(run)
    assert not storage.withdraw_run(run)
    assert storage.runs(study_id) == []
    old = leased(storage, study_id)
    assert old.attempt == 1
    assert storage.release_run(old)
    assert storage.withdraw_run(leased(storage, study_id))
    assert [(run.state, run.owner) for run in storage.runs(study_id)] == [("leased", "")]
    assert storage.waste(study_id) == []


def test_a_trial_is_added_only_after_those_that_it_was_proposed_from(storage: Storage, study_id: int) -> None:
    assert add(storage, study_id, 2, after=0).number == 0
    with pytest.raises(AskedMeanwhileError, match="has 1 trials by now, not 0"):
        add(storage, study_id, 4, after=0)
    assert add(storage, study_id, 4, after=1).number == 1
    trials, history = storage.seen(study_id)
    assert [trial.architecture for trial in trials] == list(history.architectures)


def test_a_result_and_the_state_of_its_trial_are_one_transaction(storage: Storage, study_id: int) -> None:
    add(storage, study_id)
    storage.update_trial(study_id, 0, state="pending")
    run = leased(storage, study_id)
    assert storage.finish_run(run, state="failed", error="diverged", trial_state="failed")
    trial = storage.trial(study_id, 0)
    assert (trial.state, trial.error, trial.told) == ("failed", "diverged", 0)

    add(storage, study_id, 6)
    storage.update_trial(study_id, 1, state="complete")
    run = leased(storage, study_id, 1)
    with pytest.raises(StudyError, match="cannot become stopped"):
        storage.finish_run(run, state="stopped", trial_state="stopped")
    assert storage.runs(study_id)[1].state == "leased"


def test_mistakes_in_leasing_are_errors(storage: Storage, study_id: int) -> None:
    with pytest.raises(StudyError, match="has no trial 5"):
        storage.lease_run(study_id, 5, "flash", "a", 60)
    with pytest.raises(ValueError, match="one of flash, full, got 'half'"):
        storage.lease_run(study_id, 5, "half", "a", 60)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="owner"):
        storage.lease_run(study_id, 5, "flash", "", 60)
    add(storage, study_id)
    with pytest.raises(ValueError, match="one of the states complete, failed, stopped, got 'leased'"):
        storage.finish_run(leased(storage, study_id), state="leased")


def test_the_clock_of_the_storage_is_that_of_the_world(open_storage: Opener) -> None:
    storage = open_storage()
    study_id = storage.create_study("demo", **EMPTY).id
    add(storage, study_id)
    run = storage.lease_run(study_id, 0, "flash", "a", -1)
    assert run is not None
    assert leased(storage, study_id, owner="b").attempt == 2
    assert storage.lease_run(study_id, 0, "flash", "c", 60) is None


# Rungs, steps, seconds


def test_rungs_are_compared_with_the_same_rung_of_the_same_kind(storage: Storage, study_id: int) -> None:
    for layers in (2, 4):
        add(storage, study_id, layers)
    storage.report_rung(study_id, 1, "flash", 0, 0.5, {"accuracy": 0.1})
    storage.report_rung(study_id, 1, "flash", 0, 0.5, {"accuracy": math.nan})
    storage.report_rung(study_id, 0, "flash", 0, 0.5, {"accuracy": 0.7})
    storage.report_rung(study_id, 0, "flash", 1, 0.75, {"accuracy": 0.8})
    storage.report_rung(study_id, 0, "full", 0, 0.5, {"accuracy": 0.9})
    first, second = storage.rungs(study_id, "flash", 0)
    assert first == (0, RungReport(0, 0.5, {"accuracy": 0.7}))
    assert second[0] == 1
    assert math.isnan(second[1].metrics["accuracy"])
    assert storage.rungs(study_id, "flash", 2) == []
    with pytest.raises(StudyError, match="no trial 9"):
        storage.report_rung(study_id, 9, "flash", 0, 0.5, {})


def test_the_first_write_of_a_step_wins(storage: Storage, study_id: int) -> None:
    assert storage.step(study_id, "picks_frozen") is None
    assert storage.set_step(study_id, "picks_frozen", [3, 1]) == [3, 1]
    assert storage.set_step(study_id, "picks_frozen", [2]) == [3, 1]
    assert storage.step(study_id, "picks_frozen") == [3, 1]
    storage.replace_step(study_id, "picks_frozen", {"picks": [2]})
    assert storage.step(study_id, "picks_frozen") == {"picks": [2]}


def test_a_step_that_is_null_or_empty_was_still_taken(storage: Storage, study_id: int) -> None:
    payloads: list[Any] = [None, {}, []]
    for payload in payloads:
        storage.replace_step(study_id, "plan", payload)
        assert storage.set_step(study_id, "plan", "late") == payload


def test_steps_are_found_by_the_beginning_of_their_names(storage: Storage, study_id: int) -> None:
    for name in ("pick_:0", "pick_:1", "picks:0", "other"):
        storage.set_step(study_id, name, name.upper())
    assert storage.steps(study_id, "pick_") == {"pick_:0": "PICK_:0", "pick_:1": "PICK_:1"}
    assert storage.steps(study_id, "nothing") == {}


def test_seconds_add_up_by_stage(storage: Storage, study_id: int) -> None:
    assert storage.seconds(study_id) == {}
    for stage, value in (("explore", 1.5), ("teacher", 2.0), ("explore", 0.25)):
        storage.add_seconds(study_id, stage, value)
    assert storage.seconds(study_id) == {"explore": 1.75, "teacher": 2.0}


# History


def test_a_history_shows_complete_flash_runs_known_metrics_and_latency(storage: Storage, study_id: int) -> None:
    for layers in (2, 4, 6, 8):
        add(storage, study_id, layers, note={"layers": layers})
    add(storage, study_id, 12, origin="baseline", label="teacher", in_space=False)
    latency = {"kind": "measured", "median": 10.0, "p90": 12.0, "relative_half_width": 0.02, "p99": None}
    storage.update_trial(study_id, 0, known={"size.parameters": 5.0, "onnx.p50_ms": 10.0}, latencies={"onnx": latency})
    scores = {
        "accuracy.accuracy": {"value": 0.8, "variance": 0.01, "split": "select"},
        "test/accuracy.accuracy": {"value": 0.1, "variance": 0.01, "split": "test"},
    }
    storage.finish_run(leased(storage, study_id, 0), state="complete", metrics=scores, trial_state="complete")
    storage.finish_run(leased(storage, study_id, 1), state="stopped", metrics=scores, trial_state="stopped")
    storage.finish_run(leased(storage, study_id, 2), state="complete", metrics=scores)
    storage.update_trial(study_id, 2, state="pending")
    history = storage.history(study_id)

    assert len(history) == 5
    assert history.states == ("complete", "stopped", "pending", "pending", "pending")
    assert history.told == (0, 1, -1, -1, -1)
    assert history.in_space == (True, True, True, True, False)
    assert history.notes[1] == {"layers": 4}
    assert history.notes[4] is None
    assert history.architectures[4] == architecture(12)
    assert set(history.metrics) == {"accuracy.accuracy", "size.parameters", "onnx.p50_ms", "onnx.p90_ms"}
    np.testing.assert_array_equal(history.metrics["accuracy.accuracy"], [0.8, np.nan, np.nan, np.nan, np.nan])
    assert history.variances["accuracy.accuracy"][0] == 0.01
    assert history.variances["size.parameters"][0] == 0
    # Half of a 95 % interval of 0.2 ms is 1.96 standard errors.
    assert history.variances["onnx.p50_ms"][0] == pytest.approx((0.2 / 1.96) ** 2, rel=1e-4)
    assert np.isnan(history.variances["onnx.p90_ms"][0])


def test_the_history_of_a_new_study_is_empty(storage: Storage, study_id: int) -> None:
    history = storage.history(study_id)
    assert (len(history), history.metrics, history.states) == (0, {}, ())


def test_analytical_latency_is_exact_in_the_history(storage: Storage, study_id: int) -> None:
    add(storage, study_id)
    storage.update_trial(study_id, 0, latencies={"ops": {"kind": "analytical", "median": 3.0}})
    history = storage.history(study_id)
    assert (history.metrics["ops.p50_ms"][0], history.variances["ops.p50_ms"][0]) == (3.0, 0.0)


def test_the_history_has_every_metric_of_a_latency_report() -> None:
    from autodistill.components.latency import LATENCY_METRICS
    from autodistill.engine.storage_history import LATENCY_FIELDS

    assert set(LATENCY_FIELDS) == set(LATENCY_METRICS)
