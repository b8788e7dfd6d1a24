from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

# BoTorch's dependencies script a function on import, which torch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")

from autodistill.components.architecture import Architecture  # noqa: E402
from autodistill.components.search import (  # noqa: E402
    Constraint,
    History,
    Known,
    Objective,
    SearchContext,
    SearchSpace,
)
from autodistill.engine.space import build_space  # noqa: E402
from autodistill.errors import ConfigError  # noqa: E402
from autodistill.pareto import hypervolume, non_dominated  # noqa: E402
from autodistill.search.acquisition import Problem, Screen, choose  # noqa: E402
from autodistill.search.botorch import BotorchSearch  # noqa: E402
from autodistill.search.candidates import Candidates, Pool  # noqa: E402
from autodistill.search.closed_form import ClosedForm, _nodes_of  # noqa: E402
from autodistill.search.configs import BotorchConfig  # noqa: E402
from autodistill.search.measured import with_measured  # noqa: E402
from autodistill.search.problem import problem_of  # noqa: E402
from autodistill.search.random import RandomSearch  # noqa: E402
from autodistill.search.scales import Scale  # noqa: E402
from autodistill.search.view import View  # noqa: E402
from autodistill.testing.search import (  # noqa: E402
    ACCURACY,
    LATENCY,
    PARAMETERS,
    TOY_REFERENCE,
    MakeStrategy,
    NothingKnown,
    SearchStrategySuite,
    ToyKnown,
    explore,
    toy_context,
    toy_history,
    toy_metrics,
)

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

LARGE_SPACE = {
    "num_layers": list(range(1, 25)),
    "hidden_size": {"type": "integer", "low": 64, "high": 1024, "step": 4},
    "num_heads": list(range(1, 17)),
    "activation": {"type": "categorical", "values": ["gelu", "relu", "silu"]},
}


def make(context: SearchContext, **parameters: Any) -> BotorchSearch:
    return BotorchSearch(context, **{**vars(BotorchConfig()), "max_candidates": 20_000, **parameters})


def drawn_history(context: SearchContext, n: int, *, variances: bool = False) -> History:
    proposals = RandomSearch(context).propose(History(), n)
    return toy_history(context, [item.architecture for item in proposals], noise=0.01, variances=variances)


class TestBotorchSearch(SearchStrategySuite):
    UNIT_FREE = True

    @pytest.fixture
    def make_strategy(self) -> MakeStrategy:
        return make


def test_it_starts_with_space_filling_proposals_and_then_asks_the_model() -> None:
    context = toy_context()
    assert {item.note["by"] for item in make(context).propose(History(), 5) if item.note} == {"start"}
    for variances in (False, True):
        proposal = make(context).propose(drawn_history(context, 6, variances=variances), 1)[0]
        assert proposal.note == {"by": "model"}


def test_a_batch_has_distinct_architectures_chosen_by_the_model() -> None:
    context = toy_context()
    proposals = make(context).propose(drawn_history(context, 8), 3)
    assert len({item.architecture for item in proposals}) == 3
    assert all(item.note == {"by": "model"} for item in proposals)


def test_a_pending_trial_changes_what_is_proposed_next() -> None:
    context = toy_context()
    history = drawn_history(context, 8)
    first = make(context).propose(history, 1)[0].architecture
    states = ["complete"] * 8 + ["pending"]
    later = toy_history(context, [*history.architectures, first], states=states, noise=0.01)
    assert make(context).propose(later, 1)[0].architecture != first


@pytest.mark.parametrize(
    "objectives", [(ACCURACY,), (LATENCY,), (ACCURACY, PARAMETERS), (ACCURACY, LATENCY, PARAMETERS)]
)
def test_known_and_modelled_objectives_mix(objectives: tuple[Objective, ...]) -> None:
    context = toy_context(objectives=objectives)
    assert make(context).propose(drawn_history(context, 7), 2)[1].note == {"by": "model"}


def test_nothing_but_known_objectives_needs_no_model() -> None:
    context = toy_context(objectives=[PARAMETERS])
    history = drawn_history(context, 7)
    proposal = make(context).propose(history, 1)[0]
    assert proposal.note == {"by": "known"}
    unseen = [item for item in context.space.enumerate() if item not in history.architectures]
    assert context.known([proposal.architecture])[PARAMETERS.metric][0][0] == min(
        context.known(unseen)[PARAMETERS.metric][0]
    )


