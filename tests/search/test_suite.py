"""The conformance suite refuses strategies that are wrong."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import numpy as np
import pytest

from autodistill.components.architecture import Architecture
from autodistill.components.search import History, Proposal, SearchContext
from autodistill.testing.search import MakeStrategy, SearchStrategySuite, print_proposals

Rule = Callable[[SearchContext, History, int], list[Architecture]]


class Made:
    """A strategy made of a rule."""

    def __init__(self, context: SearchContext, rule: Rule) -> None:
        self.context, self.rule = context, rule

    def propose(self, history: History, n: int) -> list[Proposal]:
        return [Proposal(item) for item in self.rule(self.context, history, n)]


def fresh(context: SearchContext, history: History, n: int) -> list[Architecture]:
    """The first architectures of the space that were not tried, whether or not they keep the constraints."""
    return [item for item in context.space.enumerate() if item not in history.architectures][:n]


def the_first_again(context: SearchContext, history: History, n: int) -> list[Architecture]:
    return list(context.space.enumerate())[:1]


def one_twice_at_once(context: SearchContext, history: History, n: int) -> list[Architecture]:
    return fresh(context, history, 1) * n


def whatever_the_seed(context: SearchContext, history: History, n: int) -> list[Architecture]:
    """Draws from the generator that everybody shares."""
    return random.sample(fresh(context, history, len(context.space.enumerate())), n)


def outside(context: SearchContext, history: History, n: int) -> list[Architecture]:
    return [Architecture("toy", {"num_layers": 99 + len(history), "hidden_size": 96})]


def nothing(context: SearchContext, history: History, n: int) -> list[Architecture]:
    return []


def too_many(context: SearchContext, history: History, n: int) -> list[Architecture]:
    return fresh(context, history, n + 1)


def too_many_once_there_is_a_history(context: SearchContext, history: History, n: int) -> list[Architecture]:
    return fresh(context, history, n + min(len(history), 1))


def largest(context: SearchContext, history: History, n: int) -> list[Architecture]:
    """Breaks every bound on the size."""
    return fresh(context, history, len(context.space.enumerate()))[-n:]


def that_is_measured(context: SearchContext, history: History, n: int) -> list[Architecture]:
    """Reads a metric that not every history has."""
    history.metrics["classification.accuracy"].max()
    return fresh(context, history, n)


def by_milliseconds(context: SearchContext, history: History, n: int) -> list[Architecture]:
    """Compares a latency with a number that has a unit."""
    slow = np.nanmax(history.metrics["onnxruntime.p50_ms"]) > 100.0
    return fresh(context, history, n + 2)[2:] if slow else fresh(context, history, n)


def forgetful() -> Rule:
    calls: list[int] = []

    def rule(context: SearchContext, history: History, n: int) -> list[Architecture]:
        calls.append(n)
        return fresh(context, history, n + len(calls))[-n:]

    return rule


SUITE = SearchStrategySuite()


class UnitFree(SearchStrategySuite):
    UNIT_FREE = True


@pytest.mark.parametrize(
    ("rule", "test"),
    [
        (the_first_again, SUITE.test_proposals_are_feasible_new_and_distinct_throughout_a_search),
        (the_first_again, SUITE.test_no_trial_is_proposed_again_whatever_its_state),
        (the_first_again, SUITE.test_replicates_in_the_history_are_understood),
        (one_twice_at_once, SUITE.test_proposals_are_feasible_new_and_distinct_throughout_a_search),
        (outside, SUITE.test_proposals_are_feasible_new_and_distinct_throughout_a_search),
        (outside, SUITE.test_conditions_and_derived_values_are_honoured),
        (nothing, SUITE.test_the_first_proposal_needs_no_history),
        (nothing, SUITE.test_a_history_of_failed_trials_is_tolerated),
        (too_many, SUITE.test_the_first_proposal_needs_no_history),
        (too_many_once_there_is_a_history, SUITE.test_proposals_are_feasible_new_and_distinct_throughout_a_search),
        (too_many_once_there_is_a_history, SUITE.test_replicates_in_the_history_are_understood),
        (too_many_once_there_is_a_history, SUITE.test_a_history_of_failed_trials_is_tolerated),
        (whatever_the_seed, SUITE.test_the_seed_is_the_only_source_of_randomness),
        (whatever_the_seed, SUITE.test_the_same_history_gives_the_same_proposals),
        (forgetful(), SUITE.test_the_same_history_gives_the_same_proposals),
        (largest, SUITE.test_known_constraints_are_honoured),
        (by_milliseconds, UnitFree().test_the_unit_of_a_metric_changes_nothing),
    ],
)
def test_a_wrong_strategy_is_found_out(rule: Rule, test: Callable[..., None]) -> None:
    with pytest.raises(AssertionError):
        test(lambda context: Made(context, rule))


def test_a_strategy_that_needs_a_metric_is_found_out() -> None:
    with pytest.raises(KeyError):
        SUITE.test_missing_metrics_are_tolerated(lambda context: Made(context, that_is_measured))


def test_a_strategy_that_ends_in_silence_is_found_out() -> None:
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        SUITE.test_the_end_of_the_space_is_told(lambda context: Made(context, fresh))


class WithFixture(SearchStrategySuite):
    @pytest.fixture
    def make_strategy(self) -> MakeStrategy:
        return lambda context: Made(context, fresh)


class Inheriting(WithFixture):
    UNIT_FREE = True


def test_a_fixture_may_be_inherited(capsys: pytest.CaptureFixture[str]) -> None:
    print_proposals(Inheriting)
    assert len(json.loads(capsys.readouterr().out)) == 4
