"""Which parameters of the space explain a metric: functional ANOVA of a forest fitted to the history.

The share of a parameter is the variance of the forest's prediction averaged over all other parameters, relative to
the variance of the prediction over the whole space (the product of the values seen); [Hutter2014]_. What no single
parameter explains is interaction. Sure is what the same trials, drawn again with replacement, show again; and
whether the forest predicts trials that it has not seen is told as ``explained``.

.. [Hutter2014] F. Hutter, H. Hoos, K. Leyton-Brown, An efficient approach for assessing hyperparameter importance.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

#: Fewer architectures say nothing about parameters: each value would have been seen once or twice.
MIN_ARCHITECTURES = 10
#: Draws of the trials with replacement; as many estimates of every share.
DRAWS = 20
#: Trees of each draw's forest: averaged over draws they are 160, enough for shares to two digits.
TREES = 8
#: Points over which the other parameters are averaged.
BACKGROUND = 64
#: Values of one parameter at which its effect is looked at.
MAX_LEVELS = 8
#: Below this share of the variance of unseen trials the forest knows too little to speak of parameters.
MIN_EXPLAINED = 0.2

Predict = Callable[["FloatArray"], "FloatArray"]


@dataclass(frozen=True)
class Importance:
    """Shares of the variance of one metric.

    Args:
        names: of the parameters that varied.
        shares: one per parameter, in [0, 1].
        low: 10 % quantile of each share over the draws.
        high: 90 % quantile.
        explained: share of the variance of unseen trials that the forest explains (out of bag); at most 1.
        n: trials.
    """

    names: tuple[str, ...]
    shares: FloatArray
    low: FloatArray
    high: FloatArray
    explained: float
    n: int


def main_effects(predict: Predict, levels: Sequence[FloatArray], background: FloatArray) -> FloatArray:
    """Share of the variance of a function that each of its arguments explains alone.

    Args:
        predict: ``n x d`` -> ``n``.
        levels: per argument the values it takes, equally likely.
        background: ``n x d``, points at which the other arguments are averaged over; exact when it is the product of
            all levels.

    Returns:
        ``d`` shares; zeros when the function is constant.
    """
    total = float(np.var(predict(background)))
    if total <= 0:
        return np.zeros(len(levels))
    shares = np.empty(len(levels))
    for argument, values in enumerate(levels):
        points = np.repeat(background[None], len(values), axis=0)
        points[:, :, argument] = values[:, None]
        averages = predict(points.reshape(-1, background.shape[1])).reshape(len(values), -1).mean(axis=1)
        shares[argument] = np.var(averages) / total
    return np.minimum(shares, 1.0)


def parameter_importance(
    features: FloatArray, names: Sequence[str], values: FloatArray, groups: Sequence[Hashable], seed: int = 0
) -> Importance | str:
    """The importance of parameters for a metric.

    Args:
        features: ``n x d``, one number per value of a parameter.
        names: ``d`` names.
        values: ``n`` observations of the metric, without NaN.
        groups: ``n``: the architecture of each trial; replicates are drawn, and left out, together.
        seed: of the draws.

    Returns:
        What was found, or in one sentence why it cannot be told.
    """
    varied = [column for column in range(features.shape[1]) if len(np.unique(features[:, column])) > 1]
    distinct = list(dict.fromkeys(groups))
    if len(distinct) < MIN_ARCHITECTURES:
        return f"{len(distinct)} architectures are too few; {MIN_ARCHITECTURES} are needed."
    if not varied or np.ptp(values) <= 0:
        return "nothing varied."
    rng = np.random.default_rng(seed)
    columns = features[:, varied]
    members: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    levels = [_levels(columns[:, column]) for column in range(len(varied))]
    background = np.stack([rng.choice(values_of, BACKGROUND) for values_of in levels], axis=1)
    shares, unseen = [], np.full((DRAWS, len(values)), np.nan)
    for draw in range(DRAWS):
        drawn = rng.integers(len(distinct), size=len(distinct))
        rows = [row for index in drawn for row in members[distinct[index]]]
        predict = _forest(columns[rows], values[rows], seed=int(rng.integers(2**31)))
        shares.append(main_effects(predict, levels, background))
        left = np.setdiff1d(np.arange(len(values)), rows)
        if len(left):
            unseen[draw, left] = predict(columns[left])
    explained = _explained(unseen, values)
    if not explained >= MIN_EXPLAINED:
        percent = 100 * max(0.0, explained)
        return f"a model of the parameters explains {percent:.0f} % of the variance of trials that it has not seen."
    low, high = np.quantile(shares, [0.1, 0.9], axis=0)
    return Importance(
        tuple(names[column] for column in varied), np.mean(shares, axis=0), low, high, explained, len(values)
    )


def _levels(column: FloatArray) -> FloatArray:
    values = np.unique(column)
    chosen = np.linspace(0, len(values) - 1, min(len(values), MAX_LEVELS)).round().astype(np.intp)
    levels: FloatArray = values[chosen]
    return levels


def _forest(features: FloatArray, values: FloatArray, seed: int) -> Predict:
    from sklearn.ensemble import ExtraTreesRegressor

    forest = ExtraTreesRegressor(n_estimators=TREES, random_state=seed).fit(features, values)
    predict: Predict = forest.predict
    return predict


def _explained(unseen: FloatArray, values: FloatArray) -> float:
    """Share of the variance of trials by the mean prediction of the forests that have not seen them."""
    told = ~np.isnan(unseen).all(axis=0)
    predicted = np.nanmean(unseen[:, told], axis=0)
    rest, whole = values[told] - predicted, values[told] - values[told].mean()
    return float(1.0 - (rest @ rest) / (whole @ whole)) if len(rest) > 1 and whole @ whole > 0 else 0.0