@pytest.mark.parametrize("objectives", [(LATENCY,), (LATENCY, PARAMETERS)])
def test_known_objectives_heed_a_bound_on_what_must_be_learnt(objectives: tuple[Objective, ...]) -> None:
    good = Constraint("good", ACCURACY.metric, ">=", 0.85)  # 28 of 504
    context = toy_context(objectives=objectives, constraints=[good], known=ToyKnown(latency=True))
    allowed = [item for item in context.space.enumerate() if good.holds(toy_metrics(item)[ACCURACY.metric])]
    found = [item for item in explore(make, context, 15).architectures if item in allowed]
    assert min(map(_latency, found)) <= 1.05 * min(map(_latency, allowed))


@pytest.mark.parametrize("others", [(), (PARAMETERS,)])
def test_a_measured_objective_needs_no_objective_that_must_be_learnt(others: tuple[Objective, ...]) -> None:
    context = toy_context(objectives=[LATENCY, *others], measured=[LATENCY.metric])
    history = drawn_history(context, 7)
    proposals = make(context).propose(history, 3)
    assert all(item.note == {"by": "model"} and not item.replicate for item in proposals)
    fastest = min(_latency(item) for item in history.architectures)
    assert min(_latency(item.architecture) for item in proposals) < fastest


@pytest.mark.parametrize("seed", [0, 1])
def test_a_bound_on_what_must_be_learnt_is_approached_before_any_trial_keeps_it(seed: int) -> None:
    good = Constraint("good", ACCURACY.metric, ">=", 0.88)  # 3 of 504; a sequence needs more than eighty trials
    context = toy_context(constraints=[good], known=ToyKnown(latency=True), seed=seed)
    search, tried = make(context), list[Architecture]()
    while not any(good.holds(toy_metrics(item)[ACCURACY.metric]) for item in tried) and len(tried) < 15:
        tried.append(search.propose(toy_history(context, tried), 1)[0].architecture)
    assert len(tried) < 15


def test_what_lies_outside_the_space_is_learnt_from_but_is_not_on_the_front() -> None:
    context = toy_context()
    stranger = Architecture("toy", {"num_layers": 4, "hidden_size": 100, "num_heads": 2, "activation": "gelu"})
    states = ["complete", "pending"] + ["complete"] * 7 + ["pending"]
    tried = [stranger, replace(stranger, choices={**stranger.choices, "hidden_size": 200})]
    history = toy_history(context, [*tried, *drawn_history(context, 8).architectures], states=states)
    search = make(context)
    view, pool = View(context, search.candidates, history), search.candidates.describe(context.space.enumerate())
    problem, _ = problem_of(view, pool, view.feature_map(pool, None, sizes=True))
    assert len(problem.models[0].whole.train_targets) == 8
    assert (len(problem.baseline), len(problem.pending)) == (7, 1)


def test_four_objectives_are_refused_with_advice() -> None:
    context = toy_context(objectives=[ACCURACY, LATENCY, PARAMETERS, Objective("f1", "classification.f1", "maximize")])
    with pytest.raises(ConfigError, match=r"at most 3 objectives, got 4 .* give the others a bound"):
        make(context)


def test_a_bound_on_a_modelled_metric_is_learnt() -> None:
    limit = Constraint("fast", LATENCY.metric, "<=", 2.0)
    context = toy_context(objectives=[ACCURACY], constraints=[limit])
    history = drawn_history(context, 20)
    chosen = [item.architecture for item in make(context).propose(history, 3)]
    unlimited = make(toy_context(objectives=[ACCURACY])).propose(history, 3)
    assert max(toy_metrics(item)[LATENCY.metric] for item in chosen) < 3.0
    assert min(toy_metrics(item.architecture)[LATENCY.metric] for item in unlimited) > 3.0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda values: np.full_like(values, np.nan), "was observed fewer than two times"),
        (lambda values: np.full_like(values, 0.5), "all trials have the same objectives"),
    ],
)
def test_a_history_without_information_falls_back_and_says_why(change: object, why: str) -> None:
    context = toy_context()
    history = drawn_history(context, 6)
    flat = replace(history, metrics={name: change(values) for name, values in history.metrics.items()})  # type: ignore[operator]
    note = make(context).propose(flat, 1)[0].note
    assert note is not None
    assert note["by"] == "fallback"
    assert why in note["why"]


