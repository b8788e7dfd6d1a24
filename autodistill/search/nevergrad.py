"""Evolutionary search with Nevergrad [Rapin2018]_: an optimiser of its registry by name, on the discrete space.

The optimiser is built anew for every proposal and told the whole history, so that nothing is kept between calls. A
quarter of the registry cannot do that (some run a loop of their own in a thread and would wait for ever, some must have
asked for what they are told); so the named one is tried on an invented history before anything is trained.
Several objectives become one loss, with other random weights for every proposal, so that all of the front is sought
(ParEGO [Knowles2006]_). What the optimiser asks for is taken when it may be proposed, else a neighbour of it.

.. [Rapin2018] J. Rapin, O. Teytaud, Nevergrad: a gradient-free optimization platform.
.. [Knowles2006] J. Knowles, ParEGO: a hybrid algorithm with on-line landscape approximation for expensive
   multiobjective optimization problems.
"""

from __future__ import annotations

import itertools
import random
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import nevergrad
import numpy as np
from nevergrad.optimization.base import ConfiguredOptimizer, Optimizer
from nevergrad.optimization.recaster import RecastOptimizer

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
# Trials that an optimiser is told to plan for, as some must know; a longer history makes it more. A study has fewer.
BUDGET = 1000
# Outcomes of the invented histories on which an optimiser is tried, proposals asked for after each, and seconds for
# all: most take a fraction of one, the slowest that can do it five on a busy core.
TRIED = (START, POPULATION + START)
TRIED_ASKS = 3
TIME_LIMIT = 20.0
# Named where another optimiser is refused: the tests show of each that it learns from a history.
PROVEN = ("TwoPointsDE", "DE", "DiscreteOnePlusOne")
# Name of the array of ordered parameters; no parameter can be called so.
CUBE = "unit cube"
# Share of the sum in the augmented Chebyshev norm, as [Knowles2006]_.
AUGMENTATION = 0.05
# What a broken constraint adds to a loss, and again in proportion to how far it is broken.
BROKEN = 2.0


