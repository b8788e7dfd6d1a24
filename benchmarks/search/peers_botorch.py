"""qLogNEHVI with every objective modelled: what one gets from BoTorch's tutorial on a discrete space.

Accuracy and the logarithm of the latency are Gaussian processes over the encoded choices, nothing is known, and the
acquisition function is scored on the whole space, as ours is, or on a sample and the neighbours of the observed front,
from where it climbs on through the neighbours of the best, as ours does.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.models import ModelListGP, SingleTaskGP
from botorch.models.transforms import Standardize
from botorch.sampling import SobolQMCNormalSampler
from gpytorch.mlls import SumMarginalLogLikelihood

from autodistill.components.architecture import Architecture
from autodistill.components.search import History, Proposal
from autodistill.pareto import non_dominated
from autodistill.search.botorch import CENTRES, ROUNDS
from autodistill.search.sobol import SobolSearch
from benchmarks.search.problems import ACCURACY, LATENCY, Problem, minimised

if TYPE_CHECKING:
    from torch import Tensor

    from autodistill.components.search import FloatArray

#: Space-filling trials first; BoTorch's tutorials take 2 (d + 1), which would be 56 of 80 on 27 parameters.
INITIAL = 10

#: Spaces up to this size are scored whole, larger ones by so many random architectures.
WHOLE, SAMPLE = 5000, 2000

#: Quasi-Monte-Carlo samples, and candidates scored at once.
SAMPLES, CHUNK = 64, 512

#: Variance of an observation that is told to be exact: what keeps the algebra stable in standardised units.
JITTER = 1e-6


class EverythingModelled:
    """A searcher of `benchmarks.search.searchers`; a function of the history and the seed."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem, self.seed = problem, seed
        self.start = SobolSearch(problem.context(seed, known=False))

    def next(self, history: History) -> Proposal:
        """The candidate with the largest acquisition value."""
        if len(history) < INITIAL:
            return self.start.propose(history, 1)[0]
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            torch.manual_seed(self.seed + len(history))
            return Proposal(self._best(history, self._scorer(history)))

    def _best(self, history: History, score: Callable[[Sequence[Architecture]], FloatArray]) -> Architecture:
        space, tried = self.problem.space, set(history.architectures)
        if space.size is not None and space.size <= WHOLE:
            whole = [item for item in space.enumerate() if item not in tried]
            return whole[int(score(whole).argmax())]
        drawn = space.sample(SAMPLE, self.seed + len(history))
        front = [history.architectures[row] for row in np.flatnonzero(non_dominated(_targets(history)))]
        found = {item: -np.inf for item in (*drawn, *self._neighbours(front)) if item not in tried}
        new, expanded = list(found), set[Architecture]()
        best = -np.inf
        for _ in range(1 + ROUNDS):
            found.update(zip(new, score(new).tolist(), strict=True) if new else ())
            ranked = sorted(found, key=found.__getitem__, reverse=True)
            centres = [item for item in ranked[:CENTRES] if item not in expanded]
            if not centres or found[ranked[0]] <= best:
                break
            best = found[ranked[0]]
            expanded.update(centres)
            new = [item for item in self._neighbours(centres) if item not in tried and item not in found]
        return ranked[0]

    def _neighbours(self, centres: Sequence[Architecture]) -> list[Architecture]:
        near = (other for centre in centres for other in self.problem.space.neighbours(centre))
        return list(dict.fromkeys(near))

    def _scorer(self, history: History) -> Callable[[Sequence[Architecture]], FloatArray]:
        """The acquisition function, given the history."""
        encode = self.problem.space.encode
        inputs = torch.from_numpy(encode(history.architectures))
        outputs = torch.from_numpy(-_targets(history))
        noise = torch.from_numpy(np.asarray(history.variances[ACCURACY.metric], dtype=np.float64))
        model = _fitted(inputs, outputs, torch.stack([noise, torch.zeros_like(noise)], dim=1))
        acquisition = qLogNoisyExpectedHypervolumeImprovement(
            model=model,
            ref_point=torch.from_numpy(-self.problem.corner),
            X_baseline=inputs,
            sampler=SobolQMCNormalSampler(torch.Size([SAMPLES]), seed=self.seed),
            prune_baseline=True,
        )

        def score(candidates: Sequence[Architecture]) -> FloatArray:
            points = torch.from_numpy(encode(candidates)).unsqueeze(1)
            with torch.no_grad():
                return torch.cat([acquisition(chunk) for chunk in torch.split(points, CHUNK)]).numpy()

        return score


def _targets(history: History) -> Any:
    return minimised(history.metrics[ACCURACY.metric], history.metrics[LATENCY.metric])


def _fitted(inputs: Tensor, outputs: Tensor, noise: Tensor) -> ModelListGP:
    """One process per objective with the told noise."""
    models = []
    for column in range(outputs.shape[1]):
        values = outputs[:, [column]]
        variance = noise[:, [column]].clamp_min(JITTER * float(values.var()))
        models.append(SingleTaskGP(inputs, values, variance, outcome_transform=Standardize(m=1)))
    model = ModelListGP(*models)
    fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))
    return model
