from __future__ import annotations

from collections.abc import Callable

import pytest
from autodistill_template._annealing import Annealing
from autodistill_template.configs import AnnealingConfig

from autodistill.components.search import SearchContext
from autodistill.errors import ConfigError
from autodistill.testing.search import SearchStrategySuite


class TestAnnealing(SearchStrategySuite):
    @pytest.fixture
    def make_strategy(self) -> Callable[[SearchContext], Annealing]:
        return lambda context: Annealing(context, **vars(AnnealingConfig()))


def test_a_cooling_factor_above_one_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"search.cooling must be in \(0, 1\), got 2"):
        AnnealingConfig(cooling=2)
