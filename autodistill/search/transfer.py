"""Learning from earlier studies: what they predict becomes a feature of the new study's models.

The new metric is taken to be a line in each earlier study's prediction plus a correction of its own: the recursive
form [LeGratiet2014]_ of the autoregressive multi-task model [Kennedy2000]_. Slopes have a normal prior around zero and
are learnt with everything else; only the ranking and the shape of an earlier study matter, not its scale, so that
another teacher, another data set or another machine will do. Nothing is chosen by what an earlier study says alone, but
by a model that has seen the space-filling start: there an unrelated study is one more feature that explains little.

.. [Kennedy2000] M. Kennedy, A. O'Hagan, Predicting the output from a complex computer code when fast approximations
   are available.
.. [LeGratiet2014] L. Le Gratiet, J. Garnier, Recursive co-kriging model for design of computer experiments with
   multiple levels of fidelity.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from autodistill.components.architecture import Architecture
from autodistill.components.search import EarlierStudy, Objective, SearchContext
from autodistill.errors import ConfigError
from autodistill.search.acquisition import isolated
from autodistill.search.candidates import Candidates, Pool
from autodistill.search.columns import column_of
from autodistill.search.dense import covariance, factorised
from autodistill.search.learnt import learnt
from autodistill.search.surrogates import NUMERICAL_ERRORS, FeatureMap, fit_model, noise_of, representable
from autodistill.search.view import sign_of

if TYPE_CHECKING:
    from botorch.models import SingleTaskGP

    from autodistill.components.search import FloatArray

logger = logging.getLogger(__name__)

# Fewer observations of a metric carry no model worth transferring.
LEAST_TRIALS = 5
# Predictions are standardised; a quarter brings most of them to the extent of the other features.
FEATURE_SCALE = 0.25
# Rows predicted at once, always as many: a few megabytes at a thousand observations.
BLOCK = 1024


class Earlier:
    """What the earlier studies of a context predict of each learnt objective.

    An objective that an earlier study cannot tell anything of (a latency of other hardware, say) is left out with a
    line in the log; what the study knows of the others still counts.

    Args:
        context: with its earlier studies.
        candidates: of the same context.
        sizes: whether known sizes are features of their models.

    Raises:
        ConfigError: an earlier study has another space, or nothing that could be learnt from.
    """

    def __init__(self, context: SearchContext, candidates: Candidates, *, sizes: bool) -> None:
        learnt = [item for item in context.objectives if item.metric not in context.known.metrics]
        for study in context.earlier:
            _check_space(context, study)
        self._predictors = [
            item for study in context.earlier for item in _predictors(context, candidates, study, learnt, sizes)
        ]

    def __bool__(self) -> bool:
        return bool(self._predictors)

    def __call__(self, pool: Pool) -> FloatArray:
        """One column per earlier study and objective that it tells something of, ``n x columns``."""
        return np.stack([predictor(pool) for predictor in self._predictors], axis=1)


def _predictors(
    context: SearchContext, candidates: Candidates, study: EarlierStudy, learnt: Sequence[Objective], sizes: bool
) -> list[_Predictor]:
    """The models of the objectives that the study tells something of."""
    found, reasons = [], []
    for objective in learnt:
        try:
            found.append(_Predictor(context, candidates, study, objective, sizes))
        except _NothingToLearnError as error:
            reasons.append(str(error))
    if reasons and not found:
        raise ConfigError(
            f"search.warm_start: nothing can be learnt from the study {study.name!r}: {'; '.join(reasons)}. "
            "Leave it out."
        )
    for reason in reasons:
        logger.warning("search.warm_start: of the study %r one objective is left out: %s.", study.name, reason)
    return found


class _NothingToLearnError(Exception):
    """An earlier study has nothing to tell of a metric; says why."""


class _Predictor:
    """A Gaussian process on one metric of one earlier study; remembers what it predicted of a space."""

    def __init__(
        self, context: SearchContext, candidates: Candidates, study: EarlierStudy, objective: Objective, sizes: bool
    ) -> None:
        history, metric = study.history, objective.metric
        usable = [row for row, item in enumerate(history.architectures) if representable(context.space, item)]
        rows = np.array(usable, dtype=np.intp)
        observed = learnt(history, rows, metric, sign_of(objective))
        if observed is None or len(observed.rows) < LEAST_TRIALS:
            seen = column_of(history.metrics, metric, rows)
            raise _NothingToLearnError(
                f"it has {int(np.isfinite(seen).sum())} usable values of {metric} on architectures of this space, "
                f"and at least {LEAST_TRIALS} are needed"
            )
        past = candidates.describe([history.architectures[row] for row in usable])
        self._features = FeatureMap(context.space, (past,), sizes=sizes)
        inputs = torch.from_numpy(self._features(past))[torch.from_numpy(observed.rows)]
        try:
            with isolated(context.seed % 2**31):
                layout = self._features.layout
                model = fit_model(inputs, observed.values, observed.noise, layout, observed.doubt)
                self._mean = _Mean(model.whole)
        except NUMERICAL_ERRORS as error:
            raise _NothingToLearnError(f"no model could be fitted to {metric} ({type(error).__name__})") from error
        self._whole: Sequence[Architecture] = ()
        self._seen = np.empty(0)

    def __call__(self, pool: Pool) -> FloatArray:
        if pool.origin is None:
            return self._predicted(pool)
        whole, rows = pool.origin
        if whole is not self._whole:
            self._whole, self._seen = whole, np.full(len(whole), np.nan)
        new = np.isnan(self._seen[rows])
        if new.any():
            self._seen[rows[new]] = self._predicted(pool.take(new))
        return self._seen[rows]

    def _predicted(self, pool: Pool) -> FloatArray:
        return FEATURE_SCALE * self._mean(self._features(pool))


class _Mean:
    """The posterior mean of a fitted model, of each row the same to the last bit in whatever company it is asked for.

    A search that goes on asks in another company than one that was never interrupted. So products of matrices always
    have the same shape; and observations stand first, as `covariance` centres both sides on the mean of the first.

    Args:
        model: fitted.
    """

    def __init__(self, model: SingleTaskGP) -> None:
        self._model = model
        with torch.no_grad():
            self._inputs, targets = model.train_inputs[0], model.train_targets
            self._constant = float(model.mean_module(self._inputs[:1]))
            _, self._weights = factorised(model, self._inputs, targets - self._constant, noise_of(model)[1])

    def __call__(self, features: FloatArray) -> FloatArray:
        """The mean at ``n x columns``, of length ``n``."""
        means = np.empty(len(features))
        with torch.no_grad():
            for start in range(0, len(features), BLOCK):
                part = features[start : start + BLOCK]
                block = np.zeros((BLOCK, features.shape[1]))
                block[: len(part)] = part
                points = self._model.transform_inputs(torch.from_numpy(block))
                cross = covariance(self._model.covar_module, self._inputs, points)
                means[start : start + BLOCK] = (self._weights * cross).sum(dim=0).numpy()[: len(part)]
        return self._constant + means


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
