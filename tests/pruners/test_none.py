from __future__ import annotations

from autodistill.components.outcome import Pruner
from autodistill.components.training import RungReport
from autodistill.pruners.none import NonePruner


def test_it_has_no_rungs_and_stops_nothing() -> None:
    pruner: Pruner = NonePruner()
    assert pruner.rungs == ()
    hopeless, others = RungReport(0, 0.5, {"accuracy": 0.0}), [RungReport(0, 0.5, {"accuracy": 1.0})] * 10
    assert not pruner.should_stop(hopeless, others)
