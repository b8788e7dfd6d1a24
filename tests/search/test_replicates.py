from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")

from autodistill.components.architecture import Architecture  # noqa: E402
from autodistill.components.search import History, Objective, Proposal, SearchContext  # noqa: E402
from autodistill.engine.space import build_space  # noqa: E402
from autodistill.search.acquisition import Bound, Problem, Screen, isolated  # noqa: E402
from autodistill.search.botorch import BotorchSearch  # noqa: E402
from autodistill.search.candidates import Candidates  # noqa: E402
from autodistill.search.closed_form import ClosedForm  # noqa: E402
from autodistill.search.configs import BotorchConfig  # noqa: E402
from autodistill.search.problem import problem_of  # noqa: E402
from autodistill.search.replicates import SAMPLES, Looks, _draws  # noqa: E402
from autodistill.search.view import View  # noqa: E402
from autodistill.testing.toy import ACCURACY, LATENCY, ToyKnown, toy_context, toy_history  # noqa: E402

OTHER = Objective("other", "other.accuracy", "maximize")
SPACE = {"num_layers": [1, 4, 6], "hidden_size": [96, 288, 336], "num_heads": [6], "activation": ["relu", "silu"]}


@dataclass(frozen=True)
class Case:
    """A history and all that is needed to look at it."""

    view: View
    problem: Problem
    candidates: torch.Tensor
    near: torch.Tensor

    def looks(self, most: int = 3) -> Looks:
        return Looks(self.problem, self.near, most, 0)

    def asked(self, looks: Looks, times: int, worth: float = -np.inf) -> list[int | None]:
        """Rows of the view that are asked for again, in turn, while candidates are worth so much."""
        values = torch.full((len(self.candidates),), worth, dtype=torch.float64)
        with isolated(0):
            choices = [looks.again(self.candidates, values, self.candidates[:0]) for _ in range(times)]
        return [None if choice is None else choice.row for choice in choices]


def a_context(objectives: Sequence[Objective] = (ACCURACY, OTHER)) -> SearchContext:
    known = ToyKnown(latency=LATENCY in objectives)
    return toy_context(space=build_space("toy", SPACE, {}), objectives=list(objectives), known=known)


def two_scores(
    context: SearchContext,
    tried: Sequence[Architecture],
    states: Sequence[str] | None = None,
    *,
    noise: float = 0.05,
) -> History:
    """Two scores that are learnt, of which the other falls with the latency, each seen with noise."""
    seen, rng = toy_history(context, tried), np.random.default_rng(0)
    falling = 0.8 - 0.05 * seen.metrics[LATENCY.metric]
    scores = {
        ACCURACY.metric: seen.metrics[ACCURACY.metric] + noise * rng.standard_normal(len(tried)),
        OTHER.metric: falling + noise * rng.standard_normal(len(tried)),
    }
    states = states or ["complete"] * len(tried)
    unseen = np.array([state != "complete" for state in states])
    scores = {name: np.where(unseen, np.nan, values) for name, values in scores.items()}
    told = {name: np.full(len(tried), max(noise, 1e-4) ** 2) for name in scores}
    return replace(seen, metrics={**seen.metrics, **scores}, variances=told, states=tuple(states))


def proposed(context: SearchContext, history: History, n: int, **parameters: int) -> list[Proposal]:
    return BotorchSearch(context, **{**vars(BotorchConfig()), **parameters}).propose(history, n)


def a_case(context: SearchContext, history: History) -> Case:
    candidates = Candidates(context)
    view = View(context, candidates, history)
    pool = candidates.pool(history, 1000, 10, [], np.random.default_rng(0))
    with isolated(0):
        problem, inputs_of = problem_of(view, pool, view.feature_map(pool, None, True))
        return Case(view, problem, inputs_of(pool), Screen(problem, 0).plausible())


def test_draws_cancel_in_means_and_in_products_of_objectives_and_leave_bounds_alone() -> None:
    context = a_context()
    problem = a_case(context, two_scores(context, list(context.space.enumerate())[:-4])).problem
    draws = _draws(replace(problem, models=(*problem.models, problem.models[0])), 0).numpy()
    assert draws.shape == (SAMPLES, 3)
    assert (draws[:, 2] == 0).all()
    moments = [np.mean(draws[:, 0] ** i * draws[:, 1] ** j) for i, j in product(range(4), repeat=2) if i % 2 or j % 2]
    assert moments == pytest.approx(np.zeros(len(moments)), abs=1e-12)
    assert draws[:, :2].std(axis=0) == pytest.approx(1.0)


def test_what_is_asked_for_counts_for_the_next() -> None:
    context = a_context()
    case = a_case(context, two_scores(context, list(context.space.enumerate())[:-4]))
    asked = case.asked(case.looks(most=9), 4)
    assert None not in asked
    assert len(set(asked)) > 2  # one that is to be seen again is known better already


def test_no_architecture_is_asked_for_more_often_than_allowed() -> None:
    context = a_context()
    case = a_case(context, two_scores(context, list(context.space.enumerate())[:-4]))
    asked = case.asked(case.looks(most=3), 2 * len(case.near) + 1)
    counts = Counter(row for row in asked if row is not None)
    assert counts
    assert max(counts.values()) == 2  # beside the first run
    assert asked[-1] is None
    assert case.asked(case.looks(most=1), 1) == [None]


