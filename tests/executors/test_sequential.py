from __future__ import annotations

import pytest

from autodistill.components.outcome import Executor, ExecutorContext, Job, JobResult
from autodistill.executors.sequential import SequentialExecutor


def make(done: list[int]) -> Executor:
    def work(job: Job) -> JobResult:
        done.append(job.trial)
        return JobResult(job, "failed" if job.trial == 1 else "complete", "diverged" if job.trial == 1 else None)

    return SequentialExecutor(ExecutorContext(work))


def job(trial: int) -> Job:
    return Job("demo", trial, "flash")


def test_jobs_run_one_after_the_other_when_they_are_waited_for() -> None:
    done: list[int] = []
    executor = make(done)
    assert executor.capacity == 1
    for trial in range(3):
        executor.submit(job(trial))
        assert done == list(range(trial))
        result = executor.wait()
        assert (result.job, result.state) == (job(trial), "failed" if trial == 1 else "complete")
    assert done == [0, 1, 2]


def test_more_than_one_job_under_way_is_refused() -> None:
    executor = make([])
    executor.submit(job(0))
    with pytest.raises(RuntimeError, match="one job at a time and has Job"):
        executor.submit(job(1))


def test_waiting_for_nothing_is_refused() -> None:
    with pytest.raises(RuntimeError, match="no job to wait for"):
        make([]).wait()


def test_an_interrupt_reaches_the_caller_and_the_executor_can_go_on() -> None:
    def interrupted(job: Job) -> JobResult:
        raise KeyboardInterrupt

    executor = SequentialExecutor(ExecutorContext(interrupted))
    executor.submit(job(0))
    with pytest.raises(KeyboardInterrupt):
        executor.wait()
    executor.submit(job(1))


def test_closing_forgets_a_job_that_was_not_run() -> None:
    done: list[int] = []
    executor = make(done)
    executor.submit(job(0))
    executor.close()
    executor.close()
    executor.submit(job(1))
    executor.wait()
    assert done == [1]
