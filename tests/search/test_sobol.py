from __future__ import annotations

import pytest

from autodistill.components.search import History
from autodistill.engine.space import build_space
from autodistill.search.sobol import SobolSearch
from autodistill.testing.search import MakeStrategy, SearchStrategySuite, explore, toy_context


class TestSobolSearch(SearchStrategySuite):
    UNIT_FREE = True

    @pytest.fixture
    def make_strategy(self) -> MakeStrategy:
        return SobolSearch


def test_sixteen_trials_visit_every_value_of_every_parameter_equally_often() -> None:
    space = build_space("toy", {"a": [1, 2, 3, 4], "b": [1, 2, 3, 4, 5, 6, 7, 8]}, {})
    proposals = SobolSearch(toy_context(space=space)).propose(History(), 16)
    for name, each in (("a", 4), ("b", 2)):
        values = [item.architecture.choices[name] for item in proposals]
        assert all(values.count(value) == each for value in set(values))


def test_one_at_a_time_or_all_at_once_gives_the_same_architectures() -> None:
    context = toy_context()
    at_once = SobolSearch(context).propose(History(), 10)
    one_by_one = explore(SobolSearch, context, 10).architectures
    assert [item.architecture for item in at_once] == list(one_by_one)


def test_seeds_differ() -> None:
    first, second = (SobolSearch(toy_context(seed=seed)).propose(History(), 5) for seed in (0, 1))
    assert first != second


def test_a_space_with_very_few_feasible_points_is_still_served() -> None:
    space = build_space(
        "toy", {f"p{index}": list(range(8)) for index in range(6)}, {f"r{i}": f"p{i} == p{i + 1}" for i in range(5)}
    )
    assert space.size == 8
    assert len(SobolSearch(toy_context(space=space)).propose(History(), 8)) == 8
