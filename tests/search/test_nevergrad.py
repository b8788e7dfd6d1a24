from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autodistill.components.search import Constraint, History, SearchContext
from autodistill.errors import ConfigError
from autodistill.search.configs import NevergradConfig
from autodistill.search.nevergrad import NevergradSearch, scalar_losses
from autodistill.search.outcomes import outcomes_of
from autodistill.testing.search import (
    ACCURACY,
    LATENCY,
    MakeStrategy,
    NothingKnown,
    SearchStrategySuite,
    explore,
    toy_context,
    toy_history,
    toy_metrics,
)


class TestNevergradSearch(SearchStrategySuite):
    UNIT_FREE = True

    @pytest.fixture
    def make_strategy(self) -> MakeStrategy:
        return lambda context: NevergradSearch(context, optimizer=NevergradConfig().optimizer)


@pytest.mark.parametrize("optimizer", ["DiscreteOnePlusOne", "PSO", "NGOpt", "DE"])
def test_other_optimisers_finish_a_short_search(optimizer: str) -> None:
    history = explore(lambda context: NevergradSearch(context, optimizer=optimizer), toy_context(), 8, at_once=2)
    assert len(set(history.architectures)) == 8


def _trained(trials: int, sign: float) -> tuple[SearchContext, History]:
    """A history in which the accuracy, the only objective, is as told or its opposite."""
    context = toy_context(objectives=[ACCURACY], known=NothingKnown())
    history = toy_history(context, list(dict.fromkeys(context.space.sample(2 * trials, seed=4)))[:trials])
    values = sign * history.metrics[ACCURACY.metric]
    return context, replace(history, metrics={**history.metrics, ACCURACY.metric: values})


@pytest.mark.parametrize("optimizer", ["TwoPointsDE", "DiscreteOnePlusOne", "DE"])
def test_the_optimiser_learns_from_the_replayed_history(optimizer: str) -> None:
    """Forty outcomes and their opposites lead elsewhere: to better architectures than their opposites do."""
    mean = {}
    for sign in (1.0, -1.0):
        context, history = _trained(40, sign)
        proposals = [
            NevergradSearch(replace(context, seed=seed), optimizer=optimizer).propose(history, 1)[0].architecture
            for seed in range(6)
        ]
        mean[sign] = float(np.mean([toy_metrics(item)[ACCURACY.metric] for item in proposals]))
    assert mean[1.0] > mean[-1.0] + 0.02


def test_more_than_thirty_outcomes_of_two_objectives_are_replayed_into_differential_evolution() -> None:
    context = toy_context()
    history = toy_history(context, list(dict.fromkeys(context.space.sample(90, seed=1)))[:45], noise=0.01)
    assert NevergradSearch(context, optimizer="DE").propose(history, 2)


def test_broken_constraints_count_more_than_any_objective() -> None:
    context = toy_context(constraints=[Constraint("fast", LATENCY.metric, "<=", 3.0)])
    outcomes = outcomes_of(context, toy_history(context, context.space.sample(30, seed=0)))
    losses = scalar_losses(outcomes, np.array([0.5, 0.5]))
    broken = outcomes.violations > 0
    worst = float(outcomes.violations.max())
    assert broken.any()
    assert losses[outcomes.violations == worst].min() > losses[~broken].max()


def test_an_unknown_optimiser_is_named_with_a_guess() -> None:
    with pytest.raises(ConfigError, match=r"got 'TwoPointDE'\. Did you mean 'TwoPointsDE'\?"):
        NevergradSearch(toy_context(), optimizer="TwoPointDE")


def test_an_optimiser_that_cannot_be_told_a_history_is_refused() -> None:
    with pytest.raises(ConfigError, match="'Powell' runs a loop of its own"):
        NevergradSearch(toy_context(), optimizer="Powell")


def test_an_empty_name_is_refused_by_the_config() -> None:
    with pytest.raises(ConfigError, match="must name one of Nevergrad's optimisers"):
        NevergradConfig(optimizer="")
