"""Bayesian optimisation with BoTorch [Balandat2020]_: the default strategy, for one to three objectives.

It starts with a few space-filling trials. Then it fits a Gaussian process to every metric that training must show,
and takes what is known before training as it is; what is measured before training is predicted where it was not
(`autodistill.search.measured`). With one objective that training must show, or none but one that is measured, the
expected hypervolume improvement of every candidate is closed-form (`autodistill.search.closed_form`); with more it is
estimated under noise [Daulton2021]_, in logarithms [Ament2023]_ (`autodistill.search.acquisition`). A finite space is
scored whole, a larger one by local search from the front. Where noise matters, it asks for another replicate of an
architecture near the front instead of a new one.

.. [Balandat2020] M. Balandat et al., BoTorch: a framework for efficient Monte-Carlo Bayesian optimization.
.. [Daulton2021] S. Daulton, M. Balandat, E. Bakshy, Parallel Bayesian optimization of multiple noisy objectives with
   expected hypervolume improvement.
.. [Ament2023] S. Ament et al., Unexpected improvements to expected improvement for Bayesian optimization.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.architecture import Architecture
from autodistill.components.search import History, Proposal, SearchContext
from autodistill.errors import ConfigError
from autodistill.pareto import non_dominated
from autodistill.search.acquisition import Screen, choose, isolated
from autodistill.search.candidates import Candidates, Pool, generator
from autodistill.search.closed_form import Choice, ClosedForm
from autodistill.search.ehvi import cells_of, log_ehvi
from autodistill.search.feasibility import log_chances_of
from autodistill.search.measured import with_measured
from autodistill.search.problem import known_or_bad, problem_of
from autodistill.search.replicates import Looks
from autodistill.search.sobol import SobolSearch
from autodistill.search.surrogates import NUMERICAL_ERRORS, FeatureMap
from autodistill.search.transfer import Earlier
from autodistill.search.view import NothingLearntError, View

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

MOST_OBJECTIVES = 3
# Of a space that is too large to be scored whole: candidates drawn, rounds of local search, and centres per round.
SAMPLE = 2000
ROUNDS = 8
CENTRES = 8
# Trials that broke a bound, from which on what no model chooses keeps to where bounds hold with this log probability.
BROKEN, LIKELY = 5, -0.7


def _as_it_is(pool: Pool) -> Pool:
    return pool


def _completed(view: View, pool: Pool, features: FeatureMap) -> tuple[View, Pool, Callable[[Pool], Pool]]:
    """View and pool that know what is measured beside what must be learnt, and what completes further candidates.

    Raises:
        NothingLearntError: see `with_measured`.
    """
    if not 0 < len(view.measured_objectives) < len(view.modelled_objectives):
        return view, pool, _as_it_is
    view, measured = with_measured(view, features)
    return view, measured.completed(pool), measured.completed


def _proposals(view: View, pool: Pool, choices: Sequence[Choice]) -> list[Proposal]:
    """Choices of rows of the pool and, where they are replicates, of the view."""
    found = []
    for choice in choices:
        where = view.past if choice.replicate else pool
        by = "replicate" if choice.replicate else "model"
        found.append(Proposal(where.architectures[choice.row], choice.replicate, {"by": by}))
    return found


def _often_broken(view: View) -> bool:
    """Whether enough trials broke a bound, or failed, for its model to have a say."""
    return view.failures_matter or int((view.in_space & ~view.feasible).sum()) >= BROKEN


class BotorchSearch:
    """Proposes by expected hypervolume improvement on Gaussian processes.

    Args:
        context: space, objectives, constraints, known metrics, seed and earlier studies.
        initial: space-filling proposals before the first model, in trials that were not infeasible and did not fail.
        max_candidates: spaces of at most so many architectures are scored whole.
        samples: posterior draws of the front, and quasi-Monte-Carlo samples where two objectives must be learnt.
        size_features: whether logarithms of known sizes are features of the models.
        max_replicates: runs of one architecture at most.
        warm_start: names of the earlier studies, which `SearchContext.earlier` holds.

    Raises:
        ConfigError: more than three objectives, or an earlier study of another family or with other parameters.
    """

    def __init__(
        self,
        context: SearchContext,
        *,
        initial: int,
        max_candidates: int,
        samples: int,
        size_features: bool,
        max_replicates: int,
        warm_start: Sequence[str],
    ) -> None:
        if len(context.objectives) > MOST_OBJECTIVES:
            names = ", ".join(objective.label for objective in context.objectives)
            raise ConfigError(
                f"search=botorch takes at most {MOST_OBJECTIVES} objectives, got {len(context.objectives)} ({names}). "
                "Keep those that you want a trade-off of and give the others a bound under `constraints`."
            )
        self.context, self.initial, self.max_candidates, self.samples = context, initial, max_candidates, samples
        self.size_features, self.max_replicates = size_features, max_replicates
        self.candidates, self.start = Candidates(context), SobolSearch(context)
        self.earlier = Earlier(context, self.candidates, sizes=size_features)

    def propose(self, history: History, n: int) -> list[Proposal]:
        """The next up to ``n`` architectures; the note says what chose them (``by``) and what went wrong (``why``).

        Raises:
            SpaceExhaustedError: none is left.
        """
        rng = generator(self.context, history)
        rows = zip(history.in_space, history.states, strict=True)
        begun = sum(here and state not in ("infeasible", "failed") for here, state in rows)
        # Earlier studies have no say here: where they erred, starts that they chose cost a search forty trials.
        if begun < self.initial:
            return self._space_filling(history, n, {"by": "start"})
        with isolated(int(rng.integers(2**31))):
            try:
                return self._model_based(history, n, rng)
            except NothingLearntError as error:
                why = str(error)
            except NUMERICAL_ERRORS as error:
                why = f"the model could not be fitted ({type(error).__name__})"
        return self._space_filling(history, n, {"by": "fallback", "why": why})

    def _space_filling(self, history: History, n: int, note: dict[str, str]) -> list[Proposal]:
        likely = self._likely_feasible(history, n)
        chosen = likely or [item.architecture for item in self.start.propose(history, n)]
        return [Proposal(architecture, note=note) for architecture in chosen]

    def _likely_feasible(self, history: History, n: int) -> list[Architecture]:
        """Random candidates that probably keep the bounds on what is measured or learnt.

        None before `BROKEN` trials broke them, or some failed. Few points of a sequence keep a tight bound, and every
        one that does not costs a measurement, or a flash run.
        """
        view, rng = View(self.context, self.candidates, history), generator(self.context, history)
        if not _often_broken(view):
            return []
        pool = self.candidates.pool(history, self.max_candidates, SAMPLE, view.front(), rng)
        with isolated(int(rng.integers(2**31))):
            try:
                chances = self._log_chances(view, pool)
            except NUMERICAL_ERRORS:
                return []
        if chances is None:
            return []
        likely = rng.permutation(np.flatnonzero(chances > LIKELY))
        rows = likely if len(likely) else np.argsort(-chances, kind="stable")
        return [pool.architectures[row] for row in rows[:n]]

    def _log_chances(self, view: View, pool: Pool) -> FloatArray | None:
        """Log probability that candidates keep what is measured or learnt within bounds and do not fail.

        None where no such bound was seen to be kept or broken, and few trials failed.
        """
        return log_chances_of(view, pool, view.feature_map(pool, None, self.size_features))

    def _model_based(self, history: History, n: int, rng: np.random.Generator) -> list[Proposal]:
        view = View(self.context, self.candidates, history)
        pool = self.candidates.pool(history, self.max_candidates, SAMPLE, view.front(), rng)
        if not view.modelled_objectives:
            return self._known(view, pool, n, rng)
        modelled, measured = len(view.modelled_objectives), len(view.measured_objectives)
        if modelled == 1 or modelled - measured == 1:
            return self._closed_form(view, pool, n, rng)
        features = view.feature_map(pool, self.earlier or None, self.size_features)
        most = self._most_runs(view)
        view, pool, complete = _completed(view, pool, features)
        problem, inputs_of = problem_of(view, pool, features)
        seed = int(rng.integers(2**31))
        screen = Screen(problem, seed)
        if not self.candidates.countable(self.max_candidates):
            pool = self._climb(lambda some: screen(inputs_of(some)).numpy(), pool, history, complete)
        near = screen.plausible()
        chosen = choose(problem, screen, near, Looks(problem, near, most, seed), inputs_of(pool), n, self.samples, seed)
        return _proposals(view, pool, chosen)

    def _known(self, view: View, pool: Pool, n: int, rng: np.random.Generator) -> list[Proposal]:
        """The best by what is known; where bounds on anything else were seen, by the gain that is to be expected."""
        chances = self._log_chances(view, pool)
        if chances is None:
            best = rng.permutation(np.flatnonzero(non_dominated(view.known_values(pool))))
        else:
            best = np.argsort(-(self._log_gains(view, pool) + chances), kind="stable")
        return [Proposal(pool.architectures[index], note={"by": "known"}) for index in best[:n]]

    def _log_gains(self, view: View, pool: Pool) -> FloatArray:
        """Log of what each candidate adds to the hypervolume of what was tried, where every objective is known."""
        scales = [(item, view.known_scale(item.metric, pool)) for item in view.known_objectives]
        tried, new = (
            np.stack([known_or_bad(item, scale, some) for item, scale in scales], axis=1) for some in (view.past, pool)
        )
        tried = tried[view.in_space & view.feasible & (view.complete | view.pending)]
        reference = np.minimum(tried.min(axis=0, initial=np.inf), new.min(axis=0)) - 1.0
        cells = cells_of(tried[:, 1:], tried[:, 0], reference[1:], float(reference[0]))
        return log_ehvi(cells, new[:, 1:], new[:, 0], np.full(len(new), 1e-6))

    # -- one objective to be learnt ------------------------------------------------------------------------------

    def _closed_form(self, view: View, pool: Pool, n: int, rng: np.random.Generator) -> list[Proposal]:
        features = view.feature_map(pool, self.earlier or None, self.size_features)
        most = self._most_runs(view)
        view, pool, complete = _completed(view, pool, features)
        acquisition = ClosedForm(view, pool, features, draws=self.samples, rng=rng)
        if not self.candidates.countable(self.max_candidates):
            pool = self._climb(acquisition.screen, pool, view.history, complete)
        return _proposals(view, pool, acquisition.choose(pool, n, most))

    def _most_runs(self, view: View) -> int:
        """Runs of one architecture at most. Another replicate would be trained, not measured, anew."""
        return 1 if view.modelled_objectives == view.measured_objectives else self.max_replicates

    def _climb(
        self,
        screen: Callable[[Pool], FloatArray],
        pool: Pool,
        history: History,
        complete: Callable[[Pool], Pool] = _as_it_is,
    ) -> Pool:
        """The pool grown by the neighbours of its best, again and again until nothing better turns up.

        Args:
            screen: what is to be gained by each candidate, cheaply.
            pool: where it begins.
            history: says which neighbours were proposed before.
            complete: adds what is missing of new candidates.
        """
        values, best = screen(pool), -np.inf
        expanded: set[int] = set()
        for _ in range(ROUNDS):
            centres = [int(row) for row in np.argsort(-values, kind="stable")[:CENTRES] if int(row) not in expanded]
            if not centres or values.max() <= best:
                break
            best = float(values.max())
            expanded.update(centres)
            seen = set(pool.architectures)
            near = self.candidates.near([pool.architectures[row] for row in centres], history)
            new = [item for item in near if item not in seen]
            if not new:
                continue
            grown = complete(self.candidates.describe(new))
            values = np.concatenate([values, screen(grown)])
            pool = pool.joined(grown)
        return pool
