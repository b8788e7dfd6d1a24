"""The plain recipe: one phase in which every loss acts on every layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autodistill.components.training import Optimisation, Phase
from autodistill.schedules.layer_mapping import LayerPairs
from autodistill.schedules.recipe import Recipe


class OnePhase:
    """All losses together from the first step to the last; warm-up and decay shrink with the fidelity.

    Args:
        recipe: see `autodistill.schedules.recipe.Recipe`.
    """

    def __init__(self, **recipe: Any) -> None:
        self._recipe = Recipe(**recipe)
        self.flash_fidelity = self._recipe.flash_fidelity

    @property
    def optimisation(self) -> Optimisation:
        """How steps are taken."""
        return self._recipe.optimisation

    @property
    def total_examples(self) -> int:
        """Examples of the full recipe."""
        return self._recipe.examples

    def phases(self, student_layers: int, teacher_layers: int, fidelity: float) -> Sequence[Phase]:
        """One phase with both roles.

        Raises:
            ConfigError: not even one step is left at this fidelity.
        """
        return (Phase("all", frozenset({"transfer", "prediction"}), self._recipe.steps(fidelity)),)

    def layer_pairs(self, student_layers: int, teacher_layers: int) -> LayerPairs:
        """(student layer, teacher layer), 1-based, that transfer losses compare."""
        return self._recipe.layer_pairs(student_layers, teacher_layers)
