from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.components.search import Constraint
from autodistill.engine.space import build_space
from autodistill.errors import ConfigError
from autodistill.pareto import non_dominated
from autodistill.pruners.ends import expected_ends
from autodistill.search.configs import EvolutionConfig
from autodistill.search.evolution import EvolutionSearch, crowding_distance, fitness_order
from autodistill.search.outcomes import outcomes_of, ranked
from autodistill.testing.pruners import toy_curve
from autodistill.testing.search import (
    ACCURACY,
    LATENCY,
    MakeStrategy,
    NothingKnown,
    SearchStrategySuite,
    toy_context,
    toy_history,
)
from autodistill.testing.toy import ToyKnown


def make(**changes: object) -> MakeStrategy:
    return lambda context: EvolutionSearch(context, **{**vars(EvolutionConfig()), **changes})


class TestEvolutionSearch(SearchStrategySuite):
    UNIT_FREE = True

    @pytest.fixture
    def make_strategy(self) -> MakeStrategy:
        return make()


class TestAgeingEvolutionSearch(SearchStrategySuite):
    UNIT_FREE = True

    @pytest.fixture
    def make_strategy(self) -> MakeStrategy:
        return make(initial=2, population=3, ageing=True)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from([0.0, 0.0, 0.5])), min_size=1))
def test_the_fittest_are_feasible_and_on_the_front(rows: list[tuple[int, int, float]]) -> None:
    values = np.array([row[:2] for row in rows], dtype=np.float64)
    violations = np.array([row[2] for row in rows])
    order = fitness_order(values, violations, len(rows))
    assert sorted(order.tolist()) == list(range(len(rows)))
    feasible = np.flatnonzero(violations == 0)
    assert set(order[: len(feasible)].tolist()) == set(feasible.tolist())
    if len(feasible):
        front = set(feasible[non_dominated(values[feasible])].tolist())
        assert set(order[: len(front)].tolist()) == front
    for n in range(len(rows)):
        assert fitness_order(values, violations, n).tolist() == order[:n].tolist()


def test_on_a_front_the_ends_and_the_lonely_come_first() -> None:
    front = np.array([[0.0, 10.0], [1.0, 9.0], [2.0, 8.0], [6.0, 4.0], [10.0, 0.0]])
    distances = crowding_distance(front)
    assert np.isinf(distances[[0, 4]]).all()
    # The formula of Deb et al.: the sides of the box between both neighbours, by the spread of each objective.
    assert distances[1:4].tolist() == pytest.approx([0.4, 1.0, 1.6])


def test_a_child_has_its_parents_values_but_for_a_step() -> None:
    space = build_space("toy", {f"p{index}": list(range(10)) for index in range(8)}, {})
    context = toy_context(space=space, objectives=[ACCURACY], known=NothingKnown())
    parents = space.sample(2, seed=3)
    history = replace(
        toy_history(toy_context(), []),
        architectures=tuple(parents),
        replicates=(0, 0),
        states=("complete",) * 2,
        in_space=(True, True),
        metrics={ACCURACY.metric: np.array([0.8, 0.7])},
        told=(0, 1),
        notes=(None, None),
    )
    proposals = make(initial=2, mutations=0.0001)(context).propose(history, 4)
    assert {item.note["by"] for item in proposals if item.note} == {"child"}
    for item in proposals:
        for name, value in item.architecture.choices.items():
            assert value in {parent.choices[name] for parent in parents}


def test_infeasible_trials_are_parents_only_while_nothing_is_feasible() -> None:
    context = toy_context(constraints=[Constraint("fast", LATENCY.metric, "<=", 3.0)])
    history = toy_history(context, context.space.sample(30, seed=0))
    outcomes = outcomes_of(context, history)
    latency = outcomes.values[:, 1]
    assert ((outcomes.violations > 0) == (latency > 3.0)).all()
    order = fitness_order(outcomes.values, outcomes.violations, len(outcomes))
    feasible = int((latency <= 3.0).sum())
    assert (latency[order[:feasible]] <= 3.0).all()
    assert (np.diff(outcomes.violations[order[feasible:]]) >= 0).all()


def test_outcomes_average_replicates_and_leave_out_what_is_pending_or_no_number() -> None:
    context = toy_context(known=NothingKnown())
    first, second, third = context.space.enumerate()[:3]
    history = toy_history(context, [first, second, first, third], states=["complete", "complete", "stopped", "pending"])
    history.metrics[ACCURACY.metric][:] = [0.5, np.inf, 0.7, 0.9]
    outcomes = outcomes_of(context, history)
    assert outcomes.architectures == (first,)
    assert outcomes.values[0, 0] == pytest.approx(-0.6)


