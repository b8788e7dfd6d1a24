"""Registers the built-in executors; data only."""

from __future__ import annotations

from autodistill.components.specs import ComponentSpec
from autodistill.executors.configs import SequentialConfig
from autodistill.hookspecs import hookimpl


@hookimpl
def autodistill_executors() -> list[ComponentSpec]:
    """Register the executors of this package."""
    return [
        ComponentSpec(
            name="sequential",
            target="autodistill.executors.sequential:SequentialExecutor",
            config=SequentialConfig,
            summary="One job after the other in the study's own process; reproducible.",
        )
    ]