def test_values_that_would_break_a_model_never_raise() -> None:
    context = toy_context()
    history = drawn_history(context, 6)
    for value in (1e300, 1e-300, -1e300, np.inf):
        values = history.metrics[ACCURACY.metric].copy()
        values[0] = value
        strange = replace(history, metrics={**history.metrics, ACCURACY.metric: values})
        assert make(context).propose(strange, 1)


def test_the_unit_of_a_known_metric_changes_nothing() -> None:
    objectives = [ACCURACY, PARAMETERS]
    plain, scaled = (
        toy_context(objectives=objectives),
        toy_context(objectives=objectives, known=ToyKnown(scale=2.0**-20)),
    )
    history = drawn_history(plain, 7)
    assert make(plain).propose(history, 2) == make(scaled).propose(history, 2)


def test_spaces_too_large_to_search_whole_are_sampled() -> None:
    space = build_space("toy", LARGE_SPACE, {"heads_divide_width": "hidden_size % num_heads == 0"})
    context = toy_context(space=space, known=NothingKnown())
    proposal = make(context).propose(drawn_history(context, 7), 1)[0]
    assert proposal.note == {"by": "model"}
    assert proposal.architecture in space


def test_a_large_space_with_two_objectives_to_be_learnt_is_climbed() -> None:
    context = toy_context(space=_large_space(), known=NothingKnown())
    strategy, history = make(context, max_candidates=100), drawn_history(context, 12)
    wanted = Architecture("toy", {"num_layers": 7, "hidden_size": 512, "num_heads": 3, "activation": "gelu"})
    pool = strategy.candidates.pool(history, 100, 20, [], np.random.default_rng(0))
    assert wanted not in pool.architectures

    def nearness(some: Pool) -> FloatArray:
        def away(item: Architecture) -> float:
            steps = {"num_layers": 1, "hidden_size": 16, "num_heads": 1}
            return sum(abs(item.choices[name] - wanted.choices[name]) / step for name, step in steps.items())  # type: ignore[operator]

        return -np.array([away(item) for item in some.architectures])

    climbed = strategy._climb(nearness, pool, history)
    assert max(nearness(climbed)) > max(nearness(pool))
    assert len(climbed.architectures) == len(set(climbed.architectures)) > len(pool.architectures)
    first = strategy.propose(history, 2)
    assert all(item.architecture in context.space and item.note == {"by": "model"} for item in first)
    assert make(context, max_candidates=100).propose(history, 2) == first


def test_configs_check_their_ranges() -> None:
    with pytest.raises(ConfigError, match=r"^search\.initial must be >= 2, got 1"):
        BotorchConfig(initial=1)
    with pytest.raises(ConfigError, match=r"^search\.max_candidates must be <= 200000, got 200001"):
        BotorchConfig(max_candidates=200_001)


class LatencyKnown:
    """The toy's latency in closed form beside what is known anyway, with a stated relative standard deviation."""

    def __init__(self, spread: float = 0.0, factor: float = 1.0, others: Known | None = None) -> None:
        self.spread, self.factor, self.others = spread, factor, others or ToyKnown()

    @property
    def metrics(self) -> frozenset[str]:
        return self.others.metrics | {LATENCY.metric}

    def __call__(self, architectures: Sequence[Architecture]) -> Mapping[str, tuple[FloatArray, FloatArray]]:
        values = self.factor * np.array([toy_metrics(item)[LATENCY.metric] for item in architectures])
        return {**self.others(architectures), LATENCY.metric: (values, (self.spread * values) ** 2)}


class TestBotorchSearchWithKnownLatency(SearchStrategySuite):
    """The closed form, of which the suite above sees little: most of its objectives must be learnt."""

    UNIT_FREE = True

    @pytest.fixture
    def make_strategy(self) -> MakeStrategy:
        return lambda context: make(replace(context, known=LatencyKnown(others=context.known)))

    def test_constraints_on_measured_metrics_are_tolerated(self, make_strategy: MakeStrategy) -> None:
        """A bound on the latency is one on what is known here: candidates that break it are not proposed."""
        context = toy_context(constraints=[Constraint("fast", LATENCY.metric, "<=", 2.0)])
        proposals = make_strategy(context).propose(drawn_history(context, 8), 3)
        assert max(toy_metrics(item.architecture)[LATENCY.metric] for item in proposals) <= 2.0


class TestBotorchSearchWithMeasuredLatency(SearchStrategySuite):
    """The closed form with a latency that is measured of what is tried and predicted of the rest."""

    UNIT_FREE = True

    @pytest.fixture
    def make_strategy(self) -> MakeStrategy:
        return lambda context: make(replace(context, measured=frozenset({LATENCY.metric})))


