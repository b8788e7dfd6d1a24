from __future__ import annotations

import pytest

from autodistill.components.pruning import PrunerContext
from autodistill.errors import ConfigError
from autodistill.pruners.configs import NoneConfig
from autodistill.pruners.none import NonePruner
from autodistill.testing.pruners import MakePruner, PrunerSuite, prune, toy_curves
from autodistill.testing.search import ACCURACY, LATENCY


class TestNone(PrunerSuite):
    @pytest.fixture
    def make_pruner(self) -> MakePruner:
        return lambda context: NonePruner(context, rungs=[0.25, 0.5])


def test_it_records_at_its_rungs_and_stops_nothing() -> None:
    pruner = NonePruner(PrunerContext((ACCURACY, LATENCY)), rungs=[0.25, 0.5])
    assert pruner.rungs == (0.25, 0.5)
    assert prune(pruner, toy_curves(pruner, 40)).spent == 1.0


@pytest.mark.parametrize("rungs", [[0.0], [1.0], [0.5, 0.5], [0.5, 0.25]])
def test_rungs_that_do_not_rise_within_a_run_are_refused(rungs: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"^pruner\.rungs must rise strictly within \(0, 1\)"):
        NoneConfig(rungs=rungs)
