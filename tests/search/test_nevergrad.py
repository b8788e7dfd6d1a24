from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import nevergrad
import numpy as np
import pytest

import autodistill.search.nevergrad
from autodistill.components.architecture import Architecture
from autodistill.components.search import Constraint, History, SearchContext
from autodistill.engine.space import build_space
from autodistill.errors import ConfigError
from autodistill.search.configs import NevergradConfig
from autodistill.search.nevergrad import START, NevergradSearch, scalar_losses
from autodistill.search.outcomes import outcomes_of
from autodistill.testing.search import (
    ACCURACY,
    LATENCY,
    MakeStrategy,
    NothingKnown,
    SearchStrategySuite,
    toy_context,
    toy_history,
    toy_metrics,
)


class TestNevergradSearch(SearchStrategySuite):
    UNIT_FREE = True

    @pytest.fixture
    def make_strategy(self) -> MakeStrategy:
        return lambda context: NevergradSearch(context, optimizer=NevergradConfig().optimizer)


@pytest.mark.parametrize("optimizer", ["DiscreteOnePlusOne", "PSO", "NGOpt", "DE", "TBPSA"])
def test_other_optimisers_finish_a_search_and_are_named_where_they_were_asked(optimizer: str) -> None:
    context = toy_context()
    strategy, tried, notes = NevergradSearch(context, optimizer=optimizer), list[Architecture](), list[str]()
    while len(tried) < START + 6:
        proposals = strategy.propose(toy_history(context, tried), 2)
        tried += [item.architecture for item in proposals]
        notes += [(item.note or {})["by"] for item in proposals]
    assert len(set(tried)) == len(tried)
    assert notes[:START] == ["random"] * START
    assert optimizer in notes[START:]
    assert set(notes[START:]) <= {optimizer, "neighbour"}


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


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_broken_constraints_count_more_than_any_objective(weight: float) -> None:
    context = toy_context(constraints=[Constraint("fast", LATENCY.metric, "<=", 3.0)])
    outcomes = outcomes_of(context, toy_history(context, context.space.sample(30, seed=0)))
    losses = scalar_losses(outcomes, np.array([weight, 1.0 - weight]))
    broken = outcomes.violations > 0
    assert broken.any()
    assert losses[broken].min() > losses[~broken].max()


def test_an_unknown_optimiser_is_named_with_a_guess() -> None:
    with pytest.raises(
        ConfigError, match=r"^search\.optimizer must .* got 'TwoPointDE'\. Did you mean 'TwoPointsDE'\?"
    ):
        NevergradSearch(toy_context(), optimizer="TwoPointDE")


@pytest.mark.parametrize(
    ("optimizer", "why"),
    [
        ("Powell", "'Powell' runs a loop of its own"),  # asked without an answer, these wait for ever
        ("TinySQP", "'TinySQP' has a part, SQP, that runs a loop of its own"),
        ("ChainMetaModelPowell", "'ChainMetaModelPowell' has a part, Powell, that runs a loop of its own"),
        ("MetaModelFmin2", "'MetaModelFmin2' has a part, CmaFmin2, that runs a loop of its own"),
        ("EDA", "'EDA' failed with TellNotAskedNotSupportedError"),
        ("SPSA", r"'SPSA' failed with ValueError \(cannot convert float NaN to integer\)"),
        ("BO", r"'BO' failed with NotUniqueError \(Data point"),
    ],
)
def test_an_optimiser_that_cannot_take_up_a_history_is_refused_at_once(optimizer: str, why: str) -> None:
    with pytest.raises(ConfigError, match=rf"^search\.optimizer {why}.*Use e.g. TwoPointsDE, DE or DiscreteOnePlusOne"):
        NevergradSearch(toy_context(), optimizer=optimizer)


def register(monkeypatch: pytest.MonkeyPatch, tell: Callable[[int], object]) -> str:
    """An optimiser of Nevergrad that does something of its own when it is told; its name."""

    class Odd(nevergrad.optimization.optimizerlib.RandomSearchMaker):  # type: ignore[misc]
        def __call__(self, *args: Any, **settings: Any) -> Any:
            optimizer = super().__call__(*args, **settings)
            plain = optimizer.tell

            def own(*told: Any) -> None:
                tell(optimizer.num_tell)
                plain(*told)

            optimizer.tell = own
            return optimizer

    monkeypatch.setitem(nevergrad.optimizers.registry, "Odd", Odd())
    return "Odd"


def test_an_optimiser_that_never_answers_is_refused_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(autodistill.search.nevergrad, "TIME_LIMIT", 0.2)
    try:
        with pytest.raises(ConfigError, match=r"'Odd' did not answer within 0\.2 s"):
            NevergradSearch(toy_context(), optimizer=register(monkeypatch, lambda _: released.wait()))
    finally:
        released.set()


def test_an_optimiser_that_fails_later_is_stood_in_for_and_the_note_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def tell(before: int) -> None:
        if before >= 60:
            raise ValueError("enough is enough")

    context = toy_context()
    strategy = NevergradSearch(context, optimizer=register(monkeypatch, tell))
    tried = list(dict.fromkeys(context.space.sample(150, seed=1)))
    assert {(item.note or {})["by"] for item in strategy.propose(toy_history(context, tried[:50]), 2)} == {"Odd"}
    history = toy_history(context, tried[:70])
    proposals = strategy.propose(history, 2)
    assert [item.note for item in proposals] == [
        {"by": "fallback", "why": "Odd failed with ValueError (enough is enough)"}
    ] * 2
    assert len({item.architecture for item in proposals} - set(tried[:70])) == 2
    assert strategy.propose(history, 2) == proposals


def test_an_optimiser_that_can_never_be_asked_is_not_tried() -> None:
    few = build_space("toy", {"num_layers": [1, 2], "hidden_size": [96], "num_heads": [2]}, {})
    assert NevergradSearch(toy_context(space=few), optimizer="EDA").propose(History(), 1)


def test_an_empty_name_is_refused_by_the_config() -> None:
    with pytest.raises(ConfigError, match=r"^search\.optimizer must name one of Nevergrad's optimisers"):
        NevergradConfig(optimizer="")
