from __future__ import annotations

from collections import Counter

import pytest

from autodistill.components.search import Constraint, History, SearchContext
from autodistill.engine.space import build_space
from autodistill.errors import SpaceExhaustedError
from autodistill.search.random import RandomSearch
from autodistill.testing.search import MakeStrategy, SearchStrategySuite, toy_context, toy_history


class TestRandomSearch(SearchStrategySuite):
    UNIT_FREE = True

    @pytest.fixture
    def make_strategy(self) -> MakeStrategy:
        return RandomSearch


def test_every_architecture_is_as_likely_as_any_other() -> None:
    space = build_space("toy", {"a": [1, 2, 3], "b": [1, 2, 3]}, {"order": "a <= b"})
    counts = Counter(RandomSearch(_context(space, seed)).propose(History(), 1)[0].architecture for seed in range(600))
    assert set(counts) == set(space.enumerate())
    assert all(60 < count < 145 for count in counts.values())  # 100 expected, four standard deviations of 9


def test_a_space_too_large_to_count_is_sampled() -> None:
    space = build_space("toy", {f"p{index}": list(range(20)) for index in range(6)}, {"order": "p0 < p1"})
    assert space.size is None
    proposals = RandomSearch(_context(space, 0)).propose(History(), 50)
    assert len({item.architecture for item in proposals}) == 50
    assert all(item.architecture in space for item in proposals)


def test_an_impossible_known_constraint_is_named() -> None:
    context = toy_context(constraints=[Constraint("small", "size.parameters", "<=", 1.0)])
    with pytest.raises(SpaceExhaustedError, match=r"satisfies the constraints .*size\.parameters <= 1\)"):
        RandomSearch(context).propose(History(), 1)


def test_the_end_of_the_space_is_a_clear_sentence() -> None:
    space = build_space("toy", {"num_layers": [1, 2]}, {})
    context = _context(space, 0)
    history = toy_history(context, list(space.enumerate()), states=["failed", "failed"])
    with pytest.raises(SpaceExhaustedError, match=r"Every feasible architecture of the space \(2 in all\)"):
        RandomSearch(context).propose(history, 1)


def _context(space: object, seed: int) -> SearchContext:
    return toy_context(space=space, seed=seed)  # type: ignore[arg-type]
