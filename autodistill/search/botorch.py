"""Bayesian optimisation with BoTorch [Balandat2020]_: the default strategy, for one to three objectives.

It starts with a few space-filling trials. Then it fits a Gaussian process to every metric that training must show,
takes what is known before training as it is, and proposes the architecture with the largest expected improvement
of the hypervolume under noise [Daulton2021]_, computed in logarithms [Ament2023]_, among all that were not proposed.
Features and models are in `autodistill.search.surrogates`, the choice in `autodistill.search.acquisition`.

.. [Balandat2020] M. Balandat et al., BoTorch: a framework for efficient Monte-Carlo Bayesian optimization.
.. [Daulton2021] S. Daulton, M. Balandat, E. Bakshy, Parallel Bayesian optimization of multiple noisy objectives with
   expected hypervolume improvement.
.. [Ament2023] S. Ament et al., Unexpected improvements to expected improvement for Bayesian optimization.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from botorch.exceptions.errors import BotorchError, ModelFittingError
from linear_operator.utils.errors import NanError, NotPSDError

from autodistill.components.architecture import Architecture
from autodistill.components.search import Constraint, History, Proposal, SearchContext
from autodistill.errors import ConfigError
from autodistill.search.acquisition import Bound, Problem, Source, choose, isolated
from autodistill.search.candidates import Candidates, Pool, generator, non_dominated
from autodistill.search.scales import Scale
from autodistill.search.sobol import SobolSearch
from autodistill.search.surrogates import Observed, features, fit_models, observe, representable

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

MOST_OBJECTIVES = 3
# Candidates drawn from a space that is too large to be searched whole.
SAMPLE = 4000

_NUMERICAL_ERRORS = (NanError, NotPSDError, ModelFittingError, BotorchError, torch.linalg.LinAlgError)  # type: ignore[attr-defined]


class _NothingLearntError(Exception):
    """The history cannot carry a model; the text says why and becomes part of the proposal's note."""


class BotorchSearch:
    """Proposes by expected hypervolume improvement on Gaussian processes.

    Args:
        context: space, objectives, constraints, known metrics and seed.
        initial: space-filling proposals before the first model, in trials that were not infeasible.
        max_candidates: spaces of at most so many architectures are searched whole.
        samples: quasi-Monte-Carlo samples of the acquisition function.

    Raises:
        ConfigError: more than three objectives.
    """

    def __init__(self, context: SearchContext, *, initial: int, max_candidates: int, samples: int) -> None:
        if len(context.objectives) > MOST_OBJECTIVES:
            names = ", ".join(objective.label for objective in context.objectives)
            raise ConfigError(
                f"search=botorch takes at most {MOST_OBJECTIVES} objectives, got {len(context.objectives)} ({names}). "
                "Keep those that you want a trade-off of and give the others a bound under `constraints`."
            )
        self.context, self.initial, self.max_candidates, self.samples = context, initial, max_candidates, samples
        self.candidates, self.start = Candidates(context), SobolSearch(context)

    def propose(self, history: History, n: int) -> list[Proposal]:
        """The next up to ``n`` architectures; the note says what chose them (``by``) and what went wrong (``why``).

        Raises:
            SpaceExhaustedError: none is left.
        """
        rows = zip(history.in_space, history.states, strict=True)
        if sum(here and state != "infeasible" for here, state in rows) < self.initial:
            return self._space_filling(history, n, {"by": "start"})
        try:
            return self._model_based(history, n)
        except _NothingLearntError as error:
            return self._space_filling(history, n, {"by": "fallback", "why": str(error)})
        except _NUMERICAL_ERRORS as error:
            why = f"the model could not be fitted ({type(error).__name__})"
            return self._space_filling(history, n, {"by": "fallback", "why": why})

    def _space_filling(self, history: History, n: int, note: dict[str, str]) -> list[Proposal]:
        return [Proposal(item.architecture, note=note) for item in self.start.propose(history, n)]

    def _model_based(self, history: History, n: int) -> list[Proposal]:
        rng = generator(self.context, history)
        view = _View(self.context, self.candidates, history)
        pool = self.candidates.pool(history, self.max_candidates, SAMPLE, view.front(), rng)
        if not view.modelled_objectives:
            best = rng.permutation(np.flatnonzero(non_dominated(view.known_values(pool))))[:n]
            return [Proposal(pool.architectures[index], note={"by": "known"}) for index in best]
        sampler_seed, torch_seed = (int(seed) for seed in rng.integers(2**31, size=2))
        with isolated(torch_seed):
            problem, inputs = view.problem(pool)
            chosen = choose(problem, inputs, n, self.samples, sampler_seed)
        return [Proposal(pool.architectures[index], note={"by": "model"}) for index in chosen]


