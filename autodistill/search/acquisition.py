"""Expected improvement under noise by quasi-Monte-Carlo samples, over a discrete set.

Used by the `botorch` strategy when two or more objectives must be learnt; with one, `autodistill.search.closed_form`
needs no samples. Known objectives are columns of the inputs, with their standard deviations where these are stated;
the others come from Gaussian processes (see `autodistill.search.surrogates`). Everything is on unit-free scales, ratios
in logarithms, and to be maximised.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.acquisition.multi_objective import logei
from botorch.acquisition.multi_objective.objective import MCMultiOutputObjective
from botorch.exceptions.warnings import BotorchWarning
from botorch.models import ModelListGP
from botorch.models.model import Model
from botorch.posteriors import GPyTorchPosterior
from botorch.sampling import SobolQMCNormalSampler
from botorch.sampling.get_sampler import get_sampler
from botorch.utils.multi_objective.box_decompositions import FastNondominatedPartitioning
from botorch.utils.sampling import draw_sobol_normal_samples
from gpytorch.distributions import MultitaskMultivariateNormal, MultivariateNormal
from gpytorch.utils.warnings import GPInputWarning
from linear_operator import to_linear_operator
from linear_operator.utils.warnings import NumericalWarning
from scipy.special import ndtri
from torch import Tensor

from autodistill.pareto import non_dominated
from autodistill.search.chunks import CHUNK, by_chunks, threads
from autodistill.search.closed_form import PLAUSIBLE, PROMISING, Choice
from autodistill.search.surrogates import Fitted, Joint, Posterior

if TYPE_CHECKING:
    from botorch.models import SingleTaskGP
    from numpy.typing import NDArray

    from autodistill.components.search import FloatArray
    from autodistill.search.replicates import Looks

# Candidates that reach the acquisition function, and how the others are told from them: by all samples if they are
# among the `PROMISING` by the first few.
SHORTLIST = 128
SCREENING_SAMPLES, ROUGH_SAMPLES = 32, 4
OPTIMISM = 2.0
# Volumes, of candidates times draws times cells, that are screened at once: a few megabytes.
SCREENED = 1 << 17
# Candidates that the acquisition function values at once: bounds the memory to some hundred megabytes.
VALUED = 8
# Joint draws by which what was tried is told from what is on the front in none of them.
PRUNING_SAMPLES = 256

_EXPECTED_WARNINGS = (BotorchWarning, NumericalWarning, GPInputWarning)


@dataclass(frozen=True)
class Source:
    """Where an objective comes from: a column of the inputs, or an output of the model.

    Args:
        column: column of the inputs for a known metric, else None.
        output: output of the model for a modelled metric, else None.
        sign: 1 for what is to be maximised, -1 for what is to be minimised.
        spread: column of the inputs for the standard deviation of a known metric, None where it is exact.
    """

    column: int | None
    output: int | None
    sign: float
    spread: int | None = None

    def __call__(self, samples: Tensor, inputs: Tensor) -> Tensor:
        """Values to be maximised; samples are ``samples x ... x outputs``, inputs ``... x columns``."""
        if self.column is None:
            return self.sign * samples[..., self.output]
        known = self.sign * inputs[..., self.column].expand(samples.shape[:-1])
        if self.spread is None:
            return known
        draws = _normal_draws(samples.shape[0], self.spread)
        return known + draws.view(-1, *[1] * (known.ndim - 1)) * inputs[..., self.spread]


@dataclass(frozen=True)
class Bound:
    """A constraint on an output of the model: ``sign * (output - bound) <= 0``."""

    output: int
    sign: float
    bound: float

    def __call__(self, samples: Tensor) -> Tensor:
        """Negative where the constraint holds; samples are ``... x outputs``."""
        return self.sign * (samples[..., self.output] - self.bound)


@dataclass(frozen=True)
class Problem:
    """What is to be improved.

    Args:
        models: of the metrics that training must show, one output each.
        sources: one per objective.
        bounds: constraints on outputs of the model.
        baseline: ``rows x columns``, the inputs of the space that were observed and are feasible.
        values: ``rows x objectives``, what was observed there, to be maximised.
        pending: ``rows x columns``, the inputs of the space that are being tried.
        reference: ``objectives``, the reference point, to be maximised.
        architectures: ``rows``, the architecture of each row of the baseline: the first row of the view that has it.
        pending_architectures: the same of what is being tried.
        runs: ``rows``, how often each of the baseline's was tried, or is being tried, whatever became of it.
    """

    models: tuple[Fitted, ...]
    sources: tuple[Source, ...]
    bounds: tuple[Bound, ...]
    baseline: Tensor
    values: FloatArray
    pending: Tensor
    reference: FloatArray
    architectures: NDArray[np.intp]
    pending_architectures: NDArray[np.intp]
    runs: NDArray[np.intp]

    @property
    def model(self) -> Model:
        """All models as one."""
        return _JointModels([model.whole for model in self.models])


class _JointModels(ModelListGP):
    """Models whose joint posterior of a baseline with one candidate after the other works out the baseline once.

    GPyTorch works it out again for every candidate, which is most of the time after 1,000 trials. The numbers are its
    own, but for rounding.
    """

    def __init__(self, models: Sequence[SingleTaskGP]) -> None:
        super().__init__(*models)
        self._posteriors = [Posterior(model) for model in models]
        self._baseline = torch.empty(0)
        self._joints: list[Joint] = []

    def posterior(self, X: Tensor, *args: Any, **kwargs: Any) -> GPyTorchPosterior:  # noqa: N803 - BoTorch's name
        """Of ``rows x columns``, or of ``n x rows x columns`` which differ in their last row alone."""
        baseline = X if X.ndim == 2 else X[0, :-1]
        others = args or any(kwargs.values())
        if others or (X.ndim > 2 and not torch.equal(X[..., :-1, :], baseline.expand(len(X), *baseline.shape))):
            raise NotImplementedError("only the noise-free posterior of one baseline, with a candidate each, is known.")
        if not torch.equal(baseline, self._baseline):
            self._baseline, self._joints = baseline, [posterior.joint(baseline) for posterior in self._posteriors]
        if X.ndim == 2:
            parts = [(known.mean, known.covariance) for known in self._joints]
        else:
            pairs = zip(self._posteriors, self._joints, strict=True)
            parts = [posterior.beside(known, X[:, -1]) for posterior, known in pairs]
        normals = [MultivariateNormal(mean, to_linear_operator(covariance)) for mean, covariance in parts]
        return GPyTorchPosterior(MultitaskMultivariateNormal.from_independent_mvns(normals))


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Keep torch's global random numbers, BoTorch's compiler and its expected warnings to ourselves.

    BoTorch would compile a C++ kernel for the processor at hand on first use: minutes of work, results that
    depend on whether there is a compiler, and no use for noisy observations.
    """
    attempted, count = getattr(logei, "_load_attempted", None), torch.get_num_threads()
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(), threads(count):
        torch.default_generator.manual_seed(seed)
        for category in _EXPECTED_WARNINGS:
            warnings.simplefilter("ignore", category)
        try:
            logei._load_attempted = True
            # A few hundred observations are no work to share; threads that wait for busy cores take minutes. Many
            # candidates are, by chunks.
            torch.set_num_threads(1)
            yield
        finally:
            torch.set_num_threads(count)
            if attempted is not None:
                logei._load_attempted = attempted