@pytest.mark.parametrize("state", ["complete", "failed", "pending", "infeasible"])
def test_a_run_counts_whatever_became_of_it(state: str) -> None:
    context = a_context()
    tried = list(context.space.enumerate())[:-4]
    case = a_case(context, two_scores(context, [*tried, *tried], ["complete"] * len(tried) + [state] * len(tried)))
    if state == "infeasible":  # its architecture is out, whatever the first run said
        assert not case.problem.runs.size or case.asked(case.looks(most=2), 1) == [None]
        return
    assert (case.problem.runs == 2).all()
    assert case.asked(case.looks(most=2), 1) == [None]
    assert case.asked(case.looks(most=3), 1) != [None]


def test_rows_are_those_of_the_view() -> None:
    context = a_context()
    everything = list(context.space.enumerate())
    tried, out = everything[:-4], everything[-3:]
    plain = a_case(context, two_scores(context, tried))
    history = two_scores(context, [*out, *tried], ["infeasible"] * len(out) + ["complete"] * len(tried))
    scores = {
        name: np.append(np.full(len(out), np.nan), two_scores(context, tried).metrics[name])
        for name in (ACCURACY.metric, OTHER.metric)
    }
    case = a_case(context, replace(history, metrics={**history.metrics, **scores}))
    assert case.problem.baseline.shape == plain.problem.baseline.shape
    (row,), (expected,) = (one.asked(one.looks(), 1) for one in (case, plain))
    assert row is not None
    assert expected is not None
    assert case.view.past.architectures[row] == plain.view.past.architectures[expected]


def test_a_candidate_counts_once_and_one_that_adds_nothing_not_at_all() -> None:
    context = a_context()
    tried = [item for item in context.space.enumerate() if item.choices["num_layers"] != 4]  # the best are left out
    case = a_case(context, two_scores(context, tried))
    finite = torch.zeros(len(case.candidates), dtype=torch.float64)
    with isolated(0):
        assert case.looks().again(case.candidates, finite, case.candidates[:0]) is None
        assert case.looks().again(case.candidates, finite - np.inf, case.candidates[:0]) is not None
        # As something that is being tried it is on the front: another like it adds little.
        assert case.looks().again(case.candidates, finite, case.candidates) is not None


def test_what_surely_breaks_a_bound_is_not_looked_at() -> None:
    context = a_context()
    case = a_case(context, two_scores(context, list(context.space.enumerate())[:-4]))
    (free,) = case.asked(case.looks(), 1)
    assert free is not None
    accuracies = case.problem.values[:, 0]
    middle = float(np.median(accuracies))
    place = int(np.flatnonzero(case.problem.architectures == free)[0])
    sign = 1.0 if accuracies[place] > middle else -1.0  # the bound is broken on its side
    bounded = replace(case, problem=replace(case.problem, bounds=(Bound(0, sign, middle - sign * 0.3),)))
    (other,) = bounded.asked(bounded.looks(), 1)
    assert other is not None
    assert sign * (accuracies[np.flatnonzero(case.problem.architectures == other)[0]] - middle) < 0


def test_a_look_is_worth_what_the_closed_form_says() -> None:
    context = a_context([ACCURACY, LATENCY])
    tried = list(context.space.enumerate())[:-4]
    seen = toy_history(context, tried)
    scores = seen.metrics[ACCURACY.metric] + 0.05 * np.random.default_rng(0).standard_normal(len(tried))
    told = {ACCURACY.metric: np.full(len(tried), 0.05**2)}
    history = replace(seen, metrics={**seen.metrics, ACCURACY.metric: scores}, variances=told)
    candidates = Candidates(context)
    view = View(context, candidates, history)
    pool = candidates.pool(history, 1000, 10, [], np.random.default_rng(0))
    features = view.feature_map(pool, None, True)
    case = a_case(context, history)
    with isolated(0):
        closed = ClosedForm(view, pool, features, draws=16, rng=np.random.default_rng(0))
        exact = max(closed._worth_of_another_look(int(entry)) for entry in closed._near)
        values = torch.full((len(case.candidates),), -np.inf, dtype=torch.float64)
        choice = case.looks().again(case.candidates, values, case.candidates[:0])
    assert choice is not None
    assert np.exp(choice.log_value) == pytest.approx(np.exp(exact), rel=0.05)


def test_noise_of_two_scores_that_hides_the_front_asks_for_a_replicate() -> None:
    context = a_context()
    tried = list(context.space.enumerate())[:-2]  # two are left that cannot be good
    noisy, precise = two_scores(context, tried), two_scores(context, tried, noise=0.0)
    proposals = proposed(context, noisy, 3)
    replicates = [item.architecture for item in proposals if item.replicate]
    assert replicates
    assert set(replicates) <= set(tried)
    assert all(item.note == {"by": "replicate" if item.replicate else "model"} for item in proposals)
    assert not any(item.replicate for item in proposed(context, precise, 2))
    assert not any(item.replicate for item in proposed(context, noisy, 2, max_replicates=1))


def test_no_architecture_is_trained_more_often_than_allowed_where_two_scores_are_learnt() -> None:
    context = a_context()
    tried = list(context.space.enumerate())[:-2]
    twice = two_scores(context, [*tried, *tried])
    pending = two_scores(context, [*tried, *tried], ["complete"] * len(tried) + ["pending"] * len(tried))
    for history in (twice, pending):
        assert not any(item.replicate for item in proposed(context, history, 4, max_replicates=2))
        assert any(item.replicate for item in proposed(context, history, 4, max_replicates=3))
