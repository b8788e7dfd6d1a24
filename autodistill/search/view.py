"""A history as the models of the `botorch` strategy see it: the rows whose features mean the same as the space's.

Reads metrics, variances, feasibility and pending trials by row; decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autodistill.components.architecture import Architecture
from autodistill.components.search import Constraint, History, Objective, SearchContext
from autodistill.pareto import non_dominated
from autodistill.search.candidates import Candidates, Pool
from autodistill.search.columns import column_of
from autodistill.search.learnt import learnt
from autodistill.search.scales import Scale
from autodistill.search.surrogates import FeatureMap, Observed, representable

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

#: Columns of features beyond architecture and size, e.g. predictions of earlier studies.
ExtraFeatures = Callable[[Pool], "FloatArray"]

# A reference point of our own lies beyond the worst values by this part of their extent (BoTorch's own margin).
REFERENCE_MARGIN = 0.1

#: 1 of trials that failed, 0 of those that ended well; learnt like a metric that is bounded.
FAILED = Constraint("failed", "trial.failed", "<=", 0.5)
# Failed trials from which on it is learnt where they fail: one alone may fail for any reason.
LEAST_FAILED = 2


class NothingLearntError(Exception):
    """The history cannot carry a model; the text says why and becomes part of the proposal's note."""


def sign_of(objective: Objective) -> float:
    """1 for what is to be maximised, -1 for what is to be minimised."""
    return 1.0 if objective.direction == "maximize" else -1.0


def _scored(context: SearchContext, history: History) -> NDArray[np.bool_]:
    """Trials with a score that only training shows."""
    metrics = {item.metric for item in context.objectives} | {item.metric for item in context.constraints}
    scored = np.zeros(len(history), dtype=bool)
    for metric in history.metrics.keys() & metrics - context.known.metrics - context.measured:
        scored |= np.isfinite(history.metrics[metric])
    return scored