def predicted(posteriors: Sequence[Posterior], inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Means and standard deviations, ``rows x outputs`` each, of ``rows x columns``."""
    means, deviations = zip(*(posterior(inputs) for posterior in posteriors), strict=True)
    return torch.from_numpy(np.stack(means, axis=1)), torch.from_numpy(np.stack(deviations, axis=1))


class Screen:
    """A cheap and optimistic estimate of the hypervolume that each candidate alone adds.

    It takes the observed front as certain and the candidates one by one, with `OPTIMISM` times their standard
    deviation; it costs microseconds per candidate, the acquisition function milliseconds.

    Args:
        problem: what is to be improved.
        seed: of the samples.
    """

    def __init__(self, problem: Problem, seed: int) -> None:
        self._problem = problem
        self._draws = draw_sobol_normal_samples(len(problem.models), SCREENING_SAMPLES, dtype=torch.float64, seed=seed)
        self._lower, self._upper = _cells(problem)
        self._posteriors = [Posterior(model.coarse) for model in problem.models]

    def plausible(self) -> Tensor:
        """Rows of the baseline that may be on the front: nothing beats them where they do well and the rest badly."""
        baseline = self._problem.baseline
        mean, deviation = predicted(self._posteriors, baseline)
        reach = PLAUSIBLE * deviation
        ends = [gather(self._problem.sources, (mean + side * reach)[None], baseline)[0] for side in (-1.0, 1.0)]
        low, high = torch.minimum(*ends), torch.maximum(*ends)
        beaten = (low[None] >= high[:, None]).all(dim=-1) & (low[None] > high[:, None]).any(dim=-1)
        return torch.nonzero(~beaten.any(dim=1))[:, 0]

    def __call__(self, candidates: Tensor) -> Tensor:
        """The estimates of ``rows x columns`` candidates; of more than `PROMISING`, 0 of those that a rougher one puts
        behind the first so many.
        """
        mean, deviation = predicted(self._posteriors, candidates)
        if len(candidates) <= PROMISING:
            return self._estimates(candidates, mean, deviation, self._draws)
        rough = self._estimates(candidates, mean, deviation, self._draws[:ROUGH_SAMPLES])
        rows = rough.topk(PROMISING).indices
        estimates = torch.zeros_like(rough)
        estimates[rows] = self._estimates(candidates[rows], mean[rows], deviation[rows], self._draws)
        return estimates

    def _estimates(self, candidates: Tensor, mean: Tensor, deviation: Tensor, draws: Tensor) -> Tensor:
        def promise(rows: slice) -> Tensor:
            return self._promise(candidates[rows], mean[rows], deviation[rows], draws)

        size = max(1, min(CHUNK, SCREENED // (len(draws) * len(self._lower))))
        return torch.cat(by_chunks(promise, len(candidates), size))

    def _promise(self, candidates: Tensor, mean: Tensor, deviation: Tensor, draws: Tensor) -> Tensor:
        samples = mean + OPTIMISM * draws[:, None, :] * deviation
        values = gather(self._problem.sources, samples, candidates)
        sides = (torch.minimum(values[..., None, :], self._upper) - self._lower).clamp_min_(0.0)
        volume = sides.prod(dim=-1).sum(dim=-1)
        for bound in self._problem.bounds:
            volume = volume * (bound(samples) <= 0)
        return volume.mean(dim=0)


def choose(
    problem: Problem, screen: Screen, near: Tensor, looks: Looks, candidates: Tensor, n: int, samples: int, seed: int
) -> list[Choice]:
    """Up to ``n`` choices, best first, each in the light of those before it.

    Args:
        problem: what is to be improved.
        screen: of the problem; what it finds best reaches the acquisition function.
        near: rows of the baseline that may be on the front.
        looks: at what was tried, which may be worth more.
        candidates: ``rows x columns``, none of which was tried.
        n: how many.
        samples: quasi-Monte-Carlo samples.
        seed: of the samples.
    """
    listed = _shortlist(screen, candidates, max(SHORTLIST, 4 * n))
    baseline, short = problem.baseline[near], candidates[listed]
    taken: list[int] = []
    values = _acquired(problem, baseline, short, taken, samples, seed)
    choices: list[Choice] = []
    while len(choices) < n:
        again = looks.again(short, values, short[taken])
        if again is not None:
            choices.append(again)
            continue
        if len(taken) == len(short):
            break
        taken.append(int(values.argmax()))
        choices.append(Choice(int(listed[taken[-1]]), False, float(values[taken[-1]])))
        if len(choices) < n:
            values = _acquired(problem, baseline, short, taken, samples, seed)
    return choices


def _acquired(problem: Problem, baseline: Tensor, short: Tensor, taken: list[int], samples: int, seed: int) -> Tensor:
    """The acquisition function of ``rows x columns``, given that some rows are taken; -inf of these."""
    pending = torch.cat([problem.pending, short[taken]])
    acquisition = _acquisition(problem, baseline, pending, SobolQMCNormalSampler(torch.Size([samples]), seed=seed))
    with torch.no_grad():
        parts = [acquisition(part[:, None, :]) for part in short.split(VALUED)]
    values = torch.cat(parts).nan_to_num(nan=-torch.inf)
    values[taken] = -torch.inf
    return values


def _shortlist(screen: Screen, candidates: Tensor, count: int) -> Tensor:
    """Rows of the ``count`` candidates that promise most, in rising order."""
    if len(candidates) <= count:
        return torch.arange(len(candidates))
    return screen(candidates).topk(count).indices.sort().values


def _cells(problem: Problem) -> tuple[Tensor, Tensor]:
    """Boxes that tile what the front of the observed values does not dominate above the reference point."""
    values = problem.values
    reference = torch.from_numpy(problem.reference)
    lower, upper = FastNondominatedPartitioning(reference, torch.from_numpy(values)).get_hypercell_bounds()
    return lower, upper


@lru_cache(maxsize=32)
def _normal_draws(n: int, stream: int) -> Tensor:
    """``n`` standard normal draws, one of each of ``n`` equally likely parts, in an order of the stream's own."""
    shuffled = np.random.default_rng([n, stream]).permutation(n)
    return torch.from_numpy(ndtri((shuffled + 0.5) / n))


def _acquisition(
    problem: Problem, baseline: Tensor, pending: Tensor, sampler: SobolQMCNormalSampler
) -> AcquisitionFunction:
    bounds: list[Callable[[Tensor], Tensor]] | None = list(problem.bounds) or None
    waiting = pending if len(pending) else None
    model = problem.model
    return logei.qLogNoisyExpectedHypervolumeImprovement(
        model,
        ref_point=problem.reference.tolist(),
        X_baseline=baseline[_on_some_front(problem, model, baseline)],
        sampler=sampler,
        objective=_Objectives(problem.sources),
        constraints=bounds,
        X_pending=waiting,
        prune_baseline=False,
    )


@torch.no_grad()
def _on_some_front(problem: Problem, model: Model, baseline: Tensor) -> Tensor:
    """Rows of the baseline that are feasible and on the front beyond the reference point in some joint draw.

    BoTorch's ``prune_inferior_points_multi_objective`` finds the same rows of the same draws, but its test of dominance
    takes a third of a proposal after 1,000 trials.
    """
    posterior = model.posterior(baseline)
    samples = get_sampler(posterior, sample_shape=torch.Size([PRUNING_SAMPLES]))(posterior)
    values = gather(problem.sources, samples, baseline)
    inside = (values > torch.from_numpy(problem.reference)).all(dim=-1)
    for bound in problem.bounds:
        inside &= bound(samples) <= 0
    found = np.zeros(len(baseline), dtype=bool)
    for draw, there in zip(values.numpy(), inside.numpy(), strict=True):
        rows = np.flatnonzero(there)  # nothing beyond the reference is dominated by what is not
        found[rows[non_dominated(-draw[rows])]] = True
    return torch.from_numpy(np.flatnonzero(found))


class _Objectives(MCMultiOutputObjective):
    """All objectives from the samples of the modelled ones and the input columns of the known ones."""

    def __init__(self, sources: tuple[Source, ...]) -> None:
        super().__init__()
        self.sources = sources

    def forward(self, samples: Tensor, X: Tensor | None = None) -> Tensor:  # noqa: N803 - BoTorch's name
        """Samples are ``samples x batch x q x outputs``, X is ``batch x q x columns``."""
        if X is None:
            raise ValueError("Known objectives are read from the inputs; X is needed.")
        return gather(self.sources, samples, X)


def gather(sources: tuple[Source, ...], samples: Tensor, inputs: Tensor) -> Tensor:
    """All objectives, to be maximised, of ``samples x ... x outputs`` and ``... x columns``."""
    return torch.stack([source(samples, inputs) for source in sources], dim=-1)
