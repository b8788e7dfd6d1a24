"""Learning from earlier studies: what they predict becomes a feature of the new study's models.

The new metric is taken to be a line in each earlier study's prediction plus a correction of its own: the recursive
form [LeGratiet2014]_ of the autoregressive multi-task model [Kennedy2000]_. Slopes have a normal prior around zero and
are learnt with everything else, so that an unrelated study loses its say after a few trials; only the ranking and the
shape of an earlier study matter, not its scale, so that another teacher, another data set or another machine will do.

.. [Kennedy2000] M. Kennedy, A. O'Hagan, Predicting the output from a complex computer code when fast approximations
   are available.
.. [LeGratiet2014] L. Le Gratiet, J. Garnier, Recursive co-kriging model for design of computer experiments with
   multiple levels of fidelity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from autodistill.components.architecture import Architecture
from autodistill.components.search import EarlierStudy, Objective, SearchContext
from autodistill.errors import ConfigError
from autodistill.search.acquisition import isolated
from autodistill.search.candidates import Candidates, Pool
from autodistill.search.surrogates import NUMERICAL_ERRORS, FeatureMap, Posterior, fit_model, observe, representable

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

# Fewer observations of a metric carry no model worth transferring.
LEAST_TRIALS = 5
# Predictions are standardised; a quarter brings most of them to the extent of the other features.
FEATURE_SCALE = 0.25


class Earlier:
    """What the earlier studies of a context predict of each learnt objective.

    Args:
        context: with its earlier studies.
        candidates: of the same context.
        sizes: whether known sizes are features of their models.

    Raises:
        ConfigError: an earlier study has another space, or too few observations.
    """

    def __init__(self, context: SearchContext, candidates: Candidates, *, sizes: bool) -> None:
        learnt = [item for item in context.objectives if item.metric not in context.known.metrics]
        for study in context.earlier:
            _check_space(context, study)
        self._predictors = [
            (objective, _Predictor(context, candidates, study, objective, sizes))
            for study in context.earlier
            for objective in learnt
        ]

    def __bool__(self) -> bool:
        return bool(self._predictors)

    def __call__(self, pool: Pool) -> FloatArray:
        """One column per earlier study and learnt objective, ``n x columns``."""
        return np.stack([predictor(pool) for _, predictor in self._predictors], axis=1)

    def mean_of(self, objective: Objective, pool: Pool) -> FloatArray:
        """The studies' mean prediction of one objective, ``n``, without a unit."""
        columns = [predictor(pool) for item, predictor in self._predictors if item == objective]
        return np.asarray(np.mean(columns, axis=0))


class _Predictor:
    """A Gaussian process on one metric of one earlier study; remembers what it predicted."""

    def __init__(
        self, context: SearchContext, candidates: Candidates, study: EarlierStudy, objective: Objective, sizes: bool
    ) -> None:
        history, metric = study.history, objective.metric
        rows = [row for row, item in enumerate(history.architectures) if representable(context.space, item)]
        column = np.asarray(history.metrics.get(metric, np.full(len(history), np.nan)), dtype=np.float64)[rows]
        told = history.variances.get(metric)
        observed = observe(metric, column, None if told is None else np.asarray(told, dtype=np.float64)[rows])
        if observed is None or len(observed.rows) < LEAST_TRIALS:
            raise ConfigError(
                f"search.warm_start: the study {study.name!r} has {int(np.isfinite(column).sum())} usable values of "
                f"{metric} on architectures of this space; at least {LEAST_TRIALS} are needed. Leave it out."
            )
        past = candidates.describe([history.architectures[row] for row in rows])
        self._features = FeatureMap(context.space, (past,), sizes=sizes)
        inputs = torch.from_numpy(self._features(past))[torch.from_numpy(observed.rows)]
        try:
            with isolated(context.seed % 2**31):
                model = fit_model(inputs, observed.values, observed.noise, self._features.layout)
                self._posterior = Posterior(model.whole)
        except NUMERICAL_ERRORS as error:
            raise ConfigError(
                f"search.warm_start: no model could be fitted to {metric} of the study {study.name!r} "
                f"({type(error).__name__}). Leave it out."
            ) from error
        self._seen: dict[Architecture, float] = {}

    def __call__(self, pool: Pool) -> FloatArray:
        new = np.array([item not in self._seen for item in pool.architectures], dtype=bool)
        if new.any():
            fresh = pool.take(new)
            mean, _ = self._posterior(torch.from_numpy(self._features(fresh)))
            self._seen.update(zip(fresh.architectures, (FEATURE_SCALE * mean).tolist(), strict=True))
        return np.array([self._seen[item] for item in pool.architectures])


def _check_space(context: SearchContext, study: EarlierStudy) -> None:
    here = {item.name for item in context.space.parameters}
    there = {item.name for item in study.space.parameters}
    if here == there and context.space.family == study.space.family:
        return
    raise ConfigError(
        f"search.warm_start: the study {study.name!r} searched another space: {study.space.family} with "
        f"{_names(there)}, and this one searches {context.space.family} with {_names(here)}. In both: "
        f"{_names(here & there)}; only there: {_names(there - here)}; only here: {_names(here - there)}. Only a study "
        "of the same family and parameters can be learnt from (their choices may differ); leave it out, or give this "
        "study the same parameters with a single choice each."
    )


def _names(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
