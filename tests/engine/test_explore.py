"""How a search ends: never in silence where nothing could be trained."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_studies import architecture, tiny_study

import autodistill
from autodistill.cli import main
from autodistill.components.latency import LatencySubject
from autodistill.engine import explore, runner
from autodistill.engine.explore import MAX_FAILED, is_hopeless
from autodistill.hookspecs import hookimpl
from autodistill.latency.replay import ReplayLatency
from autodistill.plugin_manager import Provider
from autodistill.registry import Registry


def test_a_search_that_could_train_nothing_is_an_error_and_trains_no_baselines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tiny_study(tmp_path, "study.name=lost", "baseline=[teacher_truncated]")
    time_only(tmp_path, {"a": 1})  # an architecture of another space
    assert main(["run", *given]) == 1
    error = capsys.readouterr().err
    assert "The search ended before a single trial could be trained. Every feasible architecture" in error
    assert "`autodistill report study.name=lost` shows what was tried" in error
    output = next(item for item in given if item.startswith("output_dir="))
    assert main(["report", "study.name=lost", output]) == 0
    summary = json.loads(next(tmp_path.rglob("summary.json")).read_text())
    assert {row["state"] for row in summary["history"]} == {"failed"}
    assert summary["baselines"] == []


@pytest.mark.parametrize(
    ("trained", "failed", "streak"),
    [
        (0, 0, 3),  # nothing could be trained yet
        (0, 40, 3),
        (1, 0, 5),  # a third to the fifth is the first power below 0.01
        (3, 0, 3),
        (100, 0, 3),
        (1, 1, 7),  # half of the space cannot be trained
        (20, 20, 7),
        (2, 6, 13),  # 7 of 10
    ],
)
def test_a_study_ends_with_the_first_failure_in_a_row_that_is_no_chance(trained: int, failed: int, streak: int) -> None:
    assert [is_hopeless(count, trained, failed) for count in range(1, streak + 2)] == [False] * (streak - 1) + [
        True
    ] * 2


@given(st.integers(1, 50), st.integers(0, 50), st.integers(0, 50))
def test_failures_before_make_those_in_a_row_more_plausible(trained: int, failed: int, streak: int) -> None:
    if is_hopeless(streak, trained, failed + 1):
        assert is_hopeless(streak, trained, failed)
    if is_hopeless(streak, trained, failed):
        assert streak >= MAX_FAILED
        assert is_hopeless(streak, trained + 1, failed)
        assert is_hopeless(streak + 1, trained, failed)


REAL_DISTIL = runner.distil


def only_trained(monkeypatch: pytest.MonkeyPatch, *good: int) -> None:
    """From now on, let all trainings fail but these, counted from 0."""
    count = itertools.count()

    def distil(request: Any) -> Any:
        if next(count) not in good:
            raise ValueError("cannot be trained.")
        return REAL_DISTIL(request)

    monkeypatch.setattr(runner, "distil", distil)


def states_of(directory: Path, *overrides: str) -> list[str]:
    """State of every trial, in the order of proposals."""
    assert main(["report", "study.name=study", *(item for item in overrides if item.startswith("output_dir="))]) == 0
    summary = json.loads(next(directory.rglob("summary.json")).read_text())
    return [row["state"] for row in summary["history"]]


def test_a_search_goes_on_after_failures_in_a_row_that_may_be_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_trained(monkeypatch, 0, 5)
    given = tiny_study(tmp_path, "study.name=study", "budget.trials=6")
    assert main(["explore", *given]) == 0
    assert states_of(tmp_path, *given) == ["complete", *["failed"] * 4, "complete"]


def test_failures_in_a_row_of_a_resumed_search_are_judged_by_the_trials_of_earlier_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tiny_study(tmp_path, "study.name=study", "student.space.num_layers=[1]")
    given.append(f"student.space.intermediate_size={[16 * rank for rank in range(1, 11)]}".replace(" ", ""))
    only_trained(monkeypatch, 1)
    assert main(["explore", *given, "budget.trials=2"]) == 0
    only_trained(monkeypatch)
    assert main(["explore", *given, "budget.trials=10"]) == 1
    error = capsys.readouterr().err
    assert (
        "7 trials in a row failed (before them: 1 trained, 1 failed), the last one being trial 8: "
        "ValueError: cannot be trained. The log is in "
    ) in error
    assert main(["explore", *given, "budget.trials=10"]) == 1  # what ended the last process goes on
    assert "8 trials in a row failed (before them: 1 trained, 1 failed), the last one being trial 9" in (
        capsys.readouterr().err
    )
    assert states_of(tmp_path, *given) == ["failed", "complete", *["failed"] * 8]


def test_a_search_ends_with_the_third_failure_where_nothing_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    only_trained(monkeypatch)
    given = tiny_study(tmp_path, "study.name=study", "budget.trials=6")
    assert main(["explore", *given]) == 1
    assert "3 trials in a row failed (before them: 0 trained, 0 failed), the last one being trial 2" in (
        capsys.readouterr().err
    )
    assert states_of(tmp_path, *given) == ["failed"] * 3


def begun_with_smallest(directory: Path, *more: str) -> list[str]:
    """A study whose first trial is the smallest architecture."""
    first = "first_trials=[{num_layers: 1, hidden_size: 32, num_heads: 4, intermediate_size: 16}]"
    return tiny_study(directory, "study.name=study", "baseline=[]", "reference=[]", first, *more)


def time_only(directory: Path, choices: Mapping[str, Any]) -> None:
    """Let the file of latencies know one architecture, and the teacher; all others cannot be timed."""
    path = directory / "latencies.json"
    content = json.loads(path.read_text())
    del content["default"]
    known = {"family": "bert", "choices": dict(choices)}
    content["measurements"] = [{**content["measurements"][0], "architecture": known}]
    path.write_text(json.dumps(content))


def test_a_search_that_finds_nothing_more_goes_on_with_what_it_has_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(explore, "MAX_FRUITLESS", 2)
    given = begun_with_smallest(tmp_path, "budget.trials=4")
    time_only(tmp_path, architecture(1, 16).choices)
    ended = ["complete", "failed", "failed"]
    assert main(["run", *given]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "2 proposals in a row were infeasible or could not be timed" in said
    assert "takes a new study.name" in said
    assert states_of(tmp_path, *given) == ended
    summary = json.loads(next(tmp_path.rglob("summary.json")).read_text())
    assert [pick["trial"] for pick in summary["picks"]] == [0]
    assert main(["run", *given]) == 0  # does not time as many again
    assert states_of(tmp_path, *given) == ended
    assert main(["run", *given, "budget.trials=5"]) == 0  # which asks for more
    assert states_of(tmp_path, *given) == [*ended, "failed", "failed"]


def test_a_search_that_finds_nothing_to_train_ends_and_says_that_another_study_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(explore, "MAX_FRUITLESS", 2)
    given = begun_with_smallest(tmp_path)
    time_only(tmp_path, {"a": 1})
    assert main(["explore", *given]) == 1
    error = capsys.readouterr().err
    assert "2 proposals in a row were infeasible or could not be timed" in error
    assert "To loosen constraints or widen student.space takes a new study.name." in error


class Observer:
    """Remembers the trials that failed."""

    def __init__(self) -> None:
        self.failed: list[tuple[int, str, str]] = []

    @hookimpl
    def autodistill_on_trial_error(self, study: str, trial: int, run: str, error: BaseException) -> None:
        self.failed.append((trial, run, str(error)))


def test_an_architecture_that_crashes_a_backend_fails_its_trial_and_does_not_block_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_registry: Registry
) -> None:
    observer = Observer()
    fresh_registry.manager.register(observer, Provider("autodistill-watcher", "1.5", "watcher"))
    real = ReplayLatency.measure

    def measure(self: ReplayLatency, subject: LatencySubject) -> Any:
        if subject.architecture == architecture(1, 16):
            raise ZeroDivisionError("no such kernel")
        return real(self, subject)

    monkeypatch.setattr(ReplayLatency, "measure", measure)
    given = begun_with_smallest(tmp_path, "budget.trials=2")
    autodistill.run(autodistill.compose(given, fresh_registry), registry=fresh_registry, explore_only=True)
    assert states_of(tmp_path, *given) == ["failed", "complete", "complete"]
    assert observer.failed == [(0, "flash", "no such kernel")]


def test_a_backend_that_crashes_for_every_architecture_ends_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = ReplayLatency.measure

    def measure(self: ReplayLatency, subject: LatencySubject) -> Any:
        if subject.architecture is not None:
            raise ZeroDivisionError("no such kernel")
        return real(self, subject)

    monkeypatch.setattr(ReplayLatency, "measure", measure)
    given = begun_with_smallest(tmp_path)
    assert main(["explore", *given]) == 1
    error = capsys.readouterr().err
    assert "3 trials in a row could not be timed for reasons that nobody foresaw (0 were trained so far)" in error
    assert "ZeroDivisionError: no such kernel latency.replay (the latency backend 'replay' of autodistill" in error
    assert "Traceback" not in error
    assert states_of(tmp_path, *given) == ["failed"] * 3
