"""One search of one problem by one searcher with one seed, and the record of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autodistill.components.architecture import Architecture
from autodistill.components.search import History
from autodistill.errors import SpaceExhaustedError
from benchmarks.search.problems import ACCURACY, OBJECTIVES, Observation, Problem
from benchmarks.search.searchers import Searcher, make_searcher
from benchmarks.search.synthetic import blocks, layers
from benchmarks.search.table_problem import table_problem

#: Names of problems.
PROBLEMS = ("blocks", "layers", "table_bert", "table_mobilebert")


def make_problem(name: str) -> Problem:
    """A problem by name."""
    if name == "blocks":
        return blocks()
    if name == "layers":
        return layers()
    return table_problem(name.removeprefix("table_"))


@dataclass
class Trials:
    """What a search has tried so far."""

    architectures: list[Architecture] = field(default_factory=list)
    replicates: list[int] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)

    def add(self, problem: Problem, architecture: Architecture, seed: int) -> None:
        """Evaluate an architecture; again, if it was tried before."""
        replicate = self.architectures.count(architecture)
        self.observations.append(problem.evaluate(architecture, replicate, seed))
        self.architectures.append(architecture)
        self.replicates.append(replicate)

    def history(self) -> History:
        """As the engine would show it."""
        names = [item.metric for item in OBJECTIVES]
        count = len(self.architectures)
        return History(
            architectures=tuple(self.architectures),
            replicates=tuple(self.replicates),
            states=("complete",) * count,
            in_space=(True,) * count,
            metrics={name: np.array([item.metrics[name] for item in self.observations]) for name in names},
            variances={name: np.array([item.variances[name] for item in self.observations]) for name in names},
            told=tuple(range(count)),
            notes=(None,) * count,
        )


def search(problem: Problem, searcher: Searcher, trials: int, seed: int) -> tuple[Trials, list[float]]:
    """Search until the trials are spent or the space is; returns what was tried and the seconds of each proposal."""
    tried, seconds = Trials(), list[float]()
    while len(tried.architectures) < trials:
        history, started = tried.history(), time.perf_counter()
        try:
            proposal = searcher.next(history)
        except SpaceExhaustedError:
            break
        seconds.append(time.perf_counter() - started)
        tried.add(problem, proposal.architecture, seed)
    return tried, seconds


def record(problem_name: str, searcher_name: str, seed: int, trials: int) -> dict[str, Any]:
    """Run one search and return what is kept of it."""
    problem = make_problem(problem_name)
    tried, seconds = search(problem, make_searcher(searcher_name, problem, seed), trials, seed)
    shown = [item.metrics[ACCURACY.metric] for item in tried.observations]
    return {
        "problem": problem_name,
        "searcher": searcher_name,
        "seed": seed,
        "trials": trials,
        "curve": [round(value, 6) for value in problem.curve(tried.architectures)],
        "recommended": [round(value, 6) for value in problem.recommended(tried.architectures, shown)],
        "repeats": len(tried.architectures) - len(set(tried.architectures)),
        "seconds": [round(value, 4) for value in seconds],
    }
