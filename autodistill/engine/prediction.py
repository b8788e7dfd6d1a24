"""Leave-one-out prediction: whether a model of the accuracy predicts trials that it has not seen.

Of more than 20 architectures several are left out at a time, in 20 folds, and of more than 120 trials the latest 120
are judged: the cost stays bounded, and the report says both numbers.

Written against the small interface `FitPredict`, so that any model can be judged; that of the `botorch` strategy is
`autodistill.search.prediction.SurrogatePrediction`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from autodistill.engine.statistics import rank_correlations

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

#: (train features ``n x d``, train values ``n``, variances of their noise ``n``, test features ``m x d``) -> mean and
#: variance, ``m`` each, of what the test trials would score without sampling noise.
FitPredict: TypeAlias = Callable[
    ["FloatArray", "FloatArray", "FloatArray", "FloatArray"], "tuple[FloatArray, FloatArray]"
]

#: Fewer architectures would tell nothing about a model.
MIN_ARCHITECTURES = 10
#: Folds at most; with more architectures several are left out at a time, so that the cost stays bounded.
MAX_FOLDS = 20
#: Trials at most: a Gaussian process of more takes minutes for all folds. The latest ones are kept.
MAX_TRIALS = 120
#: Two-sided 95 % of a normal.
Z95 = 1.959963984540054


@dataclass(frozen=True)
class LeaveOneOut:
    """Predictions of trials whose architecture was left out.

    Args:
        observed: ``n`` values.
        predicted: ``n`` means.
        deviation: ``n`` standard deviations of an observation, its own noise included.
        folds: how many models were fitted.
    """

    observed: FloatArray
    predicted: FloatArray
    deviation: FloatArray
    folds: int

    @property
    def coverage(self) -> float:
        """Share of the observations inside their 95 % interval."""
        return float(np.mean(np.abs(self.observed - self.predicted) <= Z95 * self.deviation))

    @property
    def spearman(self) -> float | None:
        """Rank correlation of prediction and observation; None when it cannot be told."""
        return rank_correlations(list(self.predicted), list(self.observed))[0]

    @property
    def explained(self) -> float:
        """Share of the variance that the predictions explain; negative when the mean would be better."""
        rest, whole = self.observed - self.predicted, self.observed - self.observed.mean()
        return float(1.0 - (rest @ rest) / (whole @ whole)) if whole @ whole > 0 else 0.0


def leave_one_out(
    features: FloatArray,
    values: FloatArray,
    noise: FloatArray,
    groups: Sequence[Hashable],
    fit_predict: FitPredict,
) -> LeaveOneOut | str:
    """Predict every trial from those of other architectures.

    Args:
        features: ``n x d``.
        values: ``n`` observations, without NaN.
        noise: ``n`` variances of the observations, NaN where unknown (then taken as 0).
        groups: ``n``: the architecture of each trial; replicates are left out together.
        fit_predict: the model.

    Returns:
        The predictions, or in one sentence why there are none.
    """
    latest = slice(max(0, len(values) - MAX_TRIALS), None)
    features, values, groups = features[latest], values[latest], list(groups)[latest]
    known = np.nan_to_num(noise[latest], nan=0.0)
    distinct = list(dict.fromkeys(groups))
    if len(distinct) < MIN_ARCHITECTURES:
        return f"{len(distinct)} architectures are too few; {MIN_ARCHITECTURES} are needed."
    fold_of = {group: index % min(len(distinct), MAX_FOLDS) for index, group in enumerate(distinct)}
    folds = np.array([fold_of[group] for group in groups])
    means, variances = np.empty(len(values)), np.empty(len(values))
    for fold in np.unique(folds):
        test, train = folds == fold, folds != fold
        means[test], variances[test] = fit_predict(features[train], values[train], known[train], features[test])
    return LeaveOneOut(values, means, np.sqrt(np.maximum(variances, 0.0) + known), len(np.unique(folds)))
