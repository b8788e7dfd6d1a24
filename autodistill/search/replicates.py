"""Whether to look again at what was tried, where two or more objectives must be learnt.

As in the closed form, another run of what was tried and the first of a new candidate are valued alike: by how much one
more observation, of every learnt metric at once, is expected to raise the hypervolume of the front of posterior means,
with everything else held fixed. Here that is estimated by sampling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from botorch.utils.sampling import draw_sobol_normal_samples
from torch import Tensor

from autodistill.search.acquisition import Problem, gather
from autodistill.search.closed_form import Choice
from autodistill.search.ehvi import Cells, cells_of, hypervolume_added
from autodistill.search.surrogates import Posterior

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

# Draws of what one more observation would show, and candidates that are compared with another look: the best by the
# acquisition function are among the first by this measure.
SAMPLES, FRESH = 256, 32


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
        _, first = np.unique(problem.tried[near.numpy()], return_index=True)
        self._rows = near.numpy()[first]
        self._runs = problem.runs[self._rows]
        self._inputs = problem.baseline[torch.from_numpy(self._rows)]
        draws = draw_sobol_normal_samples(len(problem.models), SAMPLES // 2, dtype=torch.float64, seed=seed)
        self._draws = torch.cat([draws, -draws])  # their mean is 0, so that noise-free means gain nothing
        self._believed = problem.pending[:0]

    def again(self, candidates: Tensor, values: Tensor, pending: Tensor) -> Choice | None:
        """Another run of what was tried, where it is worth more than that of the best candidate.

        Args:
            candidates: ``rows x columns``.
            values: ``rows``, logarithms, of the acquisition function.
            pending: ``rows x columns`` of what is being tried, but for what this has chosen.
        """
        few = np.flatnonzero(self._runs < self._most)
        if self._most < 2 or not len(few):
            return None
        believed = torch.cat([pending, self._believed])
        posteriors = [Posterior(model.whole, believed) for model in self._problem.models]
        means, moved, allowed = self._predicted(posteriors, self._inputs)
        gains = [self._rise(means, moved[:, entry], int(entry)) * allowed[entry] for entry in few]
        best = int(np.argmax(gains))
        new = candidates[values.topk(min(FRESH, len(values))).indices]
        _, first, likely = self._predicted(posteriors, new)
        cells = self._cells(means)
        fresh = [float(self._added(cells, first[:, row]).mean()) * likely[row] for row in range(len(new))]
        if gains[best] <= max(fresh, default=0.0):
            return None
        entry = int(few[best])
        self._runs[entry] += 1
        self._believed = torch.cat([self._believed, self._inputs[[entry]]])
        return Choice(int(self._problem.tried[self._rows[entry]]), True, math.log(gains[best]))

    def _predicted(self, posteriors: Sequence[Posterior], inputs: Tensor) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Objectives by posterior means, ``rows x objectives``; draws of where one observation moves them,
        ``draws x rows x objectives``; and the probability that the bounds hold, ``rows``.
        """
        columns = [posterior(inputs) for posterior in posteriors]
        mean = torch.from_numpy(np.stack([mean for mean, _ in columns], axis=1))
        deviation = torch.from_numpy(np.stack([deviation for _, deviation in columns], axis=1))
        noise = torch.tensor([posterior.noise for posterior in posteriors], dtype=torch.float64)
        update = deviation.square() / (deviation.square() + noise).sqrt()
        draws = self._draws[:, None, :]
        sources, bounds = self._problem.sources, self._problem.bounds
        held = torch.ones(len(inputs), dtype=torch.float64)
        for bound in bounds:
            held = held * (bound(mean + draws * deviation) <= 0).double().mean(dim=0)
        moved = gather(sources, mean + draws * update, inputs)
        return gather(sources, mean[None], inputs)[0].numpy(), moved.numpy(), held.numpy()

    def _cells(self, points: FloatArray) -> Cells:
        reference = self._problem.reference
        return cells_of(points[:, 1:], points[:, 0], reference[1:], float(reference[0]))

    def _added(self, cells: Cells, points: FloatArray) -> FloatArray:
        return hypervolume_added(cells, points[:, 1:], points[:, 0])

    def _rise(self, means: FloatArray, moved: FloatArray, entry: int) -> float:
        """The expected rise over what the entry's mean adds already."""
        cells = self._cells(np.delete(means, entry, axis=0))
        return float(self._added(cells, moved).mean() - self._added(cells, means[[entry]])[0])
