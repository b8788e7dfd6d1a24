"""What pruners are shown, what is kept of their decisions, and whole tiny studies with each of them."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from test_resume import finish, in_a_run, read, same_apart_from_times, stop_at
from tiny_studies import architecture, replaced, tiny_study

import autodistill
from autodistill.components.pruning import Pruner, TrialCurve
from autodistill.engine.pruning import judge, read_curves, savings
from autodistill.engine.records import Origin, RunState, StudyRecord, TrialState
from autodistill.engine.storage import Storage
from autodistill.engine.study import Study, open_study
from autodistill.registry import default_registry

ACCURACY = "classification.accuracy"
RUNGS = (0.25, 0.5)

#: Every trial but the first few is judged, at one rung, among all others. With this seed at least one is bad enough.
EAGER = (
    "seed=1",
    "pruner=latency_bands",
    "pruner.rungs=[0.6]",
    "pruner.bands=1",
    "pruner.min_trials=2",
    "pruner.grace_trials=1",
    "pruner.reduction_factor=4",
)


@pytest.fixture
def storage(open_storage: Callable[..., Storage]) -> Storage:
    return open_storage()


@pytest.fixture
def study(storage: Storage) -> StudyRecord:
    return storage.create_study("pruned", {}, {}, {}, {})


def add(storage: Storage, study: StudyRecord, state: TrialState, *scores: float, origin: Origin = "search") -> int:
    """A trial with scores at its first rungs, and a last one at the end when it is complete."""
    width = 16 + len(storage.trials(study.id))
    trial = storage.add_trial(
        study.id, architecture(1, width), replicate=0, origin=origin, label=None, in_space=True, note=None, seed=1
    )
    report = {"backend": "replay", "kind": "replayed", "precision": "fp32", "workload": {}, "device": "replayed"}
    storage.update_trial(
        study.id,
        trial.number,
        known={"size.parameters": 1e6},
        latencies={"replay": {**report, "median": 2.0, "p90": 3.0}},
        began_training=state != "infeasible",
    )
    for rung, (share, score) in enumerate(zip(RUNGS, scores, strict=False)):
        storage.report_rung(study.id, trial.number, "flash", rung, share, {ACCURACY: score})
    run = storage.lease_run(study.id, trial.number, "flash", "me", 60.0)
    assert run is not None
    if state != "running":
        ends: RunState = "failed" if state == "infeasible" else state  # type: ignore[assignment]
        metrics = {ACCURACY: {"value": scores[-1], "variance": 1e-3, "split": "select"}} if scores else {}
        storage.finish_run(run, state=ends, metrics=metrics, trial_state=state)
    return trial.number


class Pessimist:
    """Stops everything at its rungs, and writes down what it is shown."""

    def __init__(self, rungs: tuple[float, ...] = RUNGS) -> None:
        self.rungs = rungs
        self.shown: list[tuple[TrialCurve, tuple[TrialCurve, ...]]] = []

    def stop_reason(self, trial: TrialCurve, others: Sequence[TrialCurve]) -> str | None:
        self.shown.append((trial, tuple(others)))
        return f"hopeless, said after {len(others)} others"


def test_a_pruner_is_shown_known_metrics_rungs_and_ends(storage: Storage, study: StudyRecord) -> None:
    done = add(storage, study, "complete", 0.5, 0.6, 0.7)
    early = add(storage, study, "stopped", 0.4)
    running = add(storage, study, "running", 0.3)
    pruner: Pruner = Pessimist()
    assert judge(pruner, storage, study.id, running, 0)
    ((asked, others),) = pruner.shown  # type: ignore[attr-defined]
    assert asked.known == {"size.parameters": 1e6, "replay.p50_ms": 2.0, "replay.p90_ms": 3.0}
    assert [report.metrics[ACCURACY] for report in asked.rungs] == [0.3]
    assert [(item.trial, item.state) for item in others] == [(done, "complete"), (early, "stopped")]
    assert [report.metrics[ACCURACY] for report in others[0].rungs] == [0.5, 0.6]
    assert others[0].final == {ACCURACY: 0.7}
    assert others[1].final == {}, "the score of a stopped run is none of its end"


def test_trials_that_never_trained_and_baselines_are_not_shown(storage: Storage, study: StudyRecord) -> None:
    add(storage, study, "infeasible")
    add(storage, study, "complete", 0.5, 0.6, 0.7, origin="baseline")
    shown = add(storage, study, "complete", 0.5, 0.6, 0.7)
    assert [curve.trial for curve in read_curves(storage, study.id, RUNGS)] == [shown]


def test_what_was_recorded_at_other_rungs_is_not_compared(storage: Storage, study: StudyRecord) -> None:
    add(storage, study, "complete", 0.5, 0.6, 0.7)
    (curve,) = read_curves(storage, study.id, (0.25, 0.75))
    assert [(report.rung, report.share) for report in curve.rungs] == [(0, 0.25)]


def test_a_replicate_runs_to_its_end(storage: Storage, study: StudyRecord) -> None:
    first = storage.trial(study.id, add(storage, study, "complete", 0.5, 0.6, 0.7))
    again = storage.add_trial(
        study.id, first.architecture, replicate=1, origin="search", label=None, in_space=True, note=None, seed=2
    )
    storage.update_trial(study.id, again.number, began_training=True)
    storage.report_rung(study.id, again.number, "flash", 0, RUNGS[0], {ACCURACY: 0.1})
    pruner = Pessimist()
    assert not judge(pruner, storage, study.id, again.number, 0)
    assert pruner.shown == [], "a pruner would compare it with its own sibling"


def test_a_rung_of_an_earlier_attempt_is_not_shown(storage: Storage, study: StudyRecord) -> None:
    running = add(storage, study, "running", 0.3, 0.9)
    pruner = Pessimist()
    judge(pruner, storage, study.id, running, 0)
    assert [report.rung for report in pruner.shown[0][0].rungs] == [0]


def test_a_decision_stands_once_it_is_made(storage: Storage, study: StudyRecord) -> None:
    running = add(storage, study, "running", 0.3)
    assert judge(Pessimist(), storage, study.id, running, 0)
    add(storage, study, "complete", 0.1, 0.1, 0.1)
    again = Pessimist()
    assert judge(again, storage, study.id, running, 0)
    assert again.shown == []
    step = storage.step(study.id, f"stopped:{running}")
    assert step == {"rung": 0, "share": 0.25, "reason": "hopeless, said after 0 others"}


def test_a_run_that_goes_on_from_before_is_stopped_where_it_was(storage: Storage, study: StudyRecord) -> None:
    running = add(storage, study, "running", 0.3, 0.4)
    assert judge(Pessimist(), storage, study.id, running, 1)
    again = Pessimist()
    assert not judge(again, storage, study.id, running, 0)
    assert judge(again, storage, study.id, running, 1)
    assert again.shown == []


def test_a_history_has_the_curve_of_a_stopped_trial_but_no_score(storage: Storage, study: StudyRecord) -> None:
    add(storage, study, "complete", 0.5, 0.6, 0.7)
    add(storage, study, "stopped", 0.4)
    add(storage, study, "running", 0.3)
    history = storage.history(study.id)
    assert history.metrics[ACCURACY][0] == 0.7
    assert history.metrics[ACCURACY][1] != history.metrics[ACCURACY][1], "NaN"
    assert history.metrics["replay.p50_ms"][1] == 2.0
    assert [[report.metrics[ACCURACY] for report in curve] for curve in history.curves] == [[0.5, 0.6], [0.4], []]


def test_savings_are_what_stopped_runs_did_not_read(storage: Storage, study: StudyRecord) -> None:
    assert savings([]) == {"stopped": 0, "examples": None, "flops": None, "device_seconds": None} | {
        "share_of_examples": None
    }
    ends: list[tuple[Literal["complete", "stopped", "failed"], float]]
    ends = [("complete", 400.0), ("complete", 400.0), ("stopped", 100.0), ("failed", 40.0)]
    for state, examples in ends:
        trial = storage.trial(study.id, add(storage, study, "running", 0.3))
        run = next(run for run in storage.runs(study.id) if run.trial == trial.number)
        cost = {"examples": examples, "flops": 10 * examples, "device_seconds": 9.0}
        storage.finish_run(run, state=state, cost=cost, seconds={"train": 2.0, "evaluate": 7.0}, trial_state=state)
    assert savings(storage.runs(study.id)) == {
        "stopped": 1,
        "examples": 300.0,
        "flops": 3000.0,
        "device_seconds": 6.0,
        "share_of_examples": pytest.approx(300.0 / 1240.0),
    }


# -- whole studies -------------------------------------------------------------------------------------------------


def explored(directory: Path, *more: str) -> tuple[Study, dict[str, Any]]:
    overrides = tiny_study(directory, "budget.trials=6", *more)
    registry = default_registry()
    settings = autodistill.compose(overrides, registry)
    study = autodistill.run(settings, overrides=overrides, registry=registry)
    return study, json.loads((study.directory / "summary.json").read_text())


def test_a_study_with_an_eager_pruner_says_what_it_saved(tmp_path: Path) -> None:
    study, summary = explored(tmp_path, *EAGER)
    stopped = [row for row in summary["history"] if row["state"] == "stopped"]
    complete = [row for row in summary["history"] if row["state"] == "complete" and row["origin"] == "search"]
    assert stopped
    assert complete
    assert summary["trials"]["stopped"] == summary["pruning"]["stopped"] == len(stopped)
    for row in stopped:
        assert row["stopped_at"] == 0.6
        assert row["error"].startswith("stopped at 60 % of the flash run")
        assert row["trial"] not in summary["pareto"]
        assert row["metrics"][ACCURACY]["value"] is not None  # at the rung
    saved = summary["pruning"]
    assert saved["examples"] == len(stopped) * 64  # five steps of 32 examples, of which three were taken
    assert summary["cost"]["explore"]["examples"] == 160 * len(complete) + 96 * len(stopped)
    assert saved["share_of_examples"] == pytest.approx(saved["examples"] / (960))
    assert summary["flash_spread"]["n"] == len(complete)
    assert all(row["flash"] is not None for row in summary["picks"])
    assert not {row["trial"] for row in summary["picks"]} & {row["trial"] for row in stopped}
    history = study.history()
    assert [len(curve) for curve, state in zip(history.curves, history.states, strict=True) if state == "stopped"] == [
        1
    ] * len(stopped)


@pytest.mark.slow
def test_a_study_with_extrapolated_curves_runs_to_its_end(tmp_path: Path) -> None:
    more = ("pruner=learning_curve", "pruner.rungs=[0.4,0.8]", "pruner.min_trials=3", "pruner.confidence=0.51")
    _, summary = explored(tmp_path, *more)
    assert summary["trials"]["complete"] + summary["trials"]["stopped"] == 6
    assert summary["trials"]["complete"] >= 3
    assert summary["picks"][0]["final"] is not None


@pytest.mark.slow
def test_a_study_killed_after_a_trial_was_stopped_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    slow = ("budget.trials=6", "schedule.examples=1920", "schedule.batch_size=8", "trainer.checkpoint_every_steps=5")
    overrides = tiny_study(tmp_path, "picks.max=1", *slow, *EAGER)
    whole, killed = tmp_path / "whole" / "outputs", tmp_path / "killed" / "outputs"
    for output in (whole, killed):
        output.mkdir(parents=True)
    finish(replaced(overrides, f"output_dir={whole}"))
    assert any(run["state"] == "stopped" for run in read(whole, "runs"))
    mine = replaced(overrides, f"output_dir={killed}")

    def stopped_and_on_with_the_next() -> bool:
        stopped = any(run["state"] == "stopped" for run in read(killed, "runs"))
        return stopped and (in_a_run(killed, "flash")() or in_a_run(killed, "full")())

    assert stop_at(stopped_and_on_with_the_next, mine, tmp_path / "log", signal.SIGKILL) == -signal.SIGKILL
    finish(mine)
    same_apart_from_times(killed, whole)
    assert open_study("study", output_dir=killed).summary()["trials"]["stopped"] > 0
