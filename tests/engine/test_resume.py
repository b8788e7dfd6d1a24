"""A study that is killed at any moment goes on from there, and ends as if nothing had happened."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tiny_studies import command, environment, replaced, timeless, tiny_study, weights

import autodistill
from autodistill.engine.explore_clock import BUDGET_STAGE

#: Seconds that a child process may take until it is where a test wants it; a start takes ten on a busy machine.
PATIENCE = 600.0

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A study whose runs take long enough to be hit: many small steps, a checkpoint every few."""
    slow = ("schedule.examples=2560", "schedule.batch_size=8", "trainer.checkpoint_every_steps=5")
    return tiny_study(tmp_path_factory.mktemp("resume"), "picks.max=1", *slow)


def start(overrides: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(command("run", *overrides), stdout=file, stderr=file, env=environment())


def finish(overrides: Sequence[str]) -> None:
    """Run the study to its end in this process, which has imported everything already."""
    autodistill.run(autodistill.compose(overrides), overrides=overrides)


def read(output: Path, table: str) -> Rows:
    """The rows of a table, none while there is no such table."""
    path = output / "studies.db"
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(f"select * from autodistill_{table}")]
        except sqlite3.OperationalError:
            return []


def wait_until(reached: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + PATIENCE
    while not reached():
        assert process.poll() is None, f"it ended too early:\n{log.read_text()[-3000:]}"
        assert time.monotonic() < ends, f"it never got there:\n{log.read_text()[-3000:]}"
        time.sleep(0.005)


def stop_at(reached: Callable[[], bool], overrides: Sequence[str], log: Path, number: signal.Signals) -> int:
    """Start the study, send it a signal as soon as ``reached``, and return its exit code."""
    process = start(overrides, log)
    try:
        wait_until(reached, process, log)
        process.send_signal(number)
        return process.wait(PATIENCE)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def in_a_run(output: Path, kind: str) -> Callable[[], bool]:
    """True once a run of this kind has written a checkpoint and has not ended."""

    def reached() -> bool:
        runs = [run for run in read(output, "runs") if run["kind"] == kind and run["state"] == "leased"]
        return any([*(output / "study" / "trials" / str(run["trial"]) / "checkpoint" / kind).glob("*")] for run in runs)

    return reached


def finished_runs(output: Path) -> Rows:
    return [run for run in read(output, "runs") if run["state"] == "complete"]


@pytest.fixture(scope="module")
def uninterrupted(overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("uninterrupted") / "outputs"
    finish(replaced(overrides, f"output_dir={output}"))
    return output


def summary_of(output: Path) -> dict[str, Any]:
    return json.loads((output / "study" / "summary.json").read_text())  # type: ignore[no-any-return]


def same_apart_from_times(interrupted: Path, uninterrupted: Path) -> None:
    assert weights(interrupted / "study") == weights(uninterrupted / "study")
    found, expected = timeless(summary_of(interrupted)), timeless(summary_of(uninterrupted))
    for key in expected:
        assert found[key] == expected[key], key
    assert found.keys() == expected.keys()


@pytest.mark.slow
def test_a_study_killed_in_the_teacher_in_flash_and_in_a_full_run_ends_as_if_it_had_not_been(
    overrides: list[str], uninterrupted: Path, tmp_path: Path
) -> None:
    output, log = tmp_path / "outputs", tmp_path / "log"
    mine = replaced(overrides, f"output_dir={output}")

    def in_the_teacher() -> bool:
        return any((output / "cache" / "teachers").glob(".*.partial"))

    kept: Rows = []
    for reached in (in_the_teacher, in_a_run(output, "flash"), in_a_run(output, "full")):
        assert stop_at(reached, mine, log, signal.SIGKILL) == -signal.SIGKILL
        now = finished_runs(output)
        assert now[: len(kept)] == kept  # what was finished before is as it was, token and values
        kept = now
    finish(mine)
    runs = finished_runs(output)
    assert [run for run in runs if run["id"] in {item["id"] for item in kept}] == kept
    trials = read(output, "trials")
    assert len({(trial["digest"], trial["origin"]) for trial in trials}) == len(trials)
    assert sum(trial["origin"] == "search" and trial["state"] == "complete" for trial in trials) == 3
    assert len({(run["trial"], run["kind"]) for run in runs}) == len(runs) == len(read(output, "runs"))
    assert summary_of(output)["waste"] == 0  # the dead process's leases were given back, nothing was done twice
    same_apart_from_times(output, uninterrupted)


@pytest.mark.slow
def test_the_hours_of_a_search_hold_what_a_killed_process_spent(overrides: list[str], tmp_path: Path) -> None:
    output, log = tmp_path / "outputs", tmp_path / "log"
    mine = replaced(overrides, f"output_dir={output}", "budget.trials=6")

    def in_the_second_run() -> bool:
        return len(read(output, "runs")) == 2

    assert stop_at(in_the_second_run, mine, log, signal.SIGKILL) == -signal.SIGKILL
    spent = sum(row["seconds"] for row in read(output, "seconds") if row["stage"] == BUDGET_STAGE)
    assert spent > 0
    finish([*mine, f"budget.hours={spent / 3600:.12f}"])
    searched = [trial for trial in read(output, "trials") if trial["origin"] == "search"]
    assert len(searched) == 2  # the one under way was ended, no third was begun


@pytest.mark.slow
def test_an_interrupted_study_says_how_to_go_on_and_that_works(
    overrides: list[str], uninterrupted: Path, tmp_path: Path
) -> None:
    output, log = tmp_path / "outputs", tmp_path / "log"
    mine = replaced(overrides, f"output_dir={output}")
    assert stop_at(in_a_run(output, "flash"), mine, log, signal.SIGINT) == 130
    told = log.read_text()
    assert "Traceback" not in told
    how = f"Go on with: autodistill run study.name=study output_dir={output}"
    assert told.count(how) == 1
    assert [run["state"] for run in read(output, "runs") if run["state"] != "complete"] == ["leased"]
    code = start(["study.name=study", f"output_dir={output}"], log).wait(PATIENCE)  # what the message says
    assert code == 0, log.read_text()[-3000:]
    same_apart_from_times(output, uninterrupted)
