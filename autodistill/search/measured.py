"""Metrics that are measured before training, such as the latency of a model that must be run to be timed.

Of what was tried they are known, of the rest a Gaussian process predicts them, with variances. So they enter the
closed form of the `botorch` strategy as known metrics with a variance do, and what training must show stays the only
thing to be learnt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from autodistill.search.surrogates import FeatureMap, Posterior, fit_models
from autodistill.search.view import View

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray
    from autodistill.search.candidates import Pool


class Measured:
    """What is known, and what is predicted, of the measured objectives.

    Args:
        view: of the history, without them among its known objectives.
        features: of architectures.

    Raises:
        NothingLearntError: one was measured fewer than two times.
    """

    def __init__(self, view: View, features: FeatureMap) -> None:
        self._features = features
        self._observed = view.observed_among([item.metric for item in view.measured_objectives])
        models = fit_models(self._observed, torch.from_numpy(features(view.past)), features.layout)
        self._posteriors = {name: Posterior(model.coarse) for name, model in zip(self._observed, models, strict=True)}

    def completed(self, pool: Pool, seen: Mapping[str, FloatArray] | None = None) -> Pool:
        """A pool that knows the measured objectives too.

        Args:
            pool: of any architectures.
            seen: metric -> what was measured of them, NaN where nothing was; by default nothing was.
        """
        inputs = torch.from_numpy(self._features(pool))
        known, variances = dict(pool.known), dict(pool.variances)
        for name, posterior in self._posteriors.items():
            values, uncertain = self._observed[name].scale.inverse(*posterior(inputs))
            if seen is not None:
                there = np.isfinite(seen[name])
                values, uncertain = np.where(there, seen[name], values), np.where(there, 0.0, uncertain)
            known[name], variances[name] = values, uncertain
        return replace(pool, known=known, variances=variances)


def with_measured(view: View, features: FeatureMap) -> tuple[View, Measured]:
    """The view in which the measured objectives are known, and who completes pools for it.

    Raises:
        NothingLearntError: see `Measured`.
    """
    measured = Measured(view, features)
    seen = {item.metric: view.values(item.metric) for item in view.measured_objectives}
    return view.knowing(measured.completed(view.past, seen)), measured
