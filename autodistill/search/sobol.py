"""Sobol search: a scrambled Sobol sequence [Sobol1967]_, [Owen1998]_ over the space, without repeats.

Spreads few trials evenly over every parameter, without learning from results. `autodistill.search.botorch` starts
with it.

.. [Sobol1967] I. M. Sobol', On the distribution of points in a cube and the approximate evaluation of integrals.
.. [Owen1998] A. B. Owen, Scrambling Sobol' and Niederreiter-Xing points.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from autodistill.components.architecture import Architecture, Choice
from autodistill.components.search import History, Proposal, SearchContext
from autodistill.search.candidates import Candidates, generator

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

# Points of the sequence looked at in one proposal; rules that leave less than one in a thousand feasible are rare.
CHUNK = 256
LONGEST_WALK = 32 * CHUNK


class SobolSearch:
    """Walks along the sequence to the next architectures that may be proposed.

    The walk starts at the number of in-space trials so far, so that it depends on the length of the history only;
    where no point of the sequence is feasible for long, the rest is drawn at random.

    Args:
        context: space, constraints, known metrics and seed.
    """

    def __init__(self, context: SearchContext) -> None:
        self.context = context
        self.candidates = Candidates(context)

    def propose(self, history: History, n: int) -> list[Proposal]:
        """The next up to ``n`` architectures of the sequence.

        Raises:
            SpaceExhaustedError: none is left.
        """
        found: dict[Architecture, None] = {}
        for chunk in self._walk(sum(history.in_space)):
            found.update(dict.fromkeys(self.candidates.fresh(chunk, history)))
            if len(found) >= n:
                return [Proposal(architecture) for architecture in list(found)[:n]]
        drawn = self.candidates.drawn(history, n, generator(self.context, history))
        found.update(dict.fromkeys(drawn))
        if not found:
            self.candidates.exhausted(history)
        return [Proposal(architecture) for architecture in list(found)[:n]]

    def _walk(self, start: int) -> Iterator[list[Architecture]]:
        engine = torch.quasirandom.SobolEngine(len(self.context.space.parameters), scramble=True, seed=self._seed)
        engine.fast_forward(start)
        for _ in range(LONGEST_WALK // CHUNK):
            choices = [self._choices(point) for point in engine.draw(CHUNK, dtype=torch.float64).numpy()]
            yield [item for item in self.context.space.complete(choices) if item is not None]

    @property
    def _seed(self) -> int:
        return int(np.random.default_rng(self.context.seed).integers(2**31))

    def _choices(self, point: FloatArray) -> dict[str, Choice]:
        """The values whose ranks the point in [0, 1)^d falls on."""
        parameters = self.context.space.parameters
        last = [len(parameter.values) - 1 for parameter in parameters]
        ranks = np.minimum((point * (np.array(last) + 1)).astype(int), last)
        return {item.name: item.values[rank] for item, rank in zip(parameters, ranks, strict=True)}
