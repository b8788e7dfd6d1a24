"""The model of the `botorch` strategy as something to be judged: fitted to some trials, it predicts others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from autodistill.components.search import History, Objective, SearchSpace
from autodistill.search.acquisition import isolated
from autodistill.search.candidates import Pool
from autodistill.search.columns import column_of
from autodistill.search.learnt import learnt
from autodistill.search.scales import FEATURE_SUFFIXES, Scale, deviation_of
from autodistill.search.surrogates import LEAST_NOISE, NUMERICAL_ERRORS, FeatureMap, Layout, Posterior, fit_model
from autodistill.search.view import sign_of

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray


@dataclass(frozen=True)
class SurrogatePrediction:
    """Fits the strategy's Gaussian process and predicts; a `FitPredict` of `autodistill.engine.prediction`.

    Args:
        linear: the last so many ordered features are those in which the metric may be linear.
        categories: numbers of categories of the unordered parameters, whose indicators are the last features.
    """

    linear: int = 0
    categories: tuple[int, ...] = ()

    def __call__(
        self, train_x: FloatArray, train_y: FloatArray, noise: FloatArray, test_x: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Mean and variance of the test trials' metric, ``m`` each, beyond the noise that is told.

        Args:
            train_x: ``n x d`` in about [0, 1].
            train_y: ``n`` values.
            noise: ``n`` variances of the values, 0 where unknown.
            test_x: ``m x d``.
        """
        centre, scale = float(train_y.mean()), deviation_of(train_y)
        told = float(np.median(noise)) / scale**2
        layout = Layout(train_x.shape[1] - sum(self.categories), self.linear, self.categories)
        known = told if told > LEAST_NOISE else None
        try:
            with isolated(0):
                fitted = fit_model(torch.from_numpy(train_x), (train_y - centre) / scale, known, layout)
                posterior = Posterior(fitted.whole)
                mean, deviation = posterior(torch.from_numpy(test_x))
        except NUMERICAL_ERRORS:  # then nothing better than the mean is known
            return np.full(len(test_x), centre), np.full(len(test_x), scale**2)
        beyond = max(posterior.noise - told, 0.0)
        return centre + scale * mean, scale**2 * (deviation**2 + beyond)


@dataclass(frozen=True)
class Material:
    """What the strategy's model of a metric is made of.

    Args:
        scale: how the metric's values became numbers.
        features: ``n x columns``.
        values: ``n``, on the scale.
        noise: ``n`` variances that were told of the values, on the scale; 0 where unknown.
        model: for such features.
    """

    scale: Scale
    features: FloatArray
    values: FloatArray
    noise: FloatArray
    model: SurrogatePrediction


def material(
    space: SearchSpace, history: History, rows: Sequence[int], objective: Objective, sizes: bool
) -> Material | None:
    """Features and observations of some trials of the space that have a score; None when no model can be made of them.

    Args:
        space: the study's.
        history: what it has seen.
        rows: of the history.
        objective: whose metric the model learns.
        sizes: whether known sizes are features.
    """
    chosen, metric = np.array(rows, dtype=np.intp), objective.metric
    observed = learnt(history, chosen, metric, sign_of(objective))
    if observed is None:
        return None
    architectures = [history.architectures[row] for row in rows]
    known = {name: column[chosen] for name, column in history.metrics.items() if name.endswith(FEATURE_SUFFIXES)}
    pool = Pool(architectures, space.encode(architectures), known, {})
    features = FeatureMap(space, (pool,), sizes=sizes)
    scored, told = column_of(history.metrics, metric, chosen), column_of(history.variances, metric, chosen)
    noise = np.nan_to_num(observed.scale.variances(scored, told))
    model = SurrogatePrediction(features.layout.linear, features.layout.categories)
    return Material(observed.scale, features(pool), observed.values, noise, model)