def test_a_measured_latency_is_predicted_where_it_was_not_measured() -> None:
    context = toy_context(measured=[LATENCY.metric])
    history = drawn_history(context, 30)
    candidates = Candidates(context)
    view, pool = View(context, candidates, history), candidates.pool(history, 20_000, 100, [], np.random.default_rng(0))
    completed, measured = with_measured(view, view.feature_map(pool, None, True))
    assert completed.known_objectives[-1] == completed.context.objectives[-1] == LATENCY
    assert completed.past.known[LATENCY.metric].tolist() == history.metrics[LATENCY.metric].tolist()
    assert completed.past.variances[LATENCY.metric].max() == 0.0
    predicted = measured.completed(pool)
    truth = np.array([_latency(item) for item in pool.architectures])
    spread = np.sqrt(predicted.variances[LATENCY.metric]) / predicted.known[LATENCY.metric]
    off = np.log(predicted.known[LATENCY.metric] / truth)
    assert np.median(np.abs(off)) < 0.05
    assert np.mean(np.abs(off) < 2 * spread) > 0.9


def test_with_a_measured_latency_a_replicate_may_be_asked_for() -> None:
    context = toy_context(space=_small_space(), measured=[LATENCY.metric])
    tried = list(context.space.enumerate())[:-2]
    seen = toy_history(context, tried)
    scores = seen.metrics[ACCURACY.metric] + 0.05 * np.random.default_rng(0).standard_normal(len(tried))
    told = {ACCURACY.metric: np.full(len(tried), 0.05**2)}
    noisy = replace(seen, metrics={**seen.metrics, ACCURACY.metric: scores}, variances=told)
    assert make(context).propose(noisy, 1)[0].replicate
    limits = [Constraint("fast", LATENCY.metric, "<=", 50.0)]
    bounded = toy_context(space=_small_space(), measured=[LATENCY.metric], constraints=limits)
    assert make(bounded).propose(noisy, 1)[0].replicate


def test_a_known_objective_is_not_taken_from_what_was_observed() -> None:
    context = toy_context(known=LatencyKnown())
    history = drawn_history(context, 10)
    wrong = replace(history, metrics={**history.metrics, LATENCY.metric: np.full(10, 5.0)})
    assert make(context).propose(wrong, 2) == make(context).propose(history, 2)


def test_the_unit_of_a_known_latency_changes_nothing() -> None:
    history = drawn_history(toy_context(), 10)
    plain = make(toy_context(known=LatencyKnown())).propose(history, 3)
    for factor in (1024.0, 1000.0):
        assert make(toy_context(known=LatencyKnown(factor=factor))).propose(history, 3) == plain


def test_a_reference_point_of_the_study_decides_which_part_of_the_front_matters() -> None:
    history = drawn_history(toy_context(), 20)
    fast = replace(toy_context(known=LatencyKnown()), reference={ACCURACY.metric: 0.3, LATENCY.metric: 1.0})
    chosen = [toy_metrics(item.architecture)[LATENCY.metric] for item in make(fast).propose(history, 3)]
    assert max(chosen) < 1.0
    accurate = replace(toy_context(known=LatencyKnown()), reference={ACCURACY.metric: 0.8, LATENCY.metric: 20.0})
    chosen = [toy_metrics(item.architecture)[LATENCY.metric] for item in make(accurate).propose(history, 3)]
    assert min(chosen) > 1.0


def test_a_reference_that_nothing_has_reached_yet_does_not_hide_the_front() -> None:
    history = drawn_history(toy_context(), 20)
    best = float(history.metrics[ACCURACY.metric].max())
    beyond = replace(toy_context(known=LatencyKnown()), reference={ACCURACY.metric: best + 0.2, LATENCY.metric: 20.0})
    chosen = [toy_metrics(item.architecture)[LATENCY.metric] for item in make(beyond).propose(history, 3)]
    assert min(chosen) < 4.0  # not the largest models alone


