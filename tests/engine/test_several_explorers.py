"""Several processes that explore one study: each trial is asked, timed and trained by one of them."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_studies import architecture, command, environment, tiny_study

from autodistill.cli import main
from autodistill.components.search import Proposal
from autodistill.engine import explore
from autodistill.engine.explore import Explorer
from autodistill.engine.records import RunRecord, TrialRecord
from autodistill.engine.storage import Storage


def storage_of(directory: Path) -> Storage:
    return Storage(f"sqlite:///{next(directory.rglob('studies.db'))}")


def test_two_processes_share_the_budget_and_the_space(tmp_path: Path) -> None:
    given = tiny_study(tmp_path, "study.name=shared", "search=botorch", "search.max_replicates=1", "budget.trials=5")
    assert main(["explore", *given, "budget.trials=1"]) == 0
    both = [
        subprocess.Popen(command("explore", *given), env=environment(), stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    with storage_of(tmp_path) as storage:
        study = storage.get_study("shared")
        trials = storage.trials(study.id)
        assert [trial.state for trial in trials] == ["complete"] * 5
        assert len({trial.architecture for trial in trials}) == 5
        assert storage.waste(study.id) == []


def test_a_study_that_another_process_makes_at_the_same_moment_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Storage.create_study

    def create_study(self: Storage, *args: Any) -> Any:
        real(self, *args)  # the other process, a moment earlier
        return real(self, *args)

    monkeypatch.setattr(Storage, "create_study", create_study)
    assert main(["explore", *tiny_study(tmp_path, "study.name=shared", "budget.trials=1")]) == 0
    with storage_of(tmp_path) as storage:
        assert [trial.state for trial in storage.trials(storage.get_study("shared").id)] == ["complete"]


def test_a_proposal_is_made_anew_when_another_process_asked_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = Explorer._add, list[TrialRecord]()

    def add(self: Explorer, proposal: Proposal, trials: Any) -> Any:
        if not asked:  # the other process, a moment earlier
            asked.append(real(self, proposal, trials))
        return real(self, proposal, trials)

    monkeypatch.setattr(Explorer, "_add", add)
    assert main(["explore", *tiny_study(tmp_path, "study.name=shared", "budget.trials=2")]) == 0
    with storage_of(tmp_path) as storage:
        trials = storage.trials(storage.get_study("shared").id)
    assert [(trial.replicate, trial.state) for trial in trials] == [(0, "complete")] * 2  # the first is taken up
    assert trials[0].architecture != trials[1].architecture


SCORE = {"classification.accuracy": {"value": 0.125, "variance": 0.01, "split": "select"}}


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a trial was seen that another process works at."""
    event, real = threading.Event(), Explorer._screen

    def screen(self: Explorer, trial: TrialRecord) -> bool | None:
        found = real(self, trial)
        if found is None:
            event.set()
        return found

    monkeypatch.setattr(Explorer, "_screen", screen)
    monkeypatch.setattr(explore, "WAIT_SECONDS", 0.01)
    return event


def explore_beside(
    directory: Path, waited: threading.Event, end: Callable[[Storage, int, RunRecord], object]
) -> tuple[list[str], list[RunRecord]]:
    """Explore two trials, the second of which another machine works at until ``end`` is called, once it is waited for.

    Returns:
        The states of all trials, and the runs of that one.
    """
    given = tiny_study(directory, "study.name=shared")
    assert main(["explore", *given, "budget.trials=1"]) == 0
    with storage_of(directory) as storage:
        study = storage.get_study("shared").id
        [first] = storage.trials(study)
        new = next(item for item in (architecture(1, 16), architecture(2, 16)) if item != first.architecture)
        trial = storage.add_trial(
            study, new, replicate=0, origin="search", label=None, in_space=True, note=None, seed=7
        )
        run = storage.lease_run(study, trial.number, "flash", "another machine", 600)
        assert run is not None
        other = threading.Thread(target=lambda: (waited.wait(300), end(storage, study, run)))
        other.start()
        assert main(["explore", *given, "budget.trials=2"]) == 0
        other.join()
        states = [item.state for item in storage.trials(study)]
        return list(states), [item for item in storage.runs(study) if item.trial == run.trial]


def test_what_another_process_trains_is_waited_for_and_not_done_again(tmp_path: Path, waited: threading.Event) -> None:
    def end(storage: Storage, study: int, run: RunRecord) -> None:
        storage.update_trial(study, run.trial, began_training=True)
        storage.finish_run(run, state="complete", metrics=SCORE, trial_state="complete")

    states, runs = explore_beside(tmp_path, waited, end)
    assert states == ["complete"] * 2
    assert [(item.attempt, item.metrics) for item in runs] == [(1, SCORE)]


def test_one_that_turns_out_to_be_infeasible_elsewhere_leaves_its_place_in_the_budget(
    tmp_path: Path, waited: threading.Event
) -> None:
    def end(storage: Storage, study: int, run: RunRecord) -> None:
        storage.update_trial(study, run.trial, state="infeasible", error="too slow")
        storage.withdraw_run(run)

    states, _ = explore_beside(tmp_path, waited, end)
    assert states == ["complete", "infeasible", "complete"]


def test_who_has_lost_the_lease_while_screening_does_not_end_the_trial_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waited: threading.Event
) -> None:
    given = tiny_study(tmp_path, "study.name=shared", "budget.trials=1")

    def screening(self: Explorer, trial: TrialRecord) -> dict[str, Any]:
        storage, study = self.session.storage, self.session.study.id
        [own] = storage.runs(study)
        storage.release_run(own)  # as if it had expired
        run = storage.lease_run(study, trial.number, "flash", "another machine", 600)
        assert run is not None
        storage.update_trial(study, trial.number, began_training=True)
        storage.finish_run(run, state="complete", metrics=SCORE, trial_state="complete")
        return {"state": "infeasible", "error": "too slow"}

    monkeypatch.setattr(Explorer, "_screening", screening)
    assert main(["explore", *given]) == 0
    with storage_of(tmp_path) as storage:
        assert [trial.state for trial in storage.trials(storage.get_study("shared").id)] == ["complete"]


def test_a_trial_that_ends_before_training_leaves_no_run(tmp_path: Path) -> None:
    given = tiny_study(tmp_path, "study.name=shared", "budget.trials=6")
    given.append("+constraints.latency={metric: replay.p50_ms, sense: '<=', bound: 5.0}")
    assert main(["explore", *given]) == 0
    with storage_of(tmp_path) as storage:
        study = storage.get_study("shared").id
        trials, history = storage.seen(study)
        ended = {trial.number for trial in trials if trial.state == "infeasible"}
        assert {run.trial for run in storage.runs(study)} == {trial.number for trial in trials} - ended
    assert len(history) == len(trials)
