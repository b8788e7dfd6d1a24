"""Runs the parts of a benchmark in several processes: each as soon as what it needs is done."""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Job:
    """One part.

    Args:
        name: unique among the jobs.
        work: called with ``arguments``, in some process, so a function of a module.
        arguments: of it.
        after: names of jobs that must be done before; those that are not among the jobs count as done.
    """

    name: str
    work: Callable[..., object]
    arguments: tuple[Any, ...]
    after: tuple[str, ...] = ()


class InThisProcess(Executor):
    """Does what it is given at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``fn``; what it raises is kept, but for what ends the process."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class FreshProcesses(Executor):
    """Processes, others where one of them died; what all of them were doing then has failed.

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool = self._make()

    def _make(self) -> ProcessPoolExecutor:
        # A fresh process for each worker: CUDA does not survive a fork.
        return ProcessPoolExecutor(self._workers, multiprocessing.get_context("spawn"))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``fn`` in one of the processes."""
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except BrokenProcessPool:
            self._pool = self._make()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End them."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


def run_jobs(jobs: Sequence[Job], workers: int = 1, seconds: float = float("inf")) -> list[str]:
    """Do the jobs, the first first, and tell of each on the terminal.

    Args:
        jobs: what is to be done.
        workers: processes; 1 does everything in this one.
        seconds: no job is begun later.

    Returns:
        Names of the jobs that were not done: they failed, need one that failed, or were not begun.
    """
    names = {job.name for job in jobs}
    waiting, done, failed = list(jobs), set[str](), set[str]()
    started = time.monotonic()
    with InThisProcess() if workers == 1 else FreshProcesses(workers) as pool:
        running: dict[Future[Any], Job] = {}
        while True:
            for job in list(waiting):
                needed = set(job.after) & names
                if needed & failed:
                    waiting.remove(job)
                    failed.add(job.name)
                elif needed <= done and len(running) < workers and time.monotonic() - started < seconds:
                    waiting.remove(job)
                    running[pool.submit(job.work, *job.arguments)] = job
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job, error = running.pop(future), future.exception()
                (done if error is None else failed).add(job.name)
                outcome = "done" if error is None else "".join(traceback.format_exception(error))
                print(f"[{time.monotonic() - started:7.1f} s] {job.name}: {outcome}", flush=True)
    return [job.name for job in jobs if job.name not in done]
