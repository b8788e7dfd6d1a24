"""TinyBERT's recipe: transfer of representations first, then the outputs (Jiao et al. 2019, arXiv 1909.10351)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autodistill.components.training import Course, Optimisation, Phase
from autodistill.schedules.layer_mapping import LayerPairs
from autodistill.schedules.recipe import Recipe, part


class TwoPhase:
    """Transfer, then prediction; each phase has a warm-up and a linear decay of its own.

    Args:
        transfer_share: share of the steps that the first phase gets, in (0, 1); each phase has one at least.
        recipe: see `autodistill.schedules.recipe.Recipe`.
    """

    def __init__(self, *, transfer_share: float, **recipe: Any) -> None:
        self._recipe = Recipe(**recipe)
        self.flash_fidelity = self._recipe.flash_fidelity
        self._transfer_share = transfer_share

    @property
    def optimisation(self) -> Optimisation:
        """How steps are taken."""
        return self._recipe.optimisation

    @property
    def total_examples(self) -> int:
        """Examples of the full recipe."""
        return self._recipe.examples

    def phases(self, student_layers: int, teacher_layers: int, fidelity: float) -> Sequence[Phase]:
        """Two phases.

        Raises:
            ConfigError: there are not two steps at this fidelity.
        """
        steps = self._recipe.steps(fidelity, least=2)
        transfer = part(steps, self._transfer_share)
        return (self._phase("transfer", transfer), self._phase("prediction", steps - transfer))

    def _phase(self, role: str, steps: int) -> Phase:
        warmup = self._recipe.warmup(steps)
        return Phase(role, frozenset({role}), steps, course=Course(warmup, steps - warmup))

    def layer_pairs(self, student_layers: int, teacher_layers: int) -> LayerPairs:
        """(student layer, teacher layer), 1-based, that transfer losses compare."""
        return self._recipe.layer_pairs(student_layers, teacher_layers)
