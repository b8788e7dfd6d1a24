"""Whether to look again at what was tried, where two or more objectives must be learnt.

As in the closed form, another run of what was tried and the first of a new candidate are valued alike: by how much one
more observation, of every learnt metric at once, is expected to raise the hypervolume of the front of posterior means,
with everything else held fixed. Here that is estimated by sampling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
from botorch.utils.sampling import draw_sobol_normal_samples
from scipy.special import ndtr
from torch import Tensor

from autodistill.search.acquisition import Problem, gather, predicted
from autodistill.search.closed_form import FRESH, Choice
from autodistill.search.ehvi import Cells, cells_of, hypervolume_added
from autodistill.search.surrogates import Posterior

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

# Draws of what one more observation would show.
SAMPLES = 256
# Architectures whose next look is valued by all draws: the best by what they would add, were they better by a standard
# deviation of the draws.
LOOKED_AT = 64
# A rise that is a smaller part of the hypervolume is rounding.
LEAST_RISE = 1e-9


class Looks:
    """What another look at what was tried is worth.

    Args:
        problem: what is to be improved.
        near: rows of the baseline that may be on the front; the rest gain as little from being known better.
        most: runs of one architecture at most.
        seed: of the draws.
    """

    def __init__(self, problem: Problem, near: Tensor, most: int, seed: int) -> None:
        self._problem, self._most = problem, most
        self._architectures, places = np.unique(problem.architectures[near.numpy()], return_index=True)
        rows = near.numpy()[places]
        self._runs, self._inputs = problem.runs[rows], problem.baseline[torch.from_numpy(rows)]
        new = ~np.isin(problem.pending_architectures, self._architectures)
        self._pending = problem.pending[torch.from_numpy(new)]
        self._repeats = problem.pending[torch.from_numpy(~new)]
        self._draws = _draws(problem, seed)

    def again(self, candidates: Tensor, values: Tensor, taken: Tensor) -> Choice | None:
        """Another run of what was tried, where it is worth more than the first of the best candidate.

        Its observation counts as made in what is asked for next.

        Args:
            candidates: ``rows x columns``.
            values: ``rows``, of the acquisition function; those of which it is not finite add nothing.
            taken: ``rows x columns`` of candidates that were chosen before.
        """
        few = np.flatnonzero(self._runs < self._most)
        if self._most < 2 or not len(few):
            return None
        tried = torch.cat([self._inputs, self._pending, taken])
        believed = torch.cat([self._pending, self._repeats, taken])
        posteriors = [Posterior(model.whole, believed) for model in self._problem.models]
        means, moved, likely = self._predicted(posteriors, tried)
        cells = self._cells(means)
        optimistic = hypervolume_added(cells, means + moved.std(axis=0))
        few = few[np.argsort(-optimistic[few], kind="stable")[:LOOKED_AT]]
        gains = np.array([self._rise(means, moved[:, entry], int(entry)) for entry in few]) * likely[few]
        fresh = self._worth_of_a_first_look(posteriors, cells, candidates, values)
        best = int(np.argmax(gains))
        if not max(fresh, LEAST_RISE * self._extent(means)) < gains[best] < math.inf:
            return None
        entry = int(few[best])
        self._runs[entry] += 1
        self._repeats = torch.cat([self._repeats, self._inputs[[entry]]])
        return Choice(int(self._architectures[entry]), True, math.log(gains[best]))

    def _worth_of_a_first_look(
        self, posteriors: Sequence[Posterior], cells: Cells, candidates: Tensor, values: Tensor
    ) -> float:
        order = values.argsort(descending=True, stable=True)
        best = candidates[order[values[order].isfinite()][:FRESH]]
        if not len(best):
            return 0.0
        _, moved, likely = self._predicted(posteriors, best)
        added = [hypervolume_added(cells, moved[:, row]).mean() for row in range(len(best))]
        return float((np.array(added) * likely).max())

    def _predicted(self, posteriors: Sequence[Posterior], inputs: Tensor) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Objectives by posterior means, ``rows x objectives``; draws of where one observation moves them,
        ``draws x rows x objectives``; and the probability that the bounds hold, ``rows``, as if that were independent.
        """
        mean, deviation = predicted(posteriors, inputs)
        columns = zip(posteriors, deviation.numpy().T, strict=True)
        moves = torch.from_numpy(np.stack([posterior.moves(column) for posterior, column in columns], axis=1))
        likely = np.ones(len(inputs))
        for bound in self._problem.bounds:
            likely *= ndtr((-bound(mean) / deviation[:, bound.output]).numpy())
        samples = mean + self._draws[:, None, :] * moves
        moved = gather(self._problem.sources, samples, inputs)
        return gather(self._problem.sources, mean[None], inputs)[0].numpy(), moved.numpy(), likely

    def _cells(self, points: FloatArray) -> Cells:
        reference = self._problem.reference
        return cells_of(points[:, 1:], points[:, 0], reference[1:], float(reference[0]))

    def _extent(self, points: FloatArray) -> float:
        """The volume of the box from the reference point to the best of each objective."""
        return float(np.prod(np.maximum(points.max(axis=0) - self._problem.reference, 0.0)))

    def _rise(self, means: FloatArray, moved: FloatArray, entry: int) -> float:
        """The expected rise over what the entry's mean adds already."""
        cells = self._cells(np.delete(means, entry, axis=0))
        return float(hypervolume_added(cells, moved).mean() - hypervolume_added(cells, means[[entry]])[0])


def _draws(problem: Problem, seed: int) -> Tensor:
    """``SAMPLES x outputs``, standard normal in the objectives and 0 in what bounds alone are about.

    Every draw comes with all signs: means are 0, and so are those of products of objectives, as a hypervolume is one.
    Otherwise what cannot change the front would gain by chance. Deviations are 1, not about 1.
    """
    outputs = [source.output for source in problem.sources if source.output is not None]
    signs = torch.tensor(list(product([1.0, -1.0], repeat=len(outputs))), dtype=torch.float64)
    base = draw_sobol_normal_samples(len(outputs), SAMPLES // len(signs), dtype=torch.float64, seed=seed)
    base /= base.square().mean(dim=0).sqrt()
    draws = torch.zeros(SAMPLES, len(problem.models), dtype=torch.float64)
    draws[:, outputs] = (signs[:, None] * base).flatten(0, 1)
    return draws
