"""Registers the built-in schedules."""

from __future__ import annotations

from autodistill.components.specs import ComponentSpec
from autodistill.hookspecs import hookimpl
from autodistill.schedules.configs import OnePhaseConfig, ProgressiveConfig, TwoPhaseConfig, WsdConfig


@hookimpl
def autodistill_schedules() -> list[ComponentSpec]:
    """The schedules of this package."""
    return [
        ComponentSpec(
            name="one_phase",
            target="autodistill.schedules.one_phase:OnePhase",
            config=OnePhaseConfig,
            summary="All losses together from the first step to the last.",
        ),
        ComponentSpec(
            name="two_phase",
            target="autodistill.schedules.two_phase:TwoPhase",
            config=TwoPhaseConfig,
            summary="Transfer of representations, then the outputs, as TinyBERT.",
        ),
        ComponentSpec(
            name="progressive",
            target="autodistill.schedules.progressive:Progressive",
            config=ProgressiveConfig,
            summary="Layer after layer, then end to end, as MobileBERT.",
        ),
        ComponentSpec(
            name="wsd",
            target="autodistill.schedules.wsd:Wsd",
            config=WsdConfig,
            summary="A constant rate with a short decay; a full run goes on from its flash run's trunk.",
        ),
    ]
