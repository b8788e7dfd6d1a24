"""Simulated annealing over architectures, as a pure function of the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.search import History, Objective, Proposal, SearchContext
from autodistill.search.candidates import Candidates, asked, generator

if TYPE_CHECKING:
    from autodistill.components.architecture import Architecture


class Annealing:
    """Steps to a neighbour of one of the better trials; how much better it must be rises with every trial.

    Trials are ordered by the mean of their ranks over the objectives, so that objectives need no units.

    Args:
        context: space, objectives, constraints, known metrics and seed.
        initial: random architectures before the first step.
        start_temperature: share of the trials that a step may start from at first.
        cooling: factor on that share after every trial.
    """

    def __init__(self, context: SearchContext, *, initial: int, start_temperature: float, cooling: float) -> None:
        self.context = context
        self.initial = initial
        self.start_temperature = start_temperature
        self.cooling = cooling
        self.candidates = Candidates(context)

    def propose(self, history: History, n: int) -> list[Proposal]:
        """Up to ``n`` unseen feasible architectures; see `autodistill.components.search.SearchStrategy`."""
        rng = generator(self.context, history)
        found: list[Architecture] = []
        if asked(history) >= self.initial:
            for start in self._starts(history, rng):
                steps = self.candidates.fresh(self.context.space.neighbours(start), history)
                rng.shuffle(steps)  # type: ignore[arg-type]
                found += [step for step in steps if step not in found]
                if len(found) >= n:
                    break
        missing = n - len(found)
        if missing > 0:
            drawn = self.candidates.draw(history, n, rng)
            found += [architecture for architecture in drawn if architecture not in found]
        return [Proposal(architecture) for architecture in found[:n]]

    def _starts(self, history: History, rng: np.random.Generator) -> list[Architecture]:
        """Architectures to step from, in random order: the best share of the trials, the share being temperature."""
        ranks = np.mean([_ranks(history, objective) for objective in self.context.objectives], axis=0)
        usable = [row for row in np.argsort(ranks, kind="stable") if np.isfinite(ranks[row]) and history.in_space[row]]
        temperature = self.start_temperature * self.cooling ** asked(history)
        kept = usable[: max(1, round(temperature * len(usable)))]
        return [history.architectures[row] for row in rng.permutation(kept)] if kept else []


def _ranks(history: History, objective: Objective) -> np.ndarray:
    """Rank of every trial in one objective, 0 the best; infinite without a value."""
    values = history.metrics.get(objective.metric, np.full(len(history), np.nan))
    values = -values if objective.direction == "maximize" else values
    ranks = np.full(len(history), np.inf)
    known = np.flatnonzero(np.isfinite(values))
    ranks[known[np.argsort(values[known], kind="stable")]] = np.arange(len(known))
    return ranks
