"""Features and Gaussian processes of the `botorch` strategy.

Turns architectures into features and, with the unit-free numbers of `autodistill.search.scales`, into fitted models.
What is proposed from them is decided in `autodistill.search.botorch`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from botorch.exceptions.errors import BotorchError, ModelFittingError
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.transforms.input import FilterFeatures
from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import Kernel, LinearKernel, ScaleKernel
from gpytorch.likelihoods import FixedNoiseGaussianLikelihood, GaussianLikelihood
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import LogNormalPrior
from linear_operator.utils.cholesky import psd_safe_cholesky
from linear_operator.utils.errors import NanError, NotPSDError

from autodistill.components.architecture import Architecture, Choice
from autodistill.components.search import Parameter, SearchSpace
from autodistill.search.candidates import Pool
from autodistill.search.chunks import by_chunks
from autodistill.search.dense import covariance, factorised, loss_with_gradients
from autodistill.search.kernels import HammingKernel
from autodistill.search.scales import FEATURE_SUFFIXES, Scale, power_of_two

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from autodistill.components.search import FloatArray

# Noise below a hundredth of the spread of a metric makes covariance matrices ill-conditioned.
LEAST_NOISE = 1e-4
# GPyTorch's own least for a noise that is told.
LEAST_DOUBT = 1e-6
# Prior of the noise variance where nothing is told of it: log-normal around e^-4, BoTorch's own choice.
LOG_NOISE, LOG_NOISE_SPREAD = -4.0, 1.0
# Priors of the variances of the kernel's parts, log-normal: the curved part around the metric's own variance, the
# linear one around a third of it, both within a factor of e either way.
LOG_CURVED, LOG_LINEAR, LOG_PART_SPREAD = 0.0, -1.0, 1.0
LEAST_PART = 1e-5
# L-BFGS-B's; the defaults polish the twelfth digit of length scales for seconds.
FIT_OPTIONS = {"maxiter": 50, "ftol": 1e-6}
# Hyperparameters are fitted to at most so many rows; the time grows with the cube, their quality hardly at all.
FIT_ROWS = 192
#: What fitting and predicting may raise where numbers are too bad for a model.
NUMERICAL_ERRORS = (NanError, NotPSDError, ModelFittingError, BotorchError, torch.linalg.LinAlgError)  # type: ignore[attr-defined]
# Of a posterior, on standardised values: keeps roots and factors of covariances real.
LEAST_VARIANCE = 1e-10


def representable(space: SearchSpace, architecture: Architecture) -> bool:
    """Whether features mean the same for this architecture as for the space: same family, every choice in range."""
    choices = architecture.choices
    if architecture.family != space.family or not {parameter.name for parameter in space.parameters} <= set(choices):
        return False
    return all(_in_range(parameter, choices[parameter.name]) for parameter in space.parameters)


def _in_range(parameter: Parameter, value: Choice) -> bool:
    if value in parameter.values:
        return True
    numbers = [item for item in parameter.values if not isinstance(item, bool | str)]
    if parameter.type == "categorical" or isinstance(value, bool | str) or len(numbers) < len(parameter.values):
        return False
    return min(numbers) <= value <= max(numbers)


@dataclass(frozen=True)
class Layout:
    """What the columns of a feature matrix are.

    Ordered columns come first, whose distances mean something, and the last of them are those in which a metric may be
    linear; then, per categorical parameter, one column per category.

    Args:
        ordered: number of ordered columns.
        linear: how many of them are linear: logarithms of sizes, predictions of earlier studies.
        categories: number of categories of each categorical parameter.
    """

    ordered: int
    linear: int = 0
    categories: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """How many columns there are."""
        return self.ordered + sum(self.categories)


class FeatureMap:
    """Features of any pool on common scales, fitted to some pools.

    Ordered parameters give their rank in [0, 1], known sizes their logarithm in about [0, 1], further columns (such
    as what an earlier study predicts) come from ``extra``, and categorical parameters give a column per value.

    Args:
        space: of the architectures.
        pools: what the scales are fitted to; a size that is not known and positive for all of them is left out.
        extra: pool -> ``n x columns`` of further features, or None.
        sizes: whether known sizes are features at all.
    """

    def __init__(
        self,
        space: SearchSpace,
        pools: Sequence[Pool],
        extra: Callable[[Pool], FloatArray] | None = None,
        *,
        sizes: bool = True,
    ) -> None:
        self.extra = extra
        kinds = [(index, item) for index, item in enumerate(space.parameters)]
        # Two categories are as far apart as two ranks are: one column in [0, 1] serves both.
        self._ranked = [i for i, item in kinds if item.type != "categorical" or len(item.values) <= 2]
        self._categories = [(i, len(item.values)) for i, item in kinds if i not in self._ranked]
        self._sizes = _size_scales(pools) if sizes else {}
        further = 0 if extra is None else extra(pools[0]).shape[1]
        linear = len(self._sizes) + further
        self.layout = Layout(len(self._ranked) + linear, linear, tuple(count for _, count in self._categories))

    def __call__(self, pool: Pool) -> FloatArray:
        """``n x layout.width``."""
        columns = [pool.encoded[:, self._ranked]]
        for metric, (unit, low, spread) in self._sizes.items():
            with np.errstate(divide="ignore", invalid="ignore"):
                logs = np.log(pool.known[metric] / unit)
            # A size that is not known lies in the middle: nothing is learnt from it, and nothing breaks.
            columns.append(np.nan_to_num((logs - low) / spread, nan=0.5, posinf=1.0, neginf=0.0)[:, None])
        if self.extra is not None:
            columns.append(self.extra(pool))
        for i, count in self._categories:
            columns.append((np.rint(pool.encoded[:, [i]] * (count - 1)) == np.arange(count)).astype(np.float64))
        return np.hstack(columns)


def _size_scales(pools: Sequence[Pool]) -> dict[str, tuple[float, float, float]]:
    """Metric -> (unit, least logarithm, extent of the logarithms) of every usable size."""
    scales = {}
    for metric in sorted(name for name in pools[0].known if name.endswith(FEATURE_SUFFIXES)):
        values = np.concatenate([pool.known[metric] for pool in pools])
        if not (np.isfinite(values).all() and (values > 0).all()):
            continue
        unit = power_of_two(values)
        logs = np.log(values / unit)
        if float(np.ptp(logs)) > 0:
            scales[metric] = (unit, float(logs.min()), float(np.ptp(logs)))
    return scales


@dataclass(frozen=True)
class Observed:
    """What was observed of one metric, on its scale.

    Args:
        scale: how values became numbers.
        rows: positions among the representable rows of the history.
        values: one per row, zero mean and unit variance.
        noise: variance of an observation as far as it was told, on the scale, or None.
        doubt: one variance per row that is added to the noise, on the scale, where a value was predicted and not
            observed; None where all were observed. A prediction's variance holds the noise of a score already, so that
            predictions count for a little less than they might.
    """

    scale: Scale
    rows: NDArray[np.intp]
    values: FloatArray
    noise: float | None
    doubt: FloatArray | None = None


def observe(
    metric: str, values: FloatArray, variances: FloatArray | None, doubts: FloatArray | None = None
) -> Observed | None:
    """Scale the finite ``values`` of a metric; None when nothing can be learnt from them.

    Args:
        metric: name of the metric.
        values: one per row, NaN where there is none.
        variances: of observations, NaN where nothing is told, or None.
        doubts: of predictions that stand in for observations, 0 where a value was observed; None where all were.
    """
    rows = np.flatnonzero(np.isfinite(values))
    if len(rows) < 2:
        return None
    scale, seen = Scale.fit(metric, values[rows]), values[rows]
    if not np.isfinite(scale(seen)).all():
        return None
    noise = None
    if variances is not None and np.isfinite(variances[rows]).any():
        told = scale.variances(seen, variances[rows])
        finite = told[np.isfinite(told)]
        noise = max(float(np.median(finite)), LEAST_NOISE) if len(finite) else None
    doubt = None if doubts is None or not doubts[rows].any() else scale.variances(seen, doubts[rows])
    return Observed(scale, rows, scale(seen), noise, doubt)


@dataclass(frozen=True)
class Fitted:
    """A model of one metric.

    Args:
        whole: of every observation.
        coarse: of those that the hyperparameters were fitted to: the same where there are few. Its predictions cost
            less and are less certain, so that it rules out nothing that the whole model would not.
    """

    whole: SingleTaskGP
    coarse: SingleTaskGP


def fit_models(observed: Mapping[str, Observed], inputs: Tensor, layout: Layout) -> list[Fitted]:
    """Fit one Gaussian process per metric, in the order of ``observed``.

    Args:
        observed: metric -> observations.
        inputs: ``rows x columns`` of the representable rows; the models see the first ``layout.width`` columns.
        layout: what these columns are.
    """
    return [
        fit_model(inputs[torch.from_numpy(item.rows)], item.values, item.noise, layout, item.doubt)
        for item in observed.values()
    ]


def fit_model(
    inputs: Tensor, values: FloatArray, noise: float | None, layout: Layout, doubt: FloatArray | None = None
) -> Fitted:
    """A Gaussian process of one metric: a constant, a line in the sizes, and a curved part over all features.

    The line's slopes have a normal prior and are integrated out, so that few observations cannot mislead them. The
    noise is inferred, from replicates above all; what is told of it is where its prior lies, not its value: the
    sampling error of a split is shared by all architectures that are scored on it.

    Args:
        inputs: ``n x columns``.
        values: ``n``, zero mean and unit variance.
        noise: variance that was told of an observation, or None.
        layout: what the first ``layout.width`` columns are.
        doubt: ``n`` variances beyond the noise, see `Observed`, or None.

    Raises:
        ModelFittingError: no hyperparameters could be found.
    """
    targets = torch.from_numpy(values)[:, None]
    rows = torch.from_numpy(_spread_rows(values))
    beyond = None if doubt is None else torch.from_numpy(doubt)
    model = _model(inputs[rows], targets[rows], noise, layout, None if beyond is None else beyond[rows])
    try:
        likelihood = ExactMarginalLogLikelihood(model.likelihood, model).train()
        fit_gpytorch_mll(likelihood, closure=loss_with_gradients(likelihood), optimizer_kwargs={"options": FIT_OPTIONS})
    except (ValueError, ArithmeticError) as error:  # a parameter ran to where its prior has no density
        raise ModelFittingError(f"the hyperparameters could not be fitted: {error}") from error
    if len(rows) == len(values):
        return Fitted(model, model)
    whole = _model(inputs, targets, noise, layout, beyond)
    whole.load_state_dict(model.state_dict())
    whole.eval()
    return Fitted(whole, model)


def _spread_rows(values: FloatArray) -> NDArray[np.intp]:
    """At most `FIT_ROWS` rows: half of them the best on either side, the rest evenly over the order of asks."""
    n = len(values)
    if n <= FIT_ROWS:
        return np.arange(n)
    order = np.argsort(values, kind="stable")
    ends = np.concatenate([order[: FIT_ROWS // 4], order[-(FIT_ROWS // 4) :]])
    rest = np.setdiff1d(np.arange(n), ends)
    even = rest[np.linspace(0, len(rest) - 1, FIT_ROWS - len(ends)).astype(np.intp)]
    return np.sort(np.concatenate([ends, even]))


def _model(inputs: Tensor, targets: Tensor, noise: float | None, layout: Layout, doubt: Tensor | None) -> SingleTaskGP:
    centre = LOG_NOISE if noise is None else math.log(noise)
    prior = LogNormalPrior(centre, LOG_NOISE_SPREAD)
    least = GreaterThan(LEAST_NOISE, transform=None, initial_value=max(math.exp(centre), 2 * LEAST_NOISE))
    likelihood: GaussianLikelihood | FixedNoiseGaussianLikelihood
    if doubt is None:
        likelihood = GaussianLikelihood(noise_prior=prior, noise_constraint=least)
    else:
        likelihood = FixedNoiseGaussianLikelihood(
            doubt.clamp_min(LEAST_DOUBT), learn_additional_noise=True, noise_prior=prior, noise_constraint=least
        )
    return SingleTaskGP(
        train_X=inputs,
        train_Y=targets,
        likelihood=likelihood,
        covar_module=_kernel(layout),
        # Values are standardised already, with the scale that constraints and known metrics share.
        outcome_transform=None,
        input_transform=FilterFeatures(torch.arange(layout.width)),
    ).double()


def noise_of(model: SingleTaskGP) -> tuple[Tensor, Tensor]:
    """(variance of an observation, variance of each row the model was fitted to with its doubt), detached."""
    likelihood = model.likelihood
    fixed = isinstance(likelihood, FixedNoiseGaussianLikelihood)
    plain = (likelihood.second_noise if fixed else likelihood.noise).detach().mean()
    return plain, likelihood.noise.detach() if fixed else plain.expand(len(model.train_targets))


def _kernel(layout: Layout) -> Kernel:
    curved: Kernel | None = None
    if layout.ordered:
        # Matern 5/2 with a length-scale prior that grows with the number of features (Hvarfner et al. 2024).
        curved = get_covar_module_with_dim_scaled_prior(
            ard_num_dims=layout.ordered, use_rbf_kernel=False, active_dims=tuple(range(layout.ordered))
        )
    if layout.categories:
        categories = HammingKernel(layout.categories, tuple(range(layout.ordered, layout.width)))
        curved = categories if curved is None else curved * categories
    kernel: Kernel = ScaleKernel(
        curved,
        outputscale_prior=LogNormalPrior(LOG_CURVED, LOG_PART_SPREAD),
        outputscale_constraint=GreaterThan(LEAST_PART),
    )
    if layout.linear:
        line = LinearKernel(
            ard_num_dims=layout.linear,
            active_dims=tuple(range(layout.ordered - layout.linear, layout.ordered)),
            variance_prior=LogNormalPrior(LOG_LINEAR, LOG_PART_SPREAD),
            variance_constraint=GreaterThan(LEAST_PART),
        )
        kernel = kernel + line
    return kernel


@dataclass(frozen=True)
class Joint:
    """A joint posterior at some inputs, and what it takes to add others.

    Args:
        points: ``rows x columns``, the inputs as the kernel takes them.
        mean: ``rows``.
        rest: ``observations x rows``, see `Posterior`.
        covariance: ``rows x rows``.
    """

    points: Tensor
    mean: Tensor
    rest: Tensor
    covariance: Tensor


class Posterior:
    """A fitted model's posterior over many candidates, by dense algebra on one factor of the covariance.

    GPyTorch's own prediction keeps more structure than a few hundred observations need and takes minutes where this
    takes a second; the kernel and its hyperparameters are the model's.

    Args:
        model: fitted.
        believed: ``n x columns``, inputs at which the mean is taken as if it had been observed (kriging believer):
            the mean stays, the variance near them falls. That is how pending trials count.
    """

    def __init__(self, model: SingleTaskGP, believed: Tensor | None = None) -> None:
        self.model = model
        plain, noises = noise_of(model)
        self.noise = float(plain)
        with torch.no_grad():
            self._inputs, targets = model.train_inputs[0], model.train_targets
            self._constant = float(model.mean_module(self._inputs[:1]).detach())
            self._factorise(targets, noises)
            if believed is not None and len(believed):
                mean = torch.from_numpy(self(believed)[0])
                self._inputs = torch.cat([self._inputs, model.transform_inputs(believed)])
                self._factorise(torch.cat([targets, mean]), torch.cat([noises, plain.expand(len(believed))]))

    def _factorise(self, targets: Tensor, noises: Tensor) -> None:
        self._factor, self._weights = factorised(self.model, self._inputs, targets - self._constant, noises)

    def __call__(self, inputs: Tensor) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the noise-free metric at ``n x columns``, each of length ``n``."""
        points = self._points(inputs)
        means, deviations = zip(*by_chunks(lambda rows: self._predict(points[rows]), len(points)), strict=True)
        return torch.cat(means).numpy(), torch.cat(deviations).numpy()

    @torch.no_grad()
    def _predict(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation at inputs as the kernel takes them."""
        mean, rest = self._conditioned(points)
        return mean, (self._prior(points) - rest.square_().sum(dim=0)).clamp_min(LEAST_VARIANCE).sqrt()

    def moves(self, deviation: FloatArray) -> FloatArray:
        """Standard deviation of how far one more observation moves the mean where the metric has this deviation."""
        moved: FloatArray = deviation**2 / np.sqrt(deviation**2 + self.noise)
        return moved

    def samples(self, inputs: Tensor, n: int, rng: np.random.Generator) -> FloatArray:
        """``n x rows`` joint draws of the noise-free metric at ``rows x columns``."""
        known = self.joint(inputs)
        with torch.no_grad():
            known.covariance.diagonal().add_(LEAST_VARIANCE)
            root = psd_safe_cholesky(known.covariance)
            draws = torch.from_numpy(rng.standard_normal((n, len(inputs))))
        return np.asarray((known.mean + draws @ root.mT).numpy())

    @torch.no_grad()
    def joint(self, inputs: Tensor) -> Joint:
        """The joint distribution of the noise-free metric at ``rows x columns``."""
        points = self._points(inputs)
        mean, rest = self._conditioned(points)
        return Joint(points, mean, rest, covariance(self.model.covar_module, points, points) - rest.mT @ rest)

    @torch.no_grad()
    def beside(self, known: Joint, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Means ``n x (rows + 1)`` and covariances ``n x (rows + 1) x (rows + 1)`` of ``rows`` that `joint` has worked
        out, each time with one of ``n x columns`` as the last.
        """
        points = self._points(inputs)
        mean, rest = self._conditioned(points)
        shared = covariance(self.model.covar_module, points, known.points) - rest.mT @ known.rest
        own = (self._prior(points) - rest.square().sum(dim=0)).clamp_min(LEAST_VARIANCE)
        n, rows = shared.shape
        joint = shared.new_empty(n, rows + 1, rows + 1)
        joint[:, :rows, :rows] = known.covariance
        joint[:, rows, :rows] = joint[:, :rows, rows] = shared
        joint[:, rows, rows] = own
        return torch.cat([known.mean.expand(n, rows), mean[:, None]], dim=1), joint

    @torch.no_grad()
    def _points(self, inputs: Tensor) -> Tensor:
        """Inputs as the kernel takes them."""
        found: Tensor = self.model.transform_inputs(inputs)
        return found

    def _conditioned(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Means, and ``observations x n``, whose products are what the observations take from the covariances."""
        cross = covariance(self.model.covar_module, points, self._inputs)
        rest = torch.linalg.solve_triangular(self._factor, cross.mT, upper=False)
        return self._constant + (cross @ self._weights)[:, 0], rest

    def _prior(self, points: Tensor) -> Tensor:
        """Variances before anything was observed."""
        found: Tensor = self.model.covar_module(points, diag=True)
        return found