@pytest.mark.parametrize("objectives", [(ACCURACY, LATENCY), (ACCURACY, LATENCY, PARAMETERS)])
def test_a_stated_variance_of_known_objectives_is_integrated_over(objectives: tuple[Objective, ...]) -> None:
    context = toy_context(objectives=objectives, known=UncertainKnown(0.15))
    history, candidates, rng = drawn_history(context, 12), Candidates(context), np.random.default_rng(0)
    view, pool = View(context, candidates, history), candidates.pool(history, 20_000, 100, [], rng)
    features = view.feature_map(pool, None, sizes=True)
    acquisition = ClosedForm(view, pool, features, draws=4, rng=rng)
    values = acquisition.screen(pool)
    certain = replace(pool, variances={metric: np.zeros(len(pool)) for metric in pool.variances})
    gained = values - acquisition.screen(certain)
    promising = np.argsort(-values)[:250]
    rows = promising[np.argsort(-gained[promising])[:10]]  # where the variance matters most
    assert gained[rows].min() > 0.25
    means = np.zeros(len(pool))
    for _ in range(300):
        factors = {item.metric: np.exp(0.15 * rng.standard_normal(len(pool))) for item in objectives[1:]}
        known = {metric: column * factors.get(metric, 1.0) for metric, column in pool.known.items()}
        means += np.exp(acquisition.screen(replace(certain, known=known))) / 300
    assert values[rows] == pytest.approx(np.log(means[rows]), abs=0.2)


def test_a_variance_that_is_next_to_nothing_changes_nothing() -> None:
    history = drawn_history(toy_context(), 10)
    exact = make(toy_context(known=LatencyKnown())).propose(history, 1)
    assert make(toy_context(known=LatencyKnown(1e-9))).propose(history, 1) == exact


@pytest.mark.parametrize("dimensions", [1, 2])
def test_nodes_have_the_moments_of_the_normal_distribution(dimensions: int) -> None:
    nodes = _nodes_of(dimensions)
    points, weights = np.array([node for node, _ in nodes]), np.exp([log_weight for _, log_weight in nodes])
    assert weights.sum() == pytest.approx(1.0)
    assert weights @ points == pytest.approx(np.zeros(dimensions), abs=1e-12)
    assert (points.T * weights) @ points == pytest.approx(np.eye(dimensions), abs=1e-12)


def test_what_is_tried_outside_of_the_space_is_no_flash_run_that_is_under_way() -> None:
    context = toy_context(known=LatencyKnown())
    outside = Architecture("toy", {"num_layers": 5, "hidden_size": 312, "num_heads": 6, "activation": "gelu"})
    inside = drawn_history(context, 8).architectures
    history = toy_history(context, [*inside, outside], states=["complete"] * 8 + ["pending"])
    view, candidates = View(context, Candidates(context), history), Candidates(context)
    assert view.rows.tolist() == list(range(8))
    pool = candidates.pool(history, 20_000, 100, [], np.random.default_rng(0))
    features = view.feature_map(pool, None, sizes=True)
    assert not ClosedForm(view, pool, features, draws=4, rng=np.random.default_rng(0)).front.believed


# -- two objectives to be learnt ------------------------------------------------------------------------------------

SECOND = Objective("second", "second.accuracy", "maximize")


def two_scores(context: SearchContext, n: int) -> History:
    history = drawn_history(context, n)
    noise = 0.01 * np.random.default_rng(1).standard_normal(n)
    return replace(history, metrics={**history.metrics, SECOND.metric: 0.5 * history.metrics[ACCURACY.metric] + noise})


def problems(monkeypatch: pytest.MonkeyPatch) -> list[Problem]:
    """The acquisition problems that are put from now on."""
    found: list[Problem] = []

    def noted(problem: Problem, *others: Any) -> list[int]:
        found.append(problem)
        return choose(problem, *others)

    monkeypatch.setattr("autodistill.search.botorch.choose", noted)
    return found


def test_a_measured_latency_beside_two_scores_is_no_third_thing_to_be_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    context = toy_context(objectives=[ACCURACY, SECOND, LATENCY], measured=[LATENCY.metric])
    history, found = two_scores(context, 14), problems(monkeypatch)
    assert make(context).propose(history, 1)[0].note == {"by": "model"}
    (problem,) = found
    assert len(problem.models) == 2
    latency = problem.sources[2]
    assert latency.column is not None
    assert latency.spread is not None
    assert problem.baseline[:, latency.spread].max() == 0.0  # what was measured is known


def test_a_bound_on_a_measured_latency_is_on_the_scale_of_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = Constraint("fast", LATENCY.metric, "<=", 3.0)
    context = toy_context(objectives=[ACCURACY, SECOND, LATENCY], constraints=[fast], measured=[LATENCY.metric])
    history, found = two_scores(context, 14), problems(monkeypatch)
    make(context).propose(history, 1)
    seen = history.metrics[LATENCY.metric]
    assert found[0].bounds[0].bound == pytest.approx(Scale.fit(LATENCY.metric, seen)(np.array([3.0]))[0])


