"""The acquisition problem of a history of which two or more objectives must be learnt.

Brings a view of the history onto the scales and into the columns that `autodistill.search.acquisition` works with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from autodistill.components.search import Objective
from autodistill.search.acquisition import Bound, Problem, Source
from autodistill.search.candidates import Pool
from autodistill.search.feasibility import scaled_bounds
from autodistill.search.scales import Scale
from autodistill.search.surrogates import FeatureMap, fit_models
from autodistill.search.view import NothingLearntError, View, sign_of

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

# On a scale of unit variance, what is not known of a candidate.
UNKNOWN = -10.0


def known_or_bad(objective: Objective, scale: Scale, pool: Pool) -> FloatArray:
    """A known objective of a pool on its scale, to be maximised; where it is not known, ten deviations worse."""
    return np.nan_to_num(sign_of(objective) * scale(pool.known[objective.metric]), nan=UNKNOWN)


@dataclass(frozen=True)
class Inputs:
    """Inputs for candidates: features, a column per known objective, and the deviation of each that is uncertain.

    Args:
        features: of architectures.
        scales: metric of an objective -> its scale.
        known: known objectives.
        uncertain: metrics of those of which a variance is stated.
    """

    features: FeatureMap
    scales: Mapping[str, Scale]
    known: Sequence[Objective]
    uncertain: Sequence[str]

    def __call__(self, pool: Pool, tried: bool = False) -> torch.Tensor:
        """``n x columns``; what is known of what was tried is taken as exact, as in the closed form."""
        known = [sign_of(item) * known_or_bad(item, self.scales[item.metric], pool) for item in self.known]
        deviations = [
            np.zeros(len(pool)) if tried else self.scales[name].deviations(pool.known[name], pool.variances[name])
            for name in self.uncertain
        ]
        return torch.from_numpy(np.column_stack([self.features(pool), *known, *deviations]))

    def source(self, objective: Objective, outputs: Sequence[str]) -> Source:
        """Where an objective comes from: a column of these inputs, or one of the models' ``outputs``."""
        metrics, sign = [item.metric for item in self.known], sign_of(objective)
        if objective.metric not in metrics:
            return Source(None, outputs.index(objective.metric), sign)
        first, spread = self.features.layout.width, None
        if objective.metric in self.uncertain:
            spread = first + len(metrics) + self.uncertain.index(objective.metric)
        return Source(first + metrics.index(objective.metric), None, sign, spread)


def problem_of(view: View, pool: Pool, features: FeatureMap) -> tuple[Problem, Inputs]:
    """The acquisition problem, and what gives its inputs for candidates.

    Raises:
        NothingLearntError: too little was observed.
    """
    observed, objectives = view.observed(), view.context.objectives
    outputs = list(observed)
    known = {item.metric: view.known_scale(item.metric, pool) for item in view.known_objectives}
    scales = {name: item.scale for name, item in observed.items()} | known
    uncertain = [metric for metric in known if (pool.variances[metric] > 0).any()]
    inputs = Inputs(features, scales, view.known_objectives, uncertain)
    values = np.stack([sign_of(item) * scales[item.metric](view.values(item.metric)) for item in objectives], axis=1)
    usable = np.isfinite(values).all(axis=1) & view.feasible & view.complete & view.in_space
    if not usable.any():
        raise NothingLearntError("no feasible trial has a value for every objective")
    past, seen, groups = inputs(view.past, tried=True), values[usable], view.groups()
    waiting = view.pending & view.in_space
    references = zip(objectives, seen.T, strict=True)
    problem = Problem(
        models=tuple(fit_models(observed, past, features.layout)),
        sources=tuple(inputs.source(item, outputs) for item in objectives),
        bounds=tuple(
            Bound(outputs.index(item.metric), item.sign, item.bound) for item in scaled_bounds(view, observed)
        ),
        baseline=past[torch.from_numpy(usable)],
        values=seen,
        pending=past[torch.from_numpy(waiting)],
        reference=np.array([view.reference(item, scales[item.metric], column) for item, column in references]),
        architectures=groups[usable],
        pending_architectures=groups[waiting],
        runs=np.bincount(groups, minlength=len(groups))[groups[usable]],
    )
    return problem, inputs
