"""What may still be proposed where constraints leave next to nothing of a space that is too large to count."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autodistill.components.architecture import Architecture
from autodistill.components.search import Constraint, History, SearchContext, SearchStrategy
from autodistill.engine.space import build_space
from autodistill.errors import SpaceExhaustedError
from autodistill.search.candidates import FRUITLESS_DRAWS, Candidates
from autodistill.search.random import RandomSearch
from autodistill.search.sobol import SobolSearch
from autodistill.testing.search import PARAMETERS, ToyKnown, toy_context, toy_history

# Of the 6e15 architectures, one in two million has so few parameters (one layer, 64 wide): no draw finds any.
FEW = Constraint("small", PARAMETERS.metric, "<=", 49_152.0)


def large_context(*constraints: Constraint, seed: int = 0) -> SearchContext:
    extra: dict[str, Any] = {f"extra{index}": list(range(10)) for index in range(8)}
    base = {
        "num_layers": {"type": "integer", "low": 1, "high": 480, "step": 1},
        "hidden_size": {"type": "integer", "low": 64, "high": 4096, "step": 1},
    }
    space = build_space("toy", {**base, "num_heads": list(range(1, 17)), "activation": ["gelu", "relu"], **extra}, {})
    assert space.size is None
    return toy_context(space=space, constraints=constraints, seed=seed)


def some_feasible(context: SearchContext, count: int) -> list[Architecture]:
    rng = np.random.default_rng(0)
    drawn = [{item.name: item.values[rng.integers(len(item.values))] for item in context.space.parameters}] * count
    choices = [{**item, "num_layers": 1, "hidden_size": 64, "extra0": index} for index, item in enumerate(drawn)]
    return [item for item in context.space.complete(choices) if item is not None]


def test_what_no_draw_finds_is_found_step_by_step_from_nothing_and_from_what_was_tried() -> None:
    context = large_context(FEW)
    candidates = Candidates(context)
    tried = some_feasible(context, 5)
    for history in (History(), toy_history(context, tried)):
        found = candidates._sought(history, 20, np.random.default_rng(0))
        assert len(set(found)) == 20
        assert not set(found) & set(history.architectures)
        assert (ToyKnown()(found)[PARAMETERS.metric][0] <= FEW.bound).all()
        assert found == candidates._sought(history, 20, np.random.default_rng(0))


@pytest.mark.parametrize("make", [RandomSearch, SobolSearch])
def test_a_search_does_not_end_while_neighbours_are_left(make: Callable[[SearchContext], SearchStrategy]) -> None:
    context = large_context(FEW)
    tried = some_feasible(context, 5)
    proposals = make(context).propose(toy_history(context, tried), 2)
    assert len({item.architecture for item in proposals} - set(tried)) == 2
    assert (ToyKnown()([item.architecture for item in proposals])[PARAMETERS.metric][0] <= FEW.bound).all()


def test_the_pool_of_a_large_space_has_the_neighbours_whether_or_not_draws_find_any() -> None:
    context = large_context(FEW)
    tried = some_feasible(context, 3)
    history = toy_history(context, tried)
    pool = Candidates(context).pool(history, 1000, 50, tried, np.random.default_rng(0))
    near = Candidates(context).near(tried, history)
    assert near
    assert set(near) <= set(pool.architectures)
    assert (pool.known[PARAMETERS.metric] <= FEW.bound).all()


@pytest.mark.parametrize("family", ["toy", "other"])
def test_a_trial_outside_the_space_takes_nothing_out_of_the_pool(family: str) -> None:
    context = toy_context()
    first, second = context.space.enumerate()[0], context.space.enumerate()[1]
    alike = Architecture(family, {**first.choices, "further": 1})  # the same parameters all the same
    history = toy_history(context, [alike, second])
    pool = Candidates(context).pool(history, 1000, 50, [], np.random.default_rng(0))
    assert first in pool.architectures
    assert second not in pool.architectures


def test_where_nothing_is_found_nobody_claims_that_nothing_is_left() -> None:
    context = large_context(Constraint("tiny", PARAMETERS.metric, "<=", 1.0))
    candidates = Candidates(context)
    with pytest.raises(
        SpaceExhaustedError, match=rf"No further .* was found in {FRUITLESS_DRAWS:,} draws, nor step by"
    ):
        candidates.draw(History(), 1, np.random.default_rng(0))
    assert candidates.out_of_reach() == (
        "constraints.tiny wants size.parameters <= 1, and the smallest that was found is 49,152"
    )


def test_a_counted_space_says_how_near_it_comes_to_each_bound() -> None:
    small, large = (
        Constraint("small", PARAMETERS.metric, "<=", 5e5),
        Constraint("large", PARAMETERS.metric, ">=", 9e6),
    )
    assert Candidates(toy_context(constraints=[small, large])).out_of_reach() == (
        "constraints.small wants size.parameters <= 500000, and the smallest in the space is 110,592; "
        "constraints.large wants size.parameters >= 9e+06, and the largest in the space is 1.41558e+07"
    )


class Unasked(ToyKnown):
    """Breaks where it is asked about nobody, as a source that takes the columns of its answers apart does."""

    def __call__(self, architectures: Sequence[Architecture]) -> Mapping[str, Any]:
        assert architectures
        return super().__call__(architectures)


def test_nobody_is_asked_about_no_architecture() -> None:
    context = replace(toy_context(), known=Unasked())
    assert Candidates(context).describe([]).known[PARAMETERS.metric].shape == (0,)