class NevergradSearch:
    """Replays the history into one of Nevergrad's optimisers and asks it.

    Args:
        context: space, objectives, constraints, known metrics and seed.
        optimizer: name in Nevergrad's registry.

    Raises:
        ConfigError: no such optimiser, or one that cannot take up a history in this space.
    """

    def __init__(self, context: SearchContext, *, optimizer: str) -> None:
        registry = nevergrad.optimizers.registry
        if optimizer not in registry:
            raise ConfigError(
                f"search.optimizer must name one of Nevergrad's {len(registry)} optimisers, e.g. "
                f"{_listed(PROVEN)}; got {optimizer!r}.{did_you_mean(optimizer, registry)}"
            )
        self.context, self.optimizer = context, optimizer
        parameters = context.space.parameters
        self.ordered = [item for item in parameters if item.type != "categorical"]
        self.categorical = [item for item in parameters if item.type == "categorical"]
        self.candidates = Candidates(context)
        self._check()

    def propose(self, history: History, n: int) -> list[Proposal]:
        """Up to ``n`` architectures; the note says what chose them.

        ``by`` is the optimiser's name, ``neighbour`` (of what it asked for), ``random``, or ``fallback``: drawn at
        random as well, because the optimiser failed; then ``why`` says how.

        Raises:
            SpaceExhaustedError: none is left.
        """
        rng = generator(self.context, history)
        outcomes = outcomes_of(self.context, history)
        if len(outcomes) < START:
            drawn = self.candidates.draw(history, n, rng)
            return [Proposal(choice, note={"by": "random"}) for choice in drawn]
        found: dict[Architecture, dict[str, str]] = {}
        with _isolated(int(rng.integers(2**31))):
            for _ in range(n):
                seed = int(rng.integers(2**31))
                losses = scalar_losses(outcomes, rng.dirichlet(np.ones(len(self.context.objectives))))
                try:
                    optimizer = self._replayed(outcomes.architectures, losses, seed)
                    choice, note = self._next(optimizer, history, found, rng)
                except _OptimizerError as error:
                    why = f"{self.optimizer} {error}"
                    choice, note = self._drawn(history, found, rng), {"by": "fallback", "why": why}
                if choice is None:
                    break
                found[choice] = note
        if not found:
            self.candidates.exhausted(history)
        return [Proposal(choice, note=note) for choice, note in found.items()]

    def _next(
        self, optimizer: Any, history: History, taken: Mapping[Architecture, Any], rng: np.random.Generator
    ) -> tuple[Architecture | None, dict[str, str]]:
        """The next architecture and its note; None when nothing is left."""
        space, asked = self.context.space, list[Architecture]()
        for _ in range(ASKS):
            feasible = [item for item in space.complete([self._asked(optimizer)]) if item is not None]
            fresh = [item for item in self.candidates.fresh(feasible, history) if item not in taken]
            if fresh:
                return fresh[0], {"by": self.optimizer}
            asked += feasible
        near = [other for item in dict.fromkeys(asked) for other in space.neighbours(item)]
        left = [item for item in self.candidates.fresh(near, history) if item not in taken]
        if left:
            return left[int(rng.integers(len(left)))], {"by": "neighbour"}
        return self._drawn(history, taken, rng), {"by": "random"}

    def _drawn(
        self, history: History, taken: Mapping[Architecture, Any], rng: np.random.Generator
    ) -> Architecture | None:
        """A random candidate that is not taken; None when there is none."""
        drawn = self.candidates.draw(history, len(taken) + 1, rng)
        return next((item for item in drawn if item not in taken), None)

    def _replayed(self, architectures: Sequence[Architecture], losses: FloatArray, seed: int) -> Any:
        """A fresh optimiser that was told the loss of every architecture.

        Raises:
            _OptimizerError: it cannot be told them.
        """
        parametrization = self._parametrization()
        parametrization.random_state = np.random.RandomState(seed)
        best = np.argsort(losses, kind="stable").tolist()
        # Populations smaller than an optimiser wants would be filled at random: fill them with the best, again.
        repeated = itertools.islice(itertools.cycle(best), max(0, POPULATION - len(best)))
        budget = max(BUDGET, len(best) + POPULATION + ASKS)
        with _failing():
            optimizer = nevergrad.optimizers.registry[self.optimizer](parametrization, budget=budget, num_workers=1)
        _refuse_loops(optimizer)
        with _failing():
            for row in [*range(len(best)), *repeated]:
                told = parametrization.spawn_child(new_value=self._value(architectures[row]))
                # A lineage of its own: populations look members up by it.
                told.heritage["lineage"] = told.uid
                optimizer.tell(told, float(losses[row]))
        _refuse_loops(optimizer)  # again: some parts are made when they are first needed
        # The first answer of many optimisers is the middle of the space, whatever they were told.
        self._asked(optimizer)
        return optimizer

    def _asked(self, optimizer: Any) -> dict[str, Choice]:
        """Choices of what an optimiser asks for.

        Raises:
            _OptimizerError: it raises something, or answers with what is no number.
        """
        with _failing():
            return self._choices(optimizer.ask().value)

    def _check(self) -> None:
        """Replay invented histories, so that an optimiser that cannot take them up is refused before any training."""
        size = self.context.space.size
        if size is not None and size <= START:
            return  # it will never be asked
        seed, rng = self.context.seed % 2**31, np.random.default_rng(self.context.seed)
        invented = [(self.context.space.sample(count, seed), rng.random(count)) for count in TRIED]
        why = [f"did not answer within {TIME_LIMIT:g} s"]

        def attempt() -> None:
            try:
                for architectures, losses in invented:
                    optimizer = self._replayed(architectures, losses, seed)
                    for _ in range(TRIED_ASKS):
                        self._asked(optimizer)
                why.clear()
            except _OptimizerError as error:
                why[:] = [str(error)]

        # A thread, because what does not answer cannot be interrupted; the error that follows ends the process.
        worker = threading.Thread(target=attempt, daemon=True)
        with _isolated(seed):
            worker.start()
            worker.join(TIME_LIMIT)
        if why:
            raise ConfigError(
                f"search.optimizer {self.optimizer!r} {why[0]}: it cannot take up a history of trials in "
                f"this search space. Use e.g. {_listed(PROVEN)}."
            )

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
    """One loss per outcome: the augmented Chebyshev norm of its ranks; whatever breaks a constraint has a larger one.

    Args:
        outcomes: of the history.
        weights: one per objective, adding up to 1.
    """
    weighted = ranked(outcomes.values) * weights
    norm = weighted.max(axis=1, initial=0.0) + AUGMENTATION * weighted.sum(axis=1)
    # No norm is above 1 + AUGMENTATION.
    return np.asarray(norm + np.where(outcomes.violations > 0, BROKEN * (1.0 + outcomes.violations), 0.0))


class _OptimizerError(Exception):
    """An optimiser cannot do what is asked of it; the text goes on after its name."""


@contextmanager
def _failing() -> Iterator[None]:
    """Whatever an optimiser raises becomes an `_OptimizerError`."""
    try:
        yield
    except Exception as error:  # there are hundreds of optimisers, on a dozen libraries
        said = str(error).strip().partition("\n")[0]
        raise _OptimizerError(f"failed with {type(error).__name__}{f' ({said})' if said else ''}") from error


def _refuse_loops(optimizer: Any) -> None:
    """Raise `_OptimizerError` for one that runs a loop of its own, or has a part that does: to ask it may take forever.

    Parts count although they may not have had their turn yet: it comes later in the search.
    """
    seen, left = set[int](), [optimizer]
    while left:
        part = left.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, RecastOptimizer):
            own = part is optimizer
            raise _OptimizerError(f"{'runs' if own else f'has a part, {part.name}, that runs'} a loop of its own")
        if isinstance(part, Optimizer | ConfiguredOptimizer):
            left += vars(part).values()
        elif isinstance(part, list | tuple):
            left += part


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


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
