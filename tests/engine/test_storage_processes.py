from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autodistill.components.architecture import Architecture
from autodistill.engine.storage import Storage

#: Adds trials and finishes their runs; prints a line only after the storage acknowledged the write.
WRITER = """
import sys
from autodistill.components.architecture import Architecture
from autodistill.engine.storage import Storage

storage = Storage(sys.argv[1])
study = storage.find_study("demo")
print("ready", flush=True)
while True:
    replicate = len(storage.trials(study.id))
    trial = storage.add_trial(study.id, Architecture("bert", {"layers": 2}), replicate=replicate, origin="search",
                              label=None, in_space=True, note={"text": "x" * 2000}, seed=replicate)
    print("asked", trial.number, flush=True)
    run = storage.lease_run(study.id, trial.number, "flash", "writer", 60)
    score = {"accuracy": {"value": trial.number / 7, "variance": None, "split": "select"}}
    storage.finish_run(run, state="complete", metrics=score, trial_state="complete")
    print("told", trial.number, flush=True)
"""

#: Waits for a line, then leases every run it can get and prints the trials.
RACER = """
import sys
from autodistill.engine.storage import Storage

storage = Storage(sys.argv[1])
study = storage.find_study("race")
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    run = storage.lease_run(study.id, number, "flash", sys.argv[2], 600)
    if run is not None:
        print(number, flush=True)
"""

#: Opens a storage that does not exist yet and adds trials and steps.
OPENER = """
import sys
from autodistill.components.architecture import Architecture
from autodistill.engine.storage import Storage
from autodistill.errors import StudyError

sys.stdin.readline()
storage = Storage(sys.argv[1])
try:
    storage.create_study("shared", {}, {}, {}, {})
except StudyError:
    pass
study = storage.get_study("shared")
for replicate in range(5):
    storage.add_trial(study.id, Architecture(sys.argv[2], {}), replicate=replicate, origin="search", label=None,
                      in_space=True, note=None, seed=0)
    storage.update_trial(study.id, storage.trials(study.id)[-1].number, began_training=True)
print(storage.set_step(study.id, "winner", sys.argv[2]))
"""

#: Does everything that a study does, with leases that run out at once; prints how many results were acknowledged.
WORKER = """
import random
import sys
import time
from autodistill.components.architecture import Architecture
from autodistill.engine.storage import Storage

storage = Storage(sys.argv[1])
study_id = storage.get_study("mixed").id
generator = random.Random(sys.argv[2])
finished = 0
sys.stdin.readline()
for step in range(20):
    storage.add_trial(study_id, Architecture(sys.argv[2], {"step": step}), replicate=0, origin="search", label=None,
                      in_space=True, note=None, seed=0)
    number = generator.choice(storage.trials(study_id)[-5:]).number
    run = storage.lease_run(study_id, number, "flash", sys.argv[2], generator.choice([0.001, 5]))
    if run is not None:
        storage.report_rung(study_id, number, "flash", 0, 0.5, {"accuracy": 0.5})
        time.sleep(generator.choice([0, 0.01]))
        storage.renew(run, 0.005)
        finished += storage.finish_run(run, state="complete", trial_state="complete")
    storage.update_trial(study_id, number, known={"size.parameters": 1.0})
    storage.replace_step(study_id, "last", number)
    storage.add_seconds(study_id, "explore", 1.0)
print(finished)
"""


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", script, *arguments], stdin=pipe, stdout=pipe, text=True)


def run_together(processes: list[subprocess.Popen[str]]) -> list[list[str]]:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=300)[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return outputs


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_process_loses_nothing_that_was_acknowledged(storage_url: str, seed: int, tmp_path: Path) -> None:
    with Storage(storage_url) as storage:
        study_id = storage.create_study("demo", {}, {}, {}, {}).id
    asked, told = write_and_kill(storage_url, random.Random(seed).uniform(0, 0.3))

    with Storage(storage_url) as storage:
        storage.add_seconds(study_id, "after", 1.0)
        storage.update_study(study_id, config={})  # waits for what a server may still be committing
        trials = {trial.number: trial for trial in storage.trials(study_id)}
        scores = {run.trial: run.metrics for run in storage.runs(study_id) if run.state == "complete"}
    assert asked <= set(trials)
    assert all(trials[number].note == {"text": "x" * 2000} for number in asked)
    assert all(scores[number]["accuracy"]["value"] == number / 7 for number in told)
    # A result and the state of its trial were one transaction.
    assert {number for number, trial in trials.items() if trial.state == "complete"} == set(scores)
    if storage_url.startswith("sqlite"):
        with sqlite3.connect(tmp_path / "studies.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def write_and_kill(url: str, delay: float) -> tuple[set[int], set[int]]:
    """Kill a writer ``delay`` seconds after its first result; the numbers it acknowledged as asked and as told."""
    writer = start(WRITER, url)
    assert writer.stdout is not None
    lines: list[str] = []
    while not lines or not lines[-1].startswith("told"):
        lines.append(writer.stdout.readline())
    time.sleep(delay)
    writer.send_signal(signal.SIGKILL)
    lines += writer.communicate()[0].splitlines()
    seen = [line.split() for line in lines if line.strip() != "ready"]
    return numbers(seen, "asked"), numbers(seen, "told")


def numbers(lines: list[list[str]], word: str) -> set[int]:
    return {int(line[1]) for line in lines if line[0] == word}


def test_two_processes_never_hold_one_run(storage_url: str) -> None:
    count = 20
    with Storage(storage_url) as storage:
        study_id = storage.create_study("race", {}, {}, {}, {}).id
        for replicate in range(count):
            storage.add_trial(
                study_id,
                Architecture("bert", {}),
                replicate=replicate,
                origin="search",
                label=None,
                in_space=True,
                note=None,
                seed=0,
            )
    racers = [start(RACER, storage_url, owner, str(count)) for owner in "ab"]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    first, second = run_together(racers)
    assert sorted(map(int, first + second)) == list(range(count))
    with Storage(storage_url) as storage:
        owners = {run.trial: run.owner for run in storage.runs(study_id)}
    assert [owners[int(number)] for number in first + second] == ["a"] * len(first) + ["b"] * len(second)


def test_processes_that_start_together_create_one_storage_and_share_it(storage_url: str) -> None:
    names = ["a", "b", "c"]
    winners = run_together([start(OPENER, storage_url, name) for name in names])
    assert winners[0] == winners[1] == winners[2]
    with Storage(storage_url) as storage:
        [study] = storage.studies()
        trials = storage.trials(study.id)
    assert [trial.number for trial in trials] == list(range(15))
    assert {(trial.architecture.family, trial.replicate) for trial in trials} == {
        (name, replicate) for name in names for replicate in range(5)
    }


def test_processes_that_do_everything_at_once_neither_block_nor_lose_anything(storage_url: str) -> None:
    with Storage(storage_url) as storage:
        study_id = storage.create_study("mixed", {}, {}, {}, {}).id
    outputs = run_together([start(WORKER, storage_url, name) for name in "ab"])
    with Storage(storage_url) as storage:
        complete = [run.trial for run in storage.runs(study_id) if run.state == "complete"]
        trials = storage.trials(study_id)
        assert storage.seconds(study_id) == {"explore": 40.0}
    assert len(complete) == sum(int(lines[0]) for lines in outputs) > 0
    assert [trial.number for trial in trials] == list(range(40))
    assert sorted(trial.told for trial in trials if trial.told is not None) == list(range(len(complete)))
    assert {trial.number for trial in trials if trial.state == "complete"} == set(complete)
