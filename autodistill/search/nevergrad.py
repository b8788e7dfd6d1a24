"""Evolutionary search with Nevergrad [Rapin2018]_: any optimiser of its registry, on the discrete space.

The optimiser is built anew for every proposal and told the whole history, so that nothing is kept between calls;
several objectives become Nevergrad's own loss, the distance or volume with respect to the front. What it asks for
is taken when it may be proposed, else a neighbour of it.

.. [Rapin2018] J. Rapin, O. Teytaud, Nevergrad: a gradient-free optimization platform.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import nevergrad
import numpy as np

from autodistill.components.architecture import Architecture
from autodistill.components.search import History, Objective, Parameter, Proposal, SearchContext
from autodistill.errors import ConfigError, did_you_mean
from autodistill.search.candidates import Candidates, generator
from autodistill.search.scales import Scale

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

# Asks for one proposal before a neighbour of the last answer is taken.
ASKS = 50
# Losses lie in [0, 1]; the reference of the volume stands a little beyond, so that the worst count too.
REFERENCE_LOSS = 1.1


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
                "use e.g. DE, TwoPointsDE or DiscreteOnePlusOne."
            )
        self.context, self.optimizer = context, optimizer
        self.candidates = Candidates(context)

    def propose(self, history: History, n: int) -> list[Proposal]:
        """Up to ``n`` architectures; the note says whether the optimiser asked for it or what stands in for it.

        Raises:
            SpaceExhaustedError: none is left.
        """
        rng = generator(self.context, history)
        found: dict[Architecture, str] = {}
        seed, replay_seed = (int(item) for item in rng.integers(2**31, size=2))
        with _isolated(seed):
            optimizer = self._replayed(history, replay_seed)
            for _ in range(n):
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
        asked = [Architecture(self.context.space.family, optimizer.ask().value)]
        while len(asked) < ASKS:
            fresh = [item for item in self.candidates.fresh(asked[-1:], history) if item not in taken]
            if fresh:
                return fresh[0], self.optimizer
            asked.append(Architecture(self.context.space.family, optimizer.ask().value))
        near = [other for item in dict.fromkeys(asked) for other in self.context.space.neighbours(item)]
        left = [item for item in self.candidates.fresh(near, history) if item not in taken]
        if left:
            return left[int(rng.integers(len(left)))], "neighbour"
        drawn = self.candidates.draw(history, len(taken) + 1, rng)
        return next(((item, "random") for item in drawn if item not in taken), (None, ""))

    def _replayed(self, history: History, seed: int) -> Any:
        """A fresh optimiser that was told every trial with a value for each objective."""
        parameters = {item.name: _choice(item) for item in self.context.space.parameters}
        parametrization = nevergrad.p.Dict(**parameters)
        parametrization.random_state = np.random.RandomState(seed)
        optimizer = nevergrad.optimizers.registry[self.optimizer](parametrization, budget=None, num_workers=1)
        if len(self.context.objectives) > 1:
            reference = nevergrad.p.MultiobjectiveReference()
            optimizer.tell(reference, [REFERENCE_LOSS] * len(self.context.objectives))
        rows, losses = self._losses(history)
        for row, loss in zip(rows, losses, strict=True):
            choices = dict(history.architectures[row].choices)
            told = parametrization.spawn_child(new_value={name: choices[name] for name in parameters})
            optimizer.tell(told, loss.tolist() if len(loss) > 1 else float(loss[0]))
        return optimizer

    def _losses(self, history: History) -> tuple[list[int], FloatArray]:
        """In-space rows with every objective, and their losses in [0, 1], ``rows x objectives``."""
        columns = [_column(item, history, self.context) for item in self.context.objectives]
        values = np.stack(columns, axis=1)
        usable = np.isfinite(values).all(axis=1) & np.array(history.in_space, dtype=bool)
        rows = np.flatnonzero(usable)
        scaled = [_loss(item, values[rows, index]) for index, item in enumerate(self.context.objectives)]
        return [int(row) for row in rows], np.stack(scaled, axis=1)


def _column(objective: Objective, history: History, context: SearchContext) -> FloatArray:
    """The objective of every row: what is known, else what was observed."""
    if objective.metric in context.known.metrics and len(history):
        return np.asarray(context.known(history.architectures)[objective.metric][0], dtype=np.float64)
    column = history.metrics.get(objective.metric)
    return np.full(len(history), np.nan) if column is None else np.asarray(column, dtype=np.float64)


def _loss(objective: Objective, values: FloatArray) -> FloatArray:
    """Values as losses between 0 (best seen) and 1 (worst seen), ratios in logarithms."""
    if not len(values):
        return values
    scaled = Scale.fit(objective.metric, values)(values) * (1.0 if objective.direction == "minimize" else -1.0)
    spread = float(np.ptp(scaled))
    return (scaled - scaled.min()) / spread if spread > 0 else np.zeros_like(scaled)


def _choice(parameter: Parameter) -> Any:
    """Ordered values step to their neighbours, categorical ones jump."""
    kind = nevergrad.p.Choice if parameter.type == "categorical" else nevergrad.p.TransitionChoice
    return kind(list(parameter.values))


@contextmanager
def _isolated(seed: int) -> Iterator[None]:
    """Give Nevergrad global random numbers of its own and hear none of its warnings.

    Parts of it draw from NumPy's and Python's global generators. It warns of settings that users cannot change here,
    such as a missing budget.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nevergrad.errors.NevergradWarning)
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