def test_with_two_scores_to_be_learnt_stated_variances_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    found = problems(monkeypatch)
    for spread in (0.0, 0.5):
        context = toy_context(objectives=[ACCURACY, SECOND, LATENCY], known=LatencyKnown(spread))
        make(context).propose(two_scores(context, 14), 1)
    exact, uncertain = found
    assert exact.sources[2].spread is None
    assert uncertain.sources[2].spread == exact.baseline.shape[1]
    candidates = torch.cat([exact.baseline, torch.full((len(exact.baseline), 1), 0.7, dtype=torch.float64)], dim=1)
    samples = torch.zeros(512, len(candidates), 2, dtype=torch.float64)
    values = uncertain.sources[2](samples, candidates)
    assert values.mean(dim=0).numpy() == pytest.approx(-candidates[:, exact.sources[2].column].numpy(), abs=1e-6)
    assert values.std(dim=0).numpy() == pytest.approx(0.7, rel=0.02)


def test_what_is_surely_beaten_is_no_part_of_the_front_that_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    context = toy_context(objectives=[ACCURACY, SECOND, LATENCY], known=LatencyKnown())
    found = problems(monkeypatch)
    make(context).propose(two_scores(context, 60), 1)
    kept = set(Screen(found[0], 0).plausible().tolist())
    assert set(np.flatnonzero(non_dominated(-found[0].values)).tolist()) <= kept
    assert len(kept) < 60


def test_of_many_candidates_the_first_are_found_by_a_rough_estimate_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    context = toy_context(objectives=[ACCURACY, SECOND, LATENCY], known=LatencyKnown())
    found = problems(monkeypatch)
    make(context).propose(two_scores(context, 20), 1)
    screen, candidates = Screen(found[0], 0), found[0].baseline.repeat(4, 1)
    candidates[:, 0] += torch.linspace(0.0, 0.1, len(candidates), dtype=torch.float64)
    whole = screen(candidates)
    monkeypatch.setattr("autodistill.search.acquisition.PROMISING", 40)
    few = screen(candidates)
    assert (few > 0).sum() <= 40 < (whole > 0).sum()
    assert torch.allclose(few[few > 0], whole[few > 0])  # but for the last bits, by other chunks
    assert set(few.topk(8).indices.tolist()) == set(whole.topk(8).indices.tolist())


# -- trials that fail -----------------------------------------------------------------------------------------------


def fails(architecture: Architecture) -> bool:
    return int(architecture.choices["num_layers"]) >= 3


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("objectives", [(ACCURACY, LATENCY), (ACCURACY, SECOND, LATENCY), (LATENCY,)])
def test_where_trials_fail_is_learnt(objectives: tuple[Objective, ...], seed: int) -> None:
    context = toy_context(objectives=objectives, known=LatencyKnown(), seed=seed)  # half of the space fails
    search, tried = make(context), list[Architecture]()
    for _ in range(16):
        states = ["failed" if fails(item) else "complete" for item in tried]
        history = toy_history(context, tried, states=states)
        second = 0.5 * history.metrics[ACCURACY.metric]
        history = replace(history, metrics={**history.metrics, SECOND.metric: second})
        tried.append(search.propose(history, 1)[0].architecture)
    assert sum(map(fails, tried)) <= 8
    assert sum(map(fails, tried[8:])) <= 2


def test_one_failure_says_nothing_of_its_neighbours() -> None:
    context = toy_context(known=LatencyKnown())
    history = toy_history(context, drawn_history(context, 8).architectures, states=["failed"] + ["complete"] * 7)
    view = View(context, Candidates(context), history)
    assert not view.failures_matter
    assert view.observed_constraints() == {}


def test_noise_that_hides_the_front_asks_for_a_replicate_and_a_precise_score_does_not() -> None:
    context = toy_context(space=_small_space(), known=LatencyKnown())
    everything = list(context.space.enumerate())
    tried = everything[:-2]  # two are left that cannot be good
    rng = np.random.default_rng(0)

    def history(noise: float) -> History:
        seen = toy_history(context, tried)
        scores = seen.metrics[ACCURACY.metric] + noise * rng.standard_normal(len(tried))
        told = {ACCURACY.metric: np.full(len(tried), max(noise, 1e-4) ** 2)}
        return replace(seen, metrics={**seen.metrics, ACCURACY.metric: scores}, variances=told)

    noisy = make(context).propose(history(0.05), 1)[0]
    assert noisy.replicate
    assert noisy.note == {"by": "replicate"}
    assert noisy.architecture in tried
    assert not make(context).propose(history(0.0), 1)[0].replicate
    assert not make(context, max_replicates=1).propose(history(0.05), 1)[0].replicate


