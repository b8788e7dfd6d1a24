from __future__ import annotations

import pytest

from autodistill.errors import ConfigError
from autodistill.search.configs import NevergradConfig
from autodistill.search.nevergrad import NevergradSearch
from autodistill.testing.search import MakeStrategy, SearchStrategySuite, explore, toy_context


class TestNevergradSearch(SearchStrategySuite):
    UNIT_FREE = True

    @pytest.fixture
    def make_strategy(self) -> MakeStrategy:
        return lambda context: NevergradSearch(context, optimizer=NevergradConfig().optimizer)


@pytest.mark.parametrize("optimizer", ["DE", "TwoPointsDE", "NGOpt", "PSO", "DiscreteOnePlusOne", "RandomSearch"])
def test_other_optimisers_finish_a_short_search(optimizer: str) -> None:
    history = explore(lambda context: NevergradSearch(context, optimizer=optimizer), toy_context(), 8, at_once=2)
    assert len(set(history.architectures)) == 8


def test_an_unknown_optimiser_is_named_with_a_guess() -> None:
    with pytest.raises(ConfigError, match=r"got 'TwoPointDE'\. Did you mean 'TwoPointsDE'\?"):
        NevergradSearch(toy_context(), optimizer="TwoPointDE")


def test_an_optimiser_that_cannot_be_told_a_history_is_refused() -> None:
    with pytest.raises(ConfigError, match="'Powell' runs a loop of its own"):
        NevergradSearch(toy_context(), optimizer="Powell")


def test_an_empty_name_is_refused_by_the_config() -> None:
    with pytest.raises(ConfigError, match="must name one of Nevergrad's optimisers"):
        NevergradConfig(optimizer="")
