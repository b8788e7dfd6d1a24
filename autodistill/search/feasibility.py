"""How likely candidates are to keep the bounds on metrics that are measured or learnt.

Used by the `botorch` strategy: in its acquisition, and for its start where most of what is tried breaks a bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import log_ndtr

from autodistill.search.surrogates import FeatureMap, Posterior, fit_models
from autodistill.search.view import ScaledBound, View, scaled_bound

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray
    from autodistill.search.candidates import Pool
    from autodistill.search.surrogates import Observed


def scaled_bounds(view: View, observed: Mapping[str, Observed]) -> list[ScaledBound]:
    """The bounds on what was observed, on the scales of the models."""
    return [
        bound
        for item in view.modelled_constraints
        if item.metric in observed and (bound := scaled_bound(item, observed[item.metric].scale)) is not None
    ]


def log_chances(bounds: Sequence[ScaledBound], posteriors: Mapping[str, Posterior], inputs: torch.Tensor) -> FloatArray:
    """Log probability that all bounds hold, taken as independent: one value per row of ``inputs``."""
    total = np.zeros(len(inputs))
    for bound in bounds:
        mean, deviation = posteriors[bound.metric](inputs)
        total += log_ndtr(bound.sign * (bound.bound - mean) / deviation)
    return total


def log_chances_of(view: View, pool: Pool, features: FeatureMap) -> FloatArray | None:
    """The same of a pool before there is any objective to be learnt; None where no bound was observed."""
    observed = view.observed_constraints()
    bounds = scaled_bounds(view, observed)
    if not bounds:
        return None
    models = fit_models(observed, torch.from_numpy(features(view.past)), features.layout)
    posteriors = {name: Posterior(model.coarse) for name, model in zip(observed, models, strict=True)}
    return log_chances(bounds, posteriors, torch.from_numpy(features(pool)))