def test_where_no_new_candidate_can_add_anything_what_was_tried_is_looked_at_again() -> None:
    context = replace(toy_context(known=LatencyKnown()), reference={ACCURACY.metric: 0.5, LATENCY.metric: 1.0})
    fast = [item for item in context.space.enumerate() if toy_metrics(item)[LATENCY.metric] < 1.0]
    history = toy_history(context, fast, noise=0.05, variances=True)  # all others are beyond the reference
    proposals = make(context).propose(history, 2)
    assert [item.note for item in proposals] == [{"by": "replicate"}] * 2
    assert all(item.replicate and item.architecture in fast for item in proposals)
    (anew,) = make(context, max_replicates=1).propose(history, 1)
    assert anew.note == {"by": "fallback", "why": "no candidate can add to the hypervolume"}
    assert anew.architecture not in fast


class UncertainKnown(LatencyKnown):
    """As `LatencyKnown`, and the number of parameters is as uncertain."""

    def __call__(self, architectures: Sequence[Architecture]) -> Mapping[str, tuple[FloatArray, FloatArray]]:
        found = dict(super().__call__(architectures))
        values, _ = found[PARAMETERS.metric]
        return {**found, PARAMETERS.metric: (values, (self.spread * values) ** 2)}


class SomeLatencies(LatencyKnown):
    """As `LatencyKnown`, but of a few architectures only, as a table that is not complete."""

    def __init__(self, listed: Sequence[Architecture]) -> None:
        super().__init__()
        self.listed = set(listed)

    def __call__(self, architectures: Sequence[Architecture]) -> Mapping[str, tuple[FloatArray, FloatArray]]:
        found = dict(super().__call__(architectures))
        there = np.array([item in self.listed for item in architectures])
        values, variances = found[LATENCY.metric]
        return {**found, LATENCY.metric: (np.where(there, values, np.nan), np.where(there, variances, np.nan))}


def test_latencies_that_are_not_known_ask_for_no_replicates() -> None:
    space = toy_context().space
    listed = space.sample(24, seed=3)
    context = toy_context(known=SomeLatencies(listed))
    history = toy_history(context, listed[:14])
    proposal = make(context).propose(history, 1)[0]
    assert proposal.note == {"by": "model"}
    assert proposal.architecture in listed[14:]


def test_a_run_at_chance_and_a_perplexity_that_is_hardly_a_number_are_searched_with() -> None:
    perplexity = Objective("quality", "mlm.perplexity", "minimize")
    context = replace(toy_context(known=LatencyKnown()), objectives=(perplexity, LATENCY))
    history = drawn_history(toy_context(), 25)
    values = np.exp(3.0 - 2.0 * history.metrics[ACCURACY.metric])

    def proposed(worst: float) -> Any:
        seen = np.append(values[:-1], worst)
        told = {perplexity.metric: (0.01 * seen) ** 2} if worst < 1e100 else {perplexity.metric: seen}
        return make(context).propose(replace(history, metrics={perplexity.metric: seen}, variances=told), 1)[0]

    usual = proposed(float(values.max()))
    assert usual.note == proposed(np.exp(700.0)).note == {"by": "model"}
    latencies = [toy_metrics(proposed(worst).architecture)[LATENCY.metric] for worst in (1e3, 1e6)]
    assert latencies[0] == latencies[1]  # how bad it was says nothing


def _small_space() -> SearchSpace:
    """Architectures that differ little in accuracy, and two that are much worse."""
    return build_space(
        "toy",
        {"num_layers": [1, 4, 6], "hidden_size": [96, 288, 336], "num_heads": [6], "activation": ["relu", "silu"]},
        {"order": "num_layers > 1 or hidden_size == 96"},
    )


