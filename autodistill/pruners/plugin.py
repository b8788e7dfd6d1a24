"""Registers the built-in pruners; data only."""

from __future__ import annotations

from autodistill.components.specs import ComponentSpec
from autodistill.hookspecs import hookimpl
from autodistill.pruners.configs import LatencyBandsConfig, LearningCurveConfig, NoneConfig


@hookimpl
def autodistill_pruners() -> list[ComponentSpec]:
    """Register the pruners of this package."""
    return [
        ComponentSpec(
            name="none",
            target="autodistill.pruners.none:NonePruner",
            config=NoneConfig,
            summary="Every flash run is finished.",
        ),
        ComponentSpec(
            name="latency_bands",
            target="autodistill.pruners.latency_bands:LatencyBandsPruner",
            config=LatencyBandsConfig,
            summary="Successive halving among trials of about the same latency; only dominated ones are stopped.",
        ),
        ComponentSpec(
            name="learning_curve",
            target="autodistill.pruners.learning_curve:LearningCurvePruner",
            config=LearningCurveConfig,
            summary="Stops a trial whose extrapolated learning curve will not reach the Pareto front.",
        ),
    ]
