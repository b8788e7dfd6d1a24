"""Registers the built-in schedules."""

from __future__ import annotations

from autodistill.components.specs import ComponentSpec
from autodistill.hookspecs import hookimpl
from autodistill.schedules.configs import OnePhaseConfig


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
    ]