@pytest.mark.parametrize("latency", ["known", "measured"])
def test_a_large_space_with_a_latency_is_climbed_from_the_front(latency: str, monkeypatch: pytest.MonkeyPatch) -> None:
    space = build_space("toy", LARGE_SPACE, {"heads_divide_width": "hidden_size % num_heads == 0"})
    context = toy_context(space=space, known=LatencyKnown())
    if latency == "measured":
        context = toy_context(space=space, measured=[LATENCY.metric])
    history, pools = drawn_history(context, 12), list[Pool]()
    monkeypatch.setattr("autodistill.search.botorch.SAMPLE", 50)
    climb = BotorchSearch._climb

    def noted(self: BotorchSearch, screen: Any, pool: Pool, *others: Any) -> Pool:
        pools.append(pool)
        return climb(self, screen, pool, *others)

    monkeypatch.setattr(BotorchSearch, "_climb", noted)
    strategy = make(context, max_candidates=100)
    first = strategy.propose(history, 2)
    assert all(item.architecture in space and item.note == {"by": "model"} for item in first)
    assert make(context, max_candidates=100).propose(history, 2) == first
    front = View(context, strategy.candidates, history).front()
    begun = set(pools[0].architectures)  # the draw and the neighbours of the front
    assert front
    assert set(strategy.candidates.near(front, history)) <= begun
    assert not {item.architecture for item in first} & begun


def _large_space() -> SearchSpace:
    sizes = {"type": "integer", "low": 64, "high": 1024, "step": 16}
    choices = {"num_layers": list(range(1, 25)), "hidden_size": sizes, "num_heads": list(range(1, 9))}
    return build_space("toy", {**choices, "activation": ["gelu"]}, {})


def _latency(architecture: Architecture) -> float:
    return toy_metrics(architecture)[LATENCY.metric]


def _timed(context: SearchContext, tried: Sequence[Architecture], bound: float) -> History:
    """A history in which everything was timed, and what keeps the bound was trained; it is better the larger it is."""
    latencies = np.array([_latency(item) for item in tried])
    sizes = np.array([item.choices["num_layers"] * item.choices["hidden_size"] ** 2 for item in tried], dtype=float)  # type: ignore[operator]
    history = toy_history(
        context, tried, states=["complete" if value <= bound else "infeasible" for value in latencies]
    )
    accuracy = np.where(latencies <= bound, 0.3 + 0.04 * np.log(sizes), np.nan)
    return replace(history, metrics={**history.metrics, LATENCY.metric: latencies, ACCURACY.metric: accuracy})


@pytest.mark.parametrize("seed", [0, 1])
def test_a_tight_measured_bound_is_found_and_kept_to_after_a_few_measurements(seed: int) -> None:
    space = _large_space()
    bound = float(np.quantile([_latency(item) for item in space.enumerate()], 0.005))  # a sequence needs hundreds
    context = toy_context(space=space, constraints=[Constraint("fast", LATENCY.metric, "<=", bound)], seed=seed)
    search, tried = make(context), list[Architecture]()
    while sum(_latency(item) <= bound for item in tried) < 5 and len(tried) < 40:
        tried.append(search.propose(_timed(context, tried, bound), 1)[0].architecture)
    assert len(tried) < 40


@pytest.mark.parametrize("seed", [0, 1])
def test_what_a_bound_forbids_crowds_nothing_else_out(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autodistill.search.closed_form.PROMISING", 64)  # the largest, and thus best, are all too slow
    space, bound = _large_space(), 3.0
    limits = [Constraint("fast", LATENCY.metric, "<=", bound)]
    context = toy_context(space=space, objectives=[ACCURACY], constraints=limits, seed=seed)
    drawn = space.sample(400, seed)
    tried = [item for item in drawn if _latency(item) <= bound][:10] + [
        item for item in drawn if _latency(item) > bound
    ][:30]
    history = _timed(context, tried, bound)
    (chosen,) = make(context).propose(history, 1)
    assert chosen.note == {"by": "model"}
    assert _latency(chosen.architecture) <= 1.1 * bound


@pytest.mark.slow
def test_it_beats_random_search_on_the_toy() -> None:
    def mean_hypervolume(make_strategy: MakeStrategy) -> float:
        return float(
            np.mean(
                [_true_hypervolume(explore(make_strategy, toy_context(seed=seed), 12, noise=0.01)) for seed in range(2)]
            )
        )

    assert mean_hypervolume(make) > mean_hypervolume(RandomSearch)


def _true_hypervolume(history: History) -> float:
    metrics = [toy_metrics(item) for item in history.architectures]
    return hypervolume([[-item[ACCURACY.metric], item[LATENCY.metric]] for item in metrics], TOY_REFERENCE)
