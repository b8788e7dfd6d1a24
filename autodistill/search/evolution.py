"""Evolution in the manner of NSGA-II [Deb2002]_, on the discrete space; ageing as in [Real2019]_ if wanted.

The population is the best of what the history holds, by non-dominated rank and crowding, so that a proposal depends
on history and seed alone. Children of two tournament winners take each parameter from either parent; then a parameter
steps to a near value (ordered ones) or jumps to any (categorical ones).

.. [Deb2002] K. Deb, A. Pratap, S. Agarwal, T. Meyarivan, A fast and elitist multiobjective genetic algorithm: NSGA-II.
.. [Real2019] E. Real, A. Aggarwal, Y. Huang, Q. V. Le, Regularized evolution for image classifier architecture search
   (arXiv 1802.01548).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.architecture import Architecture, Choice
from autodistill.components.search import History, Proposal, SearchContext
from autodistill.pareto import non_dominated
from autodistill.search.candidates import Candidates, generator
from autodistill.search.outcomes import Outcomes, outcomes_of

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray, IntArray

# Children made at once, and how often before a neighbour of the population is taken instead.
BROOD = 32
BROODS = 8


class EvolutionSearch:
    """Breeds the next architectures from the best so far.

    Args:
        context: space, objectives, constraints, known metrics and seed.
        initial: outcomes before the first child; until then architectures are drawn at random.
        population: architectures that may become parents.
        tournament: contestants for the place of one parent.
        crossover: probability that a child has two parents.
        mutations: expected number of parameters that change.
        ageing: whether the youngest may become parents, rather than the best.
    """

    def __init__(
        self,
        context: SearchContext,
        *,
        initial: int,
        population: int,
        tournament: int,
        crossover: float,
        mutations: float,
        ageing: bool,
    ) -> None:
        self.context = context
        self.initial, self.population, self.tournament = initial, population, tournament
        self.crossover, self.ageing = crossover, ageing
        self.mutation = min(1.0, mutations / len(context.space.parameters))
        self.candidates = Candidates(context)

    def propose(self, history: History, n: int) -> list[Proposal]:
        """Up to ``n`` children; the note says how each was made.

        Raises:
            SpaceExhaustedError: none is left.
        """
        rng = generator(self.context, history)
        outcomes = outcomes_of(self.context, history)
        found: dict[Architecture, str] = {}
        if len(outcomes) >= self.initial:
            parents = self._parents(outcomes)
            self._breed(parents, history, n, found, rng)
            self._step(parents, history, n, found, rng)
        if len(found) < n:
            # Asked for more than are missing, because those that were found already may be among them.
            drawn = self.candidates.drawn(history, n, rng)
            found.update((item, "random") for item in drawn if item not in found)
        if not found:
            self.candidates.exhausted(history)
        return [Proposal(item, note={"by": origin}) for item, origin in list(found.items())[:n]]

    def _parents(self, outcomes: Outcomes) -> list[Architecture]:
        """The population, the fittest first."""
        first = max(0, len(outcomes) - self.population) if self.ageing else 0
        order = fitness_order(outcomes.values[first:], outcomes.violations[first:], self.population)
        return [outcomes.architectures[first + row] for row in order.tolist()]

    def _breed(
        self,
        parents: list[Architecture],
        history: History,
        n: int,
        found: dict[Architecture, str],
        rng: np.random.Generator,
    ) -> None:
        for _ in range(BROODS):
            if len(found) >= n:
                return
            brood = self.context.space.complete([self._child(parents, rng) for _ in range(BROOD)])
            fresh = self.candidates.fresh([child for child in brood if child is not None], history)
            found.update((child, "child") for child in fresh if child not in found)

    def _step(
        self,
        parents: list[Architecture],
        history: History,
        n: int,
        found: dict[Architecture, str],
        rng: np.random.Generator,
    ) -> None:
        """Where children are all known already, take neighbours of the fittest that has any left."""
        for parent in parents:
            if len(found) >= n:
                return
            near = self.candidates.fresh(self.context.space.neighbours(parent), history)
            found.update((near[index], "neighbour") for index in rng.permutation(len(near)) if near[index] not in found)

    def _child(self, parents: list[Architecture], rng: np.random.Generator) -> dict[str, Choice]:
        first, second = (parents[int(rng.integers(len(parents), size=self.tournament).min())] for _ in range(2))
        if rng.random() >= self.crossover:
            second = first
        choices: dict[str, Choice] = {}
        for parameter in self.context.space.parameters:
            value = (first if rng.random() < 0.5 else second).choices[parameter.name]
            if rng.random() < self.mutation and len(parameter.values) > 1:
                rank = parameter.values.index(value)
                value = parameter.values[_moved(rank, len(parameter.values), parameter.type == "categorical", rng)]
            choices[parameter.name] = value
        return choices


def _moved(rank: int, values: int, categorical: bool, rng: np.random.Generator) -> int:
    """Another rank: any if categorical, else one or a few steps away (each further step half as likely)."""
    if categorical:
        return int((rank + rng.integers(1, values)) % values)
    step = int(rng.geometric(0.5)) * (1 if rng.random() < 0.5 else -1)
    moved = min(max(rank + step, 0), values - 1)
    return moved if moved != rank else rank + (1 if rank == 0 else -1)


def fitness_order(values: FloatArray, violations: FloatArray, n: int) -> IntArray:
    """The ``n`` fittest rows: feasible before infeasible, then by non-dominated rank, then by crowding.

    Args:
        values: ``rows x objectives``, smaller is better.
        violations: ``rows`` numbers, 0 where all constraints hold; the less, the fitter.
        n: rows wanted.
    """
    order: list[int] = []
    left = np.flatnonzero(violations <= 0)
    while len(left) and len(order) < n:
        front = left[non_dominated(values[left])]
        order += front[np.argsort(-crowding_distance(values[front]), kind="stable")].tolist()
        left = np.setdiff1d(left, front)
    infeasible = np.flatnonzero(violations > 0)
    order += infeasible[np.argsort(violations[infeasible], kind="stable")].tolist()
    return np.array(order[:n], dtype=np.int64)


def crowding_distance(values: FloatArray) -> FloatArray:
    """How lonely each row of a front is: the sum over objectives of its neighbours' distance, ends infinitely so."""
    distances = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        spread = float(column[order[-1]] - column[order[0]]) or 1.0
        distances[order[[0, -1]]] = np.inf
        distances[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / spread
    return distances
