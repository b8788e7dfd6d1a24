"""Runs the parts of a benchmark in several processes: each as soon as what it needs is done."""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
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


def run_here(job: Job) -> str:
    """Do a job in this process; what it raises is printed.

    Returns:
        What became of it.
    """
    try:
        job.work(*job.arguments)
    except Exception:
        traceback.print_exc()
        return "failed"
    return "done"


def begin(job: Job) -> BaseProcess:
    """Start a job in a process of its own, so that one which is killed takes no other with it."""
    # Spawned: CUDA does not survive a fork.
    process = multiprocessing.get_context("spawn").Process(target=job.work, args=job.arguments, name=job.name)
    process.start()
    return process


def first_ended(running: dict[str, BaseProcess]) -> tuple[str, str]:
    """Wait until a job ends and take it out of ``running``.

    Returns:
        Its name, and what became of it.
    """
    ended = wait([process.sentinel for process in running.values()])
    name = next(name for name, process in running.items() if process.sentinel in ended)
    process = running.pop(name)
    process.join()
    # What a job raised was printed by its process; a negative code is the signal that killed it.
    return name, "done" if process.exitcode == 0 else f"failed with exit code {process.exitcode}"


def run_jobs(jobs: Sequence[Job], workers: int = 1, seconds: float = float("inf")) -> list[str]:
    """Do the jobs, the first first, and tell of each on the terminal.

    Args:
        jobs: what is to be done.
        workers: processes at once, one for each job; 1 does everything in this one.
        seconds: no job is begun later.

    Returns:
        Names of the jobs that were not done: they failed, need one that failed, or were not begun.
    """
    names = {job.name for job in jobs}
    waiting, done, failed = list(jobs), set[str](), set[str]()
    running: dict[str, BaseProcess] = {}
    started = time.monotonic()

    def tell(name: str, outcome: str) -> None:
        (done if outcome == "done" else failed).add(name)
        print(f"[{time.monotonic() - started:7.1f} s] {name}: {outcome}", flush=True)

    try:
        while True:
            begun = False
            for job in list(waiting):
                needed = set(job.after) & names
                if needed & failed:
                    waiting.remove(job)
                    failed.add(job.name)
                elif needed <= done and len(running) < workers and time.monotonic() - started < seconds:
                    waiting.remove(job)
                    begun = True
                    if workers == 1:
                        tell(job.name, run_here(job))
                        break
                    running[job.name] = begin(job)
            if running:
                tell(*first_ended(running))
            elif not begun:
                break
    finally:
        for process in running.values():
            process.terminate()
    return [job.name for job in jobs if job.name not in done]
