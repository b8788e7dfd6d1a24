from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.components.search import History, Parameter
from autodistill.engine.space import build_space
from autodistill.errors import SpaceExhaustedError
from autodistill.search.grid import GridSearch, by_level, levels_of
from autodistill.testing.search import MakeStrategy, SearchStrategySuite, explore, toy_context, toy_history


class TestGridSearch(SearchStrategySuite):
    UNIT_FREE = True

    @pytest.fixture
    def make_strategy(self) -> MakeStrategy:
        return GridSearch


def test_the_middle_comes_first_then_the_ends_then_what_lies_between() -> None:
    space = build_space("toy", {"a": list(range(9))}, {})
    order = [item.architecture.choices["a"] for item in GridSearch(toy_context(space=space)).propose(History(), 9)]
    assert order[0] == 4
    assert set(order[1:3]) == {0, 8}
    assert set(order[3:5]) == {2, 6}


def test_the_first_of_a_category_is_the_coarse_one() -> None:
    assert levels_of(Parameter("a", "categorical", ("x", "y", "z"))) == (0, 1, 1)


def test_a_short_walk_over_two_parameters_is_a_star_and_then_its_corners() -> None:
    space = build_space("toy", {"a": [0, 1, 2], "b": [0, 1, 2]}, {})
    proposals = GridSearch(toy_context(space=space)).propose(History(), 9)
    walk = [tuple(item.architecture.choices.values()) for item in proposals]
    assert walk[0] == (1, 1)
    assert set(walk[1:5]) == {(0, 1), (2, 1), (1, 0), (1, 2)}
    assert set(walk[5:]) == {(0, 0), (0, 2), (2, 0), (2, 2)}


def test_neither_results_nor_the_seed_change_the_order() -> None:
    tried = explore(GridSearch, toy_context(seed=1), 6).architectures
    context = toy_context(seed=2)
    assert [item.architecture for item in GridSearch(context).propose(History(), 6)] == list(tried)
    failed = toy_history(context, tried[:5], states=["failed"] * 5)
    assert GridSearch(context).propose(failed, 1)[0].architecture == tried[5]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_by_level_visits_every_combination_once_by_rising_level(sizes: list[int]) -> None:
    levels = [levels_of(Parameter(f"p{index}", "ordinal", tuple(range(size)))) for index, size in enumerate(sizes)]
    walk = list(by_level(levels))
    assert sorted(walk) == sorted(itertools.product(*(range(size) for size in sizes)))
    sums = [sum(level[rank] for level, rank in zip(levels, ranks, strict=True)) for ranks in walk]
    assert sums == sorted(sums)


def test_a_space_too_large_to_count_is_walked_from_its_middle() -> None:
    space = build_space("toy", {f"p{index}": list(range(9)) for index in range(10)}, {"order": "p0 <= p1"})
    assert space.size is None
    first = GridSearch(toy_context(space=space)).propose(History(), 3)
    assert set(first[0].architecture.choices.values()) == {4}
    assert all(sum(value != 4 for value in item.architecture.choices.values()) == 1 for item in first[1:])


def test_where_the_walk_would_be_too_long_architectures_are_drawn() -> None:
    names = [f"p{index}" for index in range(12)]
    rules = {f"far{index}": f"{name} in (1, 7)" for index, name in enumerate(names)}
    space = build_space("toy", {**{name: list(range(9)) for name in names}, "q": list(range(9)), "r": [1, 2, 3]}, rules)
    assert space.size == 2**12 * 27  # so few that they are known, so many combinations that none is met soon
    rules["far0"] = "p0 != 4"
    large = build_space("toy", {name: list(range(9)) for name in [*names, "q", "r", "s"]}, rules)
    assert large.size is None
    assert len(GridSearch(toy_context(space=large)).propose(History(), 4)) == 4


def test_the_end_of_the_grid_is_a_clear_sentence() -> None:
    space = build_space("toy", {"num_layers": [1, 2]}, {})
    history = toy_history(toy_context(space=space), list(space.enumerate()), states=["failed", "failed"])
    with pytest.raises(SpaceExhaustedError, match=r"Every feasible architecture of the space \(2 in all\)"):
        GridSearch(toy_context(space=space)).propose(history, 1)
