"""Evolutionary search with Nevergrad [Rapin2018]_: any optimiser of its registry, on the discrete space.

The optimiser is built anew for every proposal and told the whole history, so that nothing is kept between calls.
Several objectives become one loss, with other random weights for every proposal, so that all of the front is sought
(ParEGO [Knowles2006]_). What the optimiser asks for is taken when it may be proposed, else a neighbour of it.

.. [Rapin2018] J. Rapin, O. Teytaud, Nevergrad: a gradient-free optimization platform.
.. [Knowles2006] J. Knowles, ParEGO: a hybrid algorithm with on-line landscape approximation for expensive
   multiobjective optimization problems.
"""

from __future__ import annotations

import itertools
import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import nevergrad
import numpy as np

from autodistill.components.architecture import Architecture, Choice
from autodistill.components.search import History, Proposal, SearchContext
from autodistill.errors import ConfigError, did_you_mean
from autodistill.search.candidates import Candidates, generator
from autodistill.search.outcomes import Outcomes, outcomes_of, ranked

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

# Asks for one proposal before a neighbour of the last answer is taken.
ASKS = 50
# Outcomes that are drawn at random before the optimiser is asked.
START = 8
# The largest population among Nevergrad's usual optimisers: DE has 30, PSO 40.
POPULATION = 40
# Name of the array of ordered parameters; no parameter can be called so.
CUBE = "unit cube"
# Share of the sum in the augmented Chebyshev norm, as [Knowles2006]_.
AUGMENTATION = 0.05


