"""Features and Gaussian processes of the `botorch` strategy.

Turns architectures into features and, with the unit-free numbers of `autodistill.search.scales`, into fitted models.
What is proposed from them is decided in `autodistill.search.botorch`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import ModelListGP, SingleTaskGP
from botorch.models.transforms.input import FilterFeatures
from gpytorch.mlls import ExactMarginalLogLikelihood

from autodistill.components.architecture import Architecture, Choice
from autodistill.components.search import Parameter, SearchSpace
from autodistill.search.candidates import Pool
from autodistill.search.scales import Scale, power_of_two

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from autodistill.components.search import FloatArray

#: Endings of known metrics whose logarithm is a feature: size explains much of accuracy and of latency.
FEATURE_SUFFIXES = (".parameters", ".flops")

# Noise below a hundredth of the spread of a metric makes covariance matrices ill-conditioned.
LEAST_NOISE = 1e-4
# L-BFGS-B's; the defaults polish the twelfth digit of length scales for seconds.
FIT_OPTIONS = {"maxiter": 50, "ftol": 1e-6}


def representable(space: SearchSpace, architecture: Architecture) -> bool:
    """Whether features mean the same for this architecture as for the space: same family, every choice in range."""
    choices = architecture.choices
    if architecture.family != space.family or set(choices) != {parameter.name for parameter in space.parameters}:
        return False
    return all(_in_range(parameter, choices[parameter.name]) for parameter in space.parameters)


def _in_range(parameter: Parameter, value: Choice) -> bool:
    if value in parameter.values:
        return True
    numbers = [item for item in parameter.values if not isinstance(item, bool | str)]
    if parameter.type == "categorical" or isinstance(value, bool | str) or len(numbers) < len(parameter.values):
        return False
    return min(numbers) <= value <= max(numbers)


def features(space: SearchSpace, pools: tuple[Pool, ...]) -> list[FloatArray]:
    """Features in [0, 1] of several pools on common scales, each ``n x features``.

    Ordered parameters give their rank, categorical ones one column per value, and known sizes their logarithm.
    """
    blocks = [[_parameter_columns(space.parameters, pool.encoded)] for pool in pools]
    for metric in sorted(name for name in pools[0].known if name.endswith(FEATURE_SUFFIXES)):
        values = np.concatenate([pool.known[metric] for pool in pools])
        if not (np.isfinite(values).all() and (values > 0).all()):
            continue
        logs = np.log(values / power_of_two(values))
        spread = float(np.ptp(logs)) or 1.0
        ends = np.cumsum([len(pool.architectures) for pool in pools])[:-1]
        for block, column in zip(blocks, np.split((logs - logs.min()) / spread, ends), strict=True):
            block.append(column[:, None])
    return [np.hstack(block) for block in blocks]


def _parameter_columns(parameters: tuple[Parameter, ...], encoded: FloatArray) -> FloatArray:
    columns: list[FloatArray] = []
    for index, parameter in enumerate(parameters):
        column, count = encoded[:, index], len(parameter.values)
        if parameter.type != "categorical" or count <= 2:
            columns.append(column[:, None])
            continue
        ranks = np.rint(column * (count - 1))
        columns.append((ranks[:, None] == np.arange(count)[None, :]).astype(np.float64))
    return np.hstack(columns)


@dataclass(frozen=True)
class Observed:
    """What was observed of one metric, on its scale.

    Args:
        scale: how values became numbers.
        rows: positions among the representable rows of the history.
        values: one per row, zero mean and unit variance.
        variances: one per row, or None when the noise is to be inferred.
    """

    scale: Scale
    rows: NDArray[np.intp]
    values: FloatArray
    variances: FloatArray | None


def observe(metric: str, values: FloatArray, variances: FloatArray | None) -> Observed | None:
    """Scale the finite ``values`` of a metric; None when nothing can be learnt from them.

    Missing variances get the median of those that exist; when none exists the noise is inferred.
    """
    rows = np.flatnonzero(np.isfinite(values))
    if len(rows) < 2:
        return None
    scale, seen = Scale.fit(metric, values[rows]), values[rows]
    noise = None
    if variances is not None and np.isfinite(variances[rows]).any():
        noise = scale.variances(seen, variances[rows])
        noise = np.maximum(np.where(np.isfinite(noise), noise, np.nanmedian(noise)), LEAST_NOISE)
    return Observed(scale, rows, scale(seen), noise)


def fit_models(observed: Mapping[str, Observed], inputs: Tensor, width: int) -> SingleTaskGP | ModelListGP:
    """Fit one Gaussian process per metric, in the order of ``observed``.

    Args:
        observed: metric -> observations.
        inputs: ``rows x columns`` of the representable rows; the models see the first ``width`` columns.
        width: number of feature columns.
    """
    models = [_fit_model(item, inputs, width) for item in observed.values()]
    return models[0] if len(models) == 1 else ModelListGP(*models)


def _fit_model(observed: Observed, inputs: Tensor, width: int) -> SingleTaskGP:
    def column(values: FloatArray) -> Tensor:
        return torch.from_numpy(values)[:, None]

    model = SingleTaskGP(
        train_X=inputs[torch.from_numpy(observed.rows)],
        train_Y=column(observed.values),
        train_Yvar=None if observed.variances is None else column(observed.variances),
        # Values are standardised already, with the scale that constraints and known metrics share.
        outcome_transform=None,
        input_transform=FilterFeatures(torch.arange(width)),
    )
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model), optimizer_kwargs={"options": FIT_OPTIONS})
    return model
