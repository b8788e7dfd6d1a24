"""What this plugin registers. Data only: the implementation is named by a string and imported on first use."""

from __future__ import annotations

from autodistill import ComponentSpec, hookimpl
from autodistill_template.configs import AnnealingConfig


@hookimpl
def autodistill_search_strategies() -> list[ComponentSpec]:
    """Register the strategy."""
    return [
        ComponentSpec(
            name="template_annealing",
            target="autodistill_template._annealing:Annealing",
            config=AnnealingConfig,
            summary="Simulated annealing: one step from a good architecture, bolder at first.",
            requires=("numpy",),
        )
    ]