class NevergradSearch:
    """Replays the history into one of Nevergrad's optimisers and asks it.

    Args:
        context: space, objectives, constraints, known metrics and seed.
        optimizer: name in Nevergrad's registry.

    Raises:
        ConfigError: no such optimiser, or one that cannot be told what it did not ask for.
    """

    def __init__(self, context: SearchContext, *, optimizer: str) -> None:
        registry = nevergrad.optimizers.registry
        if optimizer not in registry:
            raise ConfigError(
                f"search.nevergrad.optimizer must name one of Nevergrad's {len(registry)} optimisers, e.g. DE, "
                f"TwoPointsDE or DiscreteOnePlusOne; got {optimizer!r}.{did_you_mean(optimizer, registry)}"
            )
        if registry[optimizer].recast:
            raise ConfigError(
                f"search.nevergrad.optimizer {optimizer!r} runs a loop of its own and cannot take up a history; "
                "use e.g. TwoPointsDE, DE or DiscreteOnePlusOne."
            )
        self.context, self.optimizer = context, optimizer
        parameters = context.space.parameters
        self.ordered = [item for item in parameters if item.type != "categorical"]
        self.categorical = [item for item in parameters if item.type == "categorical"]
        self.candidates = Candidates(context)

    def propose(self, history: History, n: int) -> list[Proposal]:
        """Up to ``n`` architectures; the note says whether the optimiser asked for it or what stands in for it.

        Raises:
            SpaceExhaustedError: none is left.
        """
        rng = generator(self.context, history)
        if len(outcomes_of(self.context, history)) < START:
            drawn = self.candidates.draw(history, n, rng)
            return [Proposal(choice, note={"by": "random"}) for choice in drawn]
        found: dict[Architecture, str] = {}
        with _isolated(int(rng.integers(2**31))):
            for _ in range(n):
                optimizer = self._replayed(history, rng)
                choice, origin = self._next(optimizer, history, found, rng)
                if choice is None:
                    break
                found[choice] = origin
        if not found:
            self.candidates.exhausted(history)
        return [Proposal(choice, note={"by": origin}) for choice, origin in found.items()]

    def _next(
        self, optimizer: Any, history: History, taken: dict[Architecture, str], rng: np.random.Generator
    ) -> tuple[Architecture | None, str]:
        """The next architecture and where it came from; None when nothing is left."""
        space, asked = self.context.space, list[Architecture]()
        for _ in range(ASKS):
            feasible = [item for item in space.complete([self._choices(optimizer.ask().value)]) if item is not None]
            fresh = [item for item in self.candidates.fresh(feasible, history) if item not in taken]
            if fresh:
                return fresh[0], self.optimizer
            asked += feasible
        near = [other for item in dict.fromkeys(asked) for other in space.neighbours(item)]
        left = [item for item in self.candidates.fresh(near, history) if item not in taken]
        if left:
            return left[int(rng.integers(len(left)))], "neighbour"
        drawn = self.candidates.draw(history, len(taken) + 1, rng)
        return next(((item, "random") for item in drawn if item not in taken), (None, "none is left"))

    def _replayed(self, history: History, rng: np.random.Generator) -> Any:
        """A fresh optimiser that was told the loss of every outcome."""
        parametrization = self._parametrization()
        parametrization.random_state = np.random.RandomState(int(rng.integers(2**31)))
        optimizer = nevergrad.optimizers.registry[self.optimizer](parametrization, budget=None, num_workers=1)
        outcomes = outcomes_of(self.context, history)
        losses = scalar_losses(outcomes, rng.dirichlet(np.ones(len(self.context.objectives))))
        best = np.argsort(losses, kind="stable").tolist()
        # Populations smaller than an optimiser wants would be filled at random: fill them with the best, again.
        repeated = itertools.islice(itertools.cycle(best), max(0, POPULATION - len(best)) if len(best) >= START else 0)
        for row in [*range(len(best)), *repeated]:
            told = parametrization.spawn_child(new_value=self._value(outcomes.architectures[row]))
            # A lineage of its own: populations look members up by it.
            told.heritage["lineage"] = told.uid
            optimizer.tell(told, float(losses[row]))
        # The first answer of many optimisers is the middle of the space, whatever they were told.
        optimizer.ask()
        return optimizer

    def _parametrization(self) -> Any:
        """Ordered parameters as one array in the unit cube, so that they step; categorical ones jump."""
        variables = {item.name: nevergrad.p.Choice(list(item.values)) for item in self.categorical}
        if self.ordered:
            variables[CUBE] = nevergrad.p.Array(init=np.full(len(self.ordered), 0.5), lower=0.0, upper=1.0)
        return nevergrad.p.Dict(**variables)

    def _value(self, architecture: Architecture) -> dict[str, Any]:
        """What the parametrisation calls an architecture; a rank is the middle of its share of the unit interval."""
        value: dict[str, Any] = {item.name: architecture.choices[item.name] for item in self.categorical}
        if self.ordered:
            ranks = [item.values.index(architecture.choices[item.name]) for item in self.ordered]
            value[CUBE] = (np.array(ranks) + 0.5) / [len(item.values) for item in self.ordered]
        return value

    def _choices(self, value: Mapping[str, Any]) -> dict[str, Choice]:
        """Choices of what the optimiser asks for."""
        choices: dict[str, Choice] = {item.name: value[item.name] for item in self.categorical}
        for item, place in zip(self.ordered, value.get(CUBE, ()), strict=True):
            choices[item.name] = item.values[min(int(place * len(item.values)), len(item.values) - 1)]
        return choices


def scalar_losses(outcomes: Outcomes, weights: FloatArray) -> FloatArray:
    """One loss per outcome: the augmented Chebyshev norm of its ranks; broken constraints add to it.

    Args:
        outcomes: of the history.
        weights: one per objective, adding up to 1.
    """
    weighted = ranked(outcomes.values) * weights
    return np.asarray(
        weighted.max(axis=1, initial=0.0) + AUGMENTATION * weighted.sum(axis=1) + 2.0 * outcomes.violations
    )


@contextmanager
def _isolated(seed: int) -> Iterator[None]:
    """Give Nevergrad global random numbers of its own and hear none of its warnings.

    Parts of it draw from NumPy's and Python's global generators. It warns of settings that users cannot change here,
    such as a missing budget.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nevergrad.errors.NevergradWarning)
        # Of the library cma, which some optimisers are built on.
        warnings.filterwarnings("ignore", message="Could not import matplotlib")
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
