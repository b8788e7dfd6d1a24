from __future__ import annotations

import pytest

from autodistill.components.outcome import Pruner
from autodistill.components.training import RungReport
from autodistill.errors import ConfigError
from autodistill.pruners.configs import NoneConfig
from autodistill.pruners.none import NonePruner


def test_it_records_at_its_rungs_and_stops_nothing() -> None:
    pruner: Pruner = NonePruner(rungs=[0.25, 0.5])
    assert pruner.rungs == (0.25, 0.5)
    hopeless, others = RungReport(0, 0.5, {"accuracy": 0.0}), [RungReport(0, 0.5, {"accuracy": 1.0})] * 10
    assert not pruner.should_stop(hopeless, others)


@pytest.mark.parametrize("rungs", [[0.0], [1.0], [0.5, 0.5], [0.5, 0.25]])
def test_rungs_that_do_not_rise_within_a_run_are_refused(rungs: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"pruner\.none\.rungs must rise strictly within \(0, 1\)"):
        NoneConfig(rungs=rungs)