def test_ranks_have_neither_unit_nor_outliers() -> None:
    values = np.array([[3.0, 7.0], [1.0, 7.0], [1e9, 7.0], [1.0, 7.0]])
    assert ranked(values).tolist() == [[0.5, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"initial": 1}, r"^search\.initial must be >= 2, got 1"),
        ({"population": 1}, r"^search\.population must be >= 2, got 1"),
        ({"tournament": 0}, r"^search\.tournament must be >= 1, got 0"),
        ({"crossover": 1.5}, r"^search\.crossover must be in \[0, 1\], got 1\.5"),
        ({"mutations": 0.0}, r"^search\.mutations must be > 0, got 0\.0"),
    ],
)
def test_impossible_parameters_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EvolutionConfig(**changes)  # type: ignore[arg-type]


def test_trials_that_failed_say_where_not_to_look() -> None:
    context = toy_context(known=NothingKnown())
    good, bad, luckier = context.space.enumerate()[:3]
    states = ["complete", "failed", "failed", "complete"]
    outcomes = outcomes_of(context, toy_history(context, [good, bad, luckier, luckier], states=states))
    assert outcomes.architectures == (good, bad, luckier)
    assert outcomes.violations.tolist() == [0.0, 1.0, 0.0]  # one that ended well after all is as any other
    assert outcomes.values[1].tolist() == outcomes.values[[0, 2]].max(axis=0).tolist()


def test_trials_that_broke_a_bound_before_training_say_where_not_to_look() -> None:
    context = toy_context(constraints=[Constraint("fast", LATENCY.metric, "<=", 1.0)], known=NothingKnown())
    tried = context.space.sample(12, seed=0)
    history = toy_history(context, tried)
    broken = history.metrics[LATENCY.metric] > 1.0
    states = tuple("infeasible" if item else "complete" for item in broken)
    history = replace(history, states=states)
    history.metrics[ACCURACY.metric][broken] = np.nan
    outcomes = outcomes_of(context, history)
    assert len(outcomes) == len(set(tried))
    assert int((outcomes.violations > 0).sum()) == len({item for item, bad in zip(tried, broken, strict=True) if bad})
    assert np.isfinite(outcomes.values).all()
    order = fitness_order(outcomes.values, outcomes.violations, len(outcomes))
    assert (np.diff(outcomes.violations[order]) >= 0).all()


def test_trials_that_were_stopped_count_by_the_expected_end_of_their_run() -> None:
    context = toy_context(known=ToyKnown(latency=True))
    tried = list(dict.fromkeys(context.space.sample(80, seed=0)))[:24]
    curves = [toy_curve(item, number, (0.25, 0.5), noise=0.003) for number, item in enumerate(tried)]
    states = ["complete" if number < 12 else "stopped" for number in range(24)]
    history = toy_history(context, tried, states=states)
    assert len(outcomes_of(context, history)) == 12  # nothing is known of their runs
    history.metrics[ACCURACY.metric][:12] = [curve.final[ACCURACY.metric] for curve in curves[:12]]
    history = replace(history, curves=tuple(curve.rungs for curve in curves))
    outcomes = outcomes_of(context, history)
    assert outcomes.architectures == tuple(tried)
    ends, _ = expected_ends(history, ACCURACY.metric)
    assert outcomes.values[:, 0].tolist() == [*-history.metrics[ACCURACY.metric][:12], *-ends[12:]]
    early = replace(history, states=("complete",) * 5 + ("stopped",) * 19)
    early.metrics[ACCURACY.metric][5:] = np.nan
    assert len(outcomes_of(context, early)) == 5  # too few runs have ended to tell


def test_a_score_counts_rather_than_the_expected_end_of_another_run() -> None:
    context = toy_context(known=ToyKnown(latency=True))
    tried = list(dict.fromkeys(context.space.sample(80, seed=0)))[:12]
    curves = [toy_curve(item, number, (0.25, 0.5), noise=0.003) for number, item in enumerate([*tried, tried[0]])]
    history = toy_history(context, [*tried, tried[0]], states=["complete"] * 12 + ["stopped"])
    history = replace(history, curves=tuple(curve.rungs for curve in curves))
    outcomes = outcomes_of(context, history)
    assert outcomes.values[-1, 0] == -history.metrics[ACCURACY.metric][0]


def test_parents_are_sought_among_stopped_trials_too() -> None:
    context = toy_context(known=ToyKnown(latency=True))
    tried = list(dict.fromkeys(context.space.sample(80, seed=0)))[:14]
    curves = [toy_curve(item, number, (0.25, 0.5)) for number, item in enumerate(tried)]
    states = ["complete"] * 7 + ["stopped"] * 7
    history = toy_history(context, tried, states=states)
    assert make(initial=8)(context).propose(history, 1)[0].note == {"by": "random"}
    history = replace(history, curves=tuple(curve.rungs for curve in curves))
    assert make(initial=8)(context).propose(history, 1)[0].note == {"by": "child"}