class View:
    """What a history shows, but for what lies outside the space and has no score, such as the study's baselines.

    Those may be added, and timed, at any time: a search that is interrupted for them and goes on proposes the same.

    Args:
        context: of the search.
        candidates: of the same context.
        history: what the study has seen.
    """

    def __init__(self, context: SearchContext, candidates: Candidates, history: History) -> None:
        self.context, self.history = context, history
        kept = np.array(history.in_space, dtype=bool) | _scored(context, history)
        rows = [row for row in np.flatnonzero(kept) if representable(context.space, history.architectures[row])]
        self.rows = np.array(rows, dtype=np.intp)
        self.past = candidates.describe([history.architectures[row] for row in rows])
        known = context.known.metrics
        self.known_objectives = [item for item in context.objectives if item.metric in known]
        self.modelled_objectives = [item for item in context.objectives if item.metric not in known]
        self.measured_objectives = [item for item in self.modelled_objectives if item.metric in context.measured]
        self.modelled_constraints = [item for item in context.constraints if item.metric not in known]
        if self.failures_matter:
            self.modelled_constraints.append(FAILED)

    def knowing(self, past: Pool) -> View:
        """The same, but ``past`` knows the measured objectives too."""
        view = copy(self)
        view.past = past
        view.known_objectives = [item for item in self.context.objectives if item.metric in past.known]
        view.modelled_objectives = [item for item in self.context.objectives if item.metric not in past.known]
        view.measured_objectives = []
        return view

    # -- rows ----------------------------------------------------------------------------------------------------

    def values(self, metric: str) -> FloatArray:
        """What is known or observed of a metric, one value per row; NaN where there is none."""
        if metric == FAILED.metric:
            return np.where(self.failed, 1.0, np.where(self._state("complete", "stopped"), 0.0, np.nan))
        if metric in self.past.known:
            return self.past.known[metric]
        return column_of(self.history.metrics, metric, self.rows)

    def _state(self, *states: str) -> NDArray[np.bool_]:
        return np.array([self.history.states[row] in states for row in self.rows], dtype=bool)

    @cached_property
    def pending(self) -> NDArray[np.bool_]:
        """Rows that are being tried."""
        return self._state("pending")

    @cached_property
    def complete(self) -> NDArray[np.bool_]:
        """Rows whose flash run has ended; a stopped one is never on the front."""
        return self._state("complete")

    @cached_property
    def failed(self) -> NDArray[np.bool_]:
        """Rows that could not be timed or trained."""
        return self._state("failed")

    @cached_property
    def failures_matter(self) -> bool:
        """Whether enough trials failed, and others ended well, for a model to tell where they do."""
        return int(self.failed.sum()) >= LEAST_FAILED and bool(self._state("complete", "stopped").any())

    @cached_property
    def feasible(self) -> NDArray[np.bool_]:
        """Rows that break no constraint as far as one can tell; of replicates the mean counts."""
        feasible = ~self._state("infeasible")
        for constraint in self.context.constraints:
            values = self._mean_over_replicates(self.values(constraint.metric))
            feasible &= np.array([np.isnan(value) or constraint.holds(value) for value in values], dtype=bool)
        return feasible

    def _mean_over_replicates(self, values: FloatArray) -> FloatArray:
        """For every row the mean over the finite values of its architecture; NaN where there is none."""
        groups, finite = self.groups(), np.isfinite(values)
        sums = np.bincount(groups[finite], weights=values[finite], minlength=len(values))
        counts = np.bincount(groups[finite], minlength=len(values))
        with np.errstate(invalid="ignore"):
            means = (sums / counts)[groups]
        several = counts[groups] > 1
        return np.where(several | ~finite, means, values)  # of a single run the value itself, to the last bit

    @cached_property
    def in_space(self) -> NDArray[np.bool_]:
        """Rows whose architecture lies in the study's space."""
        return np.array([self.history.in_space[row] for row in self.rows], dtype=bool)

    def front(self) -> list[Architecture]:
        """The best feasible architectures of the space so far, by the means over their replicates; those of which
        something is not known yet count as unbeaten.
        """
        rows = np.flatnonzero(self.feasible & self.in_space & (self.complete | self.pending))
        if not len(rows):
            return []
        values = [
            -sign_of(item) * self._mean_over_replicates(self.values(item.metric)) for item in self.context.objectives
        ]
        signed = np.stack(values, axis=1)[rows]
        best = rows[non_dominated(signed) | np.isnan(signed).any(axis=1)]
        return [self.past.architectures[row] for row in best.tolist()]

    def groups(self) -> NDArray[np.intp]:
        """For every row the first row of the same architecture."""
        first: dict[Architecture, int] = {}
        return np.array(
            [first.setdefault(item, row) for row, item in enumerate(self.past.architectures)], dtype=np.intp
        )

    # -- what models learn from ----------------------------------------------------------------------------------

    def observed(self) -> dict[str, Observed]:
        """Observations of every metric to be modelled; constraints that were not seen yet are left out.

        Raises:
            NothingLearntError: too little was observed.
        """
        observed = self.observed_among([item.metric for item in self.modelled_objectives])
        if not self.known_objectives and all(np.ptp(item.values) == 0 for item in observed.values()):
            raise NothingLearntError("all trials have the same objectives")
        more = {name: seen for name, seen in self.observed_constraints().items() if name not in observed}
        return observed | more

    def observed_among(self, metrics: Sequence[str]) -> dict[str, Observed]:
        """Observations of some metrics.

        Raises:
            NothingLearntError: too little was observed.
        """
        observed: dict[str, Observed] = {}
        for metric in metrics:
            seen = self.observe(metric)
            if seen is None:
                raise NothingLearntError(f"{metric} was observed fewer than two times, or not as numbers")
            observed[metric] = seen
        return observed

    def observed_constraints(self) -> dict[str, Observed]:
        """Observations of the constrained metrics to be modelled, without those that were not seen yet."""
        found = {item.metric: self.observe(item.metric) for item in self.modelled_constraints}
        return {name: seen for name, seen in found.items() if seen is not None}

    def observe(self, metric: str) -> Observed | None:
        """Observations of one metric; None when nothing can be learnt from them."""
        return learnt(self.history, self.rows, metric, self._sign(metric), self.values(metric))

    def _sign(self, metric: str) -> float:
        """1 where more of a metric is better, for the objectives or else for a bound on it; -1 where less is."""
        senses = [sign_of(item) for item in self.context.objectives if item.metric == metric]
        senses += [1.0 if item.sense == ">=" else -1.0 for item in self.context.constraints if item.metric == metric]
        return senses[0] if senses else 1.0

    def feature_map(self, pool: Pool, extra: ExtraFeatures | None, sizes: bool) -> FeatureMap:
        """Features on scales that fit both the past and the candidates."""
        return FeatureMap(self.context.space, (self.past, pool), extra, sizes=sizes)

    def known_scale(self, metric: str, pool: Pool) -> Scale:
        """The scale of a known metric over the past and the candidates.

        Raises:
            NothingLearntError: it is known for none of them.
        """
        values = np.concatenate([self.past.known[metric], pool.known[metric]])
        finite = values[np.isfinite(values)]
        if not len(finite):
            raise NothingLearntError(f"{metric} is known for no candidate")
        return Scale.fit(metric, finite)

    def known_values(self, pool: Pool) -> FloatArray:
        """The known objectives of a pool, ``n x known``, to be minimised; infinite where they are not known."""
        signed = [-sign_of(item) * pool.known[item.metric] for item in self.known_objectives]
        return np.nan_to_num(np.stack(signed, axis=1), nan=np.inf)

    def reference(self, objective: Objective, scale: Scale, seen: FloatArray) -> float:
        """See `reference_value`; the fixed one is the study's own."""
        return reference_value(objective, scale, seen, self.context.reference.get(objective.metric, np.nan))


def reference_value(objective: Objective, scale: Scale, seen: FloatArray, fixed: float) -> float:
    """The reference value of an objective on its scale, to be maximised.

    It is the fixed one where that has been beaten by anything, else a little beyond the worst of what was seen: of
    everything, not only of the front, so that the ends of the front are worth extending. (A quality is fixed for full
    runs; short ones may all lie below it.)

    Args:
        objective: which.
        scale: of its metric.
        seen: values on the scale, to be maximised; NaN where there is none.
        fixed: in the metric's unit; NaN where none is fixed.
    """
    finite = seen[np.isfinite(seen)]
    value = sign_of(objective) * float(scale(np.array([fixed]))[0])
    if np.isfinite(value) and (finite > value).any():
        return value
    extent = float(np.ptp(finite)) or 1.0
    return float(finite.min() - REFERENCE_MARGIN * extent)


@dataclass(frozen=True)
class ScaledBound:
    """A constraint on a modelled metric's scale: ``sign * (metric - bound) <= 0``."""

    metric: str
    sign: float
    bound: float


def scaled_bound(constraint: Constraint, scale: Scale) -> ScaledBound | None:
    """The bound on the scale of its metric; None where a ratio can neither reach nor break it."""
    bound = float(scale(np.array([constraint.bound]))[0])
    if np.isnan(bound):
        return None
    return ScaledBound(constraint.metric, 1.0 if constraint.sense == "<=" else -1.0, bound)
