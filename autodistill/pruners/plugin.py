"""Registers the built-in pruners; data only."""

from __future__ import annotations

from autodistill.components.specs import ComponentSpec
from autodistill.hookspecs import hookimpl
from autodistill.pruners.configs import NoneConfig


@hookimpl
def autodistill_pruners() -> list[ComponentSpec]:
    """Register the pruners of this package."""
    return [
        ComponentSpec(
            name="none",
            target="autodistill.pruners.none:NonePruner",
            config=NoneConfig,
            summary="Every flash run is finished.",
        )
    ]
