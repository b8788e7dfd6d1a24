"""Several processes that run one study: one of them trains in full and compares, the others wait and report."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from tiny_studies import command, environment, tiny_study

import autodistill
from autodistill.cli import main
from autodistill.components.outcome import Job, JobResult
from autodistill.engine import runner
from autodistill.engine.run import FINISHED, FINISHING, _asked
from autodistill.engine.runner import Runner
from autodistill.engine.storage import Storage
from autodistill.errors import StudyInterruptedError, TrialError
from autodistill.folders import locked
from autodistill.report.progress import QuietProgress


class Waiting(QuietProgress):
    """Counts how often it is told that another process is waited for; the first time it calls ``then``."""

    def __init__(self, then: Callable[[], object]) -> None:
        self.then = then
        self.told = 0

    def message(self, text: str) -> None:
        if "this one waits for it" in text:
            self.told += 1
            self.then()


def run_beside(directory: Path, then: Callable[[Storage, int, str, ExitStack], object]) -> tuple[list[int], Waiting]:
    """Run a study that another process is finishing; ``then`` is what that one does once it is waited for.

    Returns:
        Trials that were trained in full here, and what was told.
    """
    given = tiny_study(directory, "study.name=shared", "budget.trials=1", "baseline=[]", "reference=[]", "export=[]")
    settings = autodistill.compose(given)
    study = autodistill.run(settings, overrides=given, explore_only=True)
    with Storage(settings.storage_url) as storage, ExitStack() as other:
        number = storage.get_study("shared").id
        other.enter_context(locked(study.directory / FINISHING))
        progress = Waiting(lambda: then(storage, number, _asked(settings), other))
        autodistill.run(settings, overrides=given, progress=progress)
        return [run.trial for run in storage.runs(number) if run.kind == "full"], progress


def test_who_waited_for_a_process_that_finished_the_study_does_nothing_of_it_again(tmp_path: Path) -> None:
    def finish(storage: Storage, study: int, asked: str, other: ExitStack) -> None:
        storage.replace_step(study, FINISHED, {"asked": asked, "by": "another"})
        other.close()

    trained, progress = run_beside(tmp_path, finish)
    assert trained == []
    assert progress.told == 1
    assert next(tmp_path.rglob("report.html")).is_file()


def test_what_a_killed_process_left_is_finished_by_one_that_waited(tmp_path: Path) -> None:
    trained, progress = run_beside(tmp_path, lambda storage, study, asked, other: other.close())
    assert trained == [0]
    assert progress.told == 1


def test_who_asks_for_something_else_than_was_finished_does_it(tmp_path: Path) -> None:
    def finish(storage: Storage, study: int, asked: str, other: ExitStack) -> None:
        storage.replace_step(study, FINISHED, {"asked": "another baseline", "by": "another"})
        other.close()

    assert run_beside(tmp_path, finish)[0] == [0]


def test_where_all_failed_who_waited_fails_alike_and_the_next_one_tries_again(tmp_path: Path) -> None:
    def fail(storage: Storage, study: int, asked: str, other: ExitStack) -> None:
        storage.replace_step(study, FINISHED, {"asked": asked, "by": "another", "error": "Every full run failed."})
        other.close()

    with pytest.raises(TrialError, match="Every full run failed"):
        run_beside(tmp_path, fail)
    given = tiny_study(tmp_path, "study.name=shared", "budget.trials=1", "baseline=[]", "reference=[]", "export=[]")
    autodistill.run(autodistill.compose(given), overrides=given)
    with Storage(f"sqlite:///{next(tmp_path.rglob('studies.db'))}") as storage:
        assert "error" not in storage.step(storage.get_study("shared").id, FINISHED)


def test_who_waits_can_be_stopped(tmp_path: Path) -> None:
    with pytest.raises(StudyInterruptedError, match=r"autodistill run study\.name=shared"):
        run_beside(tmp_path, lambda *_: os.kill(os.getpid(), signal.SIGINT))


@pytest.mark.slow
def test_two_processes_that_run_one_study_finish_it_once(tmp_path: Path) -> None:
    given = tiny_study(tmp_path, "study.name=shared", "budget.trials=2", "export=[huggingface,onnx]")
    given += ["baseline=[teacher_truncated]", "reference=[tfidf_linear,teacher_int8]"]
    both = [
        subprocess.Popen(command("run", *given), env=environment(), stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    errors = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    with Storage(f"sqlite:///{next(tmp_path.rglob('studies.db'))}") as storage:
        study = storage.get_study("shared").id
        picks = storage.step(study, "picks_frozen")["trials"]
        assert {run.attempt for run in storage.runs(study)} == {1}
        assert storage.waste(study) == []
        names = [f"export:{number}:{label}" for number in picks for label in ("huggingface", "onnx")]
        names += ["reference:tfidf_linear", "reference:teacher_int8"]
        steps = {name: storage.step(study, name) for name in names}
    assert len(picks) == 1
    assert [name for name, step in steps.items() if "error" in step or "left_out" in step] == []


def test_a_full_run_that_fails_elsewhere_is_not_tried_again_by_who_waited_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited, real = threading.Event(), Runner._ended

    def ended(self: Runner, job: Job) -> JobResult | None:
        found = real(self, job)
        waited.set()
        return found

    monkeypatch.setattr(Runner, "_ended", ended)
    monkeypatch.setattr(runner, "_WAIT_SECONDS", 0.01)
    given = tiny_study(tmp_path, "study.name=shared", "budget.trials=1")
    assert main(["explore", *given]) == 0
    with Storage(f"sqlite:///{next(tmp_path.rglob('studies.db'))}") as storage:
        study = storage.get_study("shared").id
        run = storage.lease_run(study, 0, "full", "another machine", 600)
        assert run is not None

        def fail() -> None:
            waited.wait(300)
            storage.finish_run(run, state="failed", error="no memory")

        other = threading.Thread(target=fail)
        other.start()
        assert main(["distill", *given, "trial=0"]) == 1
        other.join()
        [full] = [item for item in storage.runs(study) if item.kind == "full"]
    assert (full.state, full.attempt, full.error) == ("failed", 1, "no memory")