class _View:
    """A history as the models see it: the rows whose features mean the same as the space's."""

    def __init__(self, context: SearchContext, candidates: Candidates, history: History) -> None:
        self.context = context
        rows = [row for row, item in enumerate(history.architectures) if representable(context.space, item)]
        self.rows, self.history = np.array(rows, dtype=np.intp), history
        self.past = candidates.describe([history.architectures[row] for row in rows])
        known = context.known.metrics
        self.known_objectives = [item for item in context.objectives if item.metric in known]
        self.modelled_objectives = [item for item in context.objectives if item.metric not in known]
        self.modelled_constraints = [item for item in context.constraints if item.metric not in known]

    def values(self, metric: str) -> FloatArray:
        """What is known or observed of a metric, one value per row; NaN where there is none."""
        if metric in self.past.known:
            return self.past.known[metric]
        column = self.history.metrics.get(metric)
        return np.full(len(self.rows), np.nan) if column is None else np.asarray(column, dtype=np.float64)[self.rows]

    def variances(self, metric: str) -> FloatArray | None:
        """Variances of a metric's observations, or None when there is none at all."""
        column = self.history.variances.get(metric)
        return None if column is None else np.asarray(column, dtype=np.float64)[self.rows]

    def front(self) -> list[Architecture]:
        """The best architectures so far."""
        if not len(self.rows):
            return []
        signed = [_sign(item.direction) * self.values(item.metric) for item in self.context.objectives]
        best = non_dominated(-np.stack(signed, axis=1)) & self._feasible()
        return [self.past.architectures[row] for row in np.flatnonzero(best).tolist()]

    def known_values(self, pool: Pool) -> FloatArray:
        """The known objectives of a pool, to be minimised."""
        signed = [-_sign(item.direction) * pool.known[item.metric] for item in self.known_objectives]
        return np.nan_to_num(np.stack(signed, axis=1), nan=np.inf)

    def problem(self, pool: Pool) -> tuple[Problem, torch.Tensor]:
        """The acquisition problem and the inputs of the pool.

        Raises:
            _NothingLearntError: too little was observed.
        """
        observed = self._observed()
        scales = {name: item.scale for name, item in observed.items()}
        scales |= {item.metric: self._known_scale(item.metric, pool) for item in self.known_objectives}
        past_features, pool_features = features(self.context.space, (self.past, pool))
        width = past_features.shape[1]
        past, new = (
            self._inputs(block, described, scales)
            for block, described in ((past_features, self.past), (pool_features, pool))
        )
        values = np.stack([self._signed(item.metric, item.direction, scales) for item in self.context.objectives], 1)
        baseline = np.isfinite(values).all(axis=1) & self._feasible()
        if not baseline.any():
            raise _NothingLearntError("no feasible trial has a value for every objective")
        pending = np.array([self.history.states[row] == "pending" for row in self.rows], dtype=bool)
        problem = Problem(
            model=fit_models(observed, past, width),
            sources=self._sources(observed, width),
            bounds=tuple(self._bounds(observed)),
            baseline=past[torch.from_numpy(baseline)],
            values=values[baseline],
            pending=past[torch.from_numpy(pending & ~baseline)],
        )
        return problem, new

    def _observed(self) -> dict[str, Observed]:
        """Observations of every metric to be modelled; constraints that were not seen yet are left out."""
        observed: dict[str, Observed] = {}
        for objective in self.modelled_objectives:
            seen = observe(objective.metric, self.values(objective.metric), self.variances(objective.metric))
            if seen is None:
                raise _NothingLearntError(f"{objective.metric} was observed fewer than two times")
            observed[objective.metric] = seen
        if not self.known_objectives and all(np.ptp(item.values) == 0 for item in observed.values()):
            raise _NothingLearntError("all trials have the same objectives")
        for constraint in self.modelled_constraints:
            seen = observe(constraint.metric, self.values(constraint.metric), self.variances(constraint.metric))
            if seen is not None:
                observed[constraint.metric] = seen
        return observed

    def _known_scale(self, metric: str, pool: Pool) -> Scale:
        values = np.concatenate([self.past.known[metric], pool.known[metric]])
        finite = values[np.isfinite(values)]
        if not len(finite):
            raise _NothingLearntError(f"{metric} is known for no candidate")
        return Scale.fit(metric, finite, log=False)

    def _inputs(self, block: FloatArray, pool: Pool, scales: dict[str, Scale]) -> torch.Tensor:
        """Features, then one column per known objective; unknown values count as the worst."""
        columns = [block]
        for item in self.known_objectives:
            worst = -10.0 * _sign(item.direction)  # ten standard deviations: never an improvement
            columns.append(np.nan_to_num(scales[item.metric](pool.known[item.metric]), nan=worst)[:, None])
        return torch.from_numpy(np.hstack(columns))

    def _signed(self, metric: str, direction: str, scales: dict[str, Scale]) -> FloatArray:
        return _sign(direction) * scales[metric].plain(self.values(metric))

    def _feasible(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Rows that break no constraint as far as one can tell."""
        feasible = np.array([self.history.states[row] != "infeasible" for row in self.rows], dtype=bool)
        for constraint in self.context.constraints:
            values = self.values(constraint.metric)
            feasible &= np.array([np.isnan(value) or constraint.holds(value) for value in values], dtype=bool)
        return feasible

    def _sources(self, observed: dict[str, Observed], width: int) -> tuple[Source, ...]:
        columns = {item.metric: width + index for index, item in enumerate(self.known_objectives)}
        return tuple(
            Source(
                column=columns.get(item.metric),
                output=list(observed).index(item.metric) if item.metric in observed else None,
                sign=_sign(item.direction),
                log_scale=_log_scale(observed.get(item.metric)),
            )
            for item in self.context.objectives
        )

    def _bounds(self, observed: dict[str, Observed]) -> list[Bound]:
        outputs = list(observed)
        return [
            Bound(outputs.index(item.metric), 1.0 if item.sense == "<=" else -1.0, bound)
            for item in self.modelled_constraints
            if item.metric in observed and (bound := _scaled_bound(item, observed[item.metric].scale)) is not None
        ]


def _scaled_bound(constraint: Constraint, scale: Scale) -> float | None:
    """The bound on the scale of its metric; None where a ratio can neither reach nor break it."""
    bound = float(scale(np.array([constraint.bound]))[0])
    return None if np.isnan(bound) else bound


def _log_scale(observed: Observed | None) -> tuple[float, float, float] | None:
    if observed is None or not observed.scale.log:
        return None
    return observed.scale.mean, observed.scale.deviation, observed.scale.spread


def _sign(direction: str) -> float:
    return 1.0 if direction == "maximize" else -1.0
