"""Warm-up, a trunk at a constant rate, and a short decay that gives the score (Hu et al. 2024, arXiv 2404.06395)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autodistill.components.training import Course, Optimisation, Phase
from autodistill.schedules.layer_mapping import LayerPairs
from autodistill.schedules.recipe import Recipe, part


class Wsd:
    """All losses together; the rate is level for most of the run, so that a longer run begins with the same steps.

    A run at any fidelity is a prefix of the trunk and a decay of ``decay_share`` of its steps, which branches off. The
    warm-up is that of a flash run at every fidelity (shorter where the trunk is): only then do runs share the trunk.
    A full run after a flash run goes on from the state at the trunk's end. As it would have taken those very steps,
    from the same start on the same examples, its result is the same to the bit as that of a run from the beginning:
    the recipe is one for all, whether a trial was promoted or, like a baseline, never had a flash run.

    Args:
        decay_share: share of the steps with falling rate, in (0, 1).
        keep_trunk: whether the state at the trunk's end is kept.
        recipe: see `autodistill.schedules.recipe.Recipe`.
    """

    def __init__(self, *, decay_share: float, keep_trunk: bool, **recipe: Any) -> None:
        self._recipe = Recipe(**recipe)
        self.flash_fidelity = self._recipe.flash_fidelity
        self._decay_share = decay_share
        self._keep_trunk = keep_trunk

    @property
    def optimisation(self) -> Optimisation:
        """How steps are taken."""
        return self._recipe.optimisation

    @property
    def total_examples(self) -> int:
        """Examples of the full recipe."""
        return self._recipe.examples

    def phases(self, student_layers: int, teacher_layers: int, fidelity: float) -> Sequence[Phase]:
        """Trunk and decay.

        Raises:
            ConfigError: there are not two steps at this fidelity.
        """
        steps = self._recipe.steps(fidelity, least=2)
        trunk = self._trunk(steps)
        roles = frozenset({"transfer", "prediction"})
        course = Course(min(self._warmup, trunk), 0)
        return (
            Phase("trunk", roles, trunk, course=course, trunk=True, keep=self._keep_trunk),
            Phase("decay", roles, steps - trunk, course=Course(0, steps - trunk)),
        )

    def _trunk(self, steps: int) -> int:
        """Steps of the trunk of a run."""
        return steps - part(steps, self._decay_share)

    @property
    def _warmup(self) -> int:
        """Rising steps of a flash run, and of every longer one."""
        steps = self._recipe.steps(self.flash_fidelity, least=2)
        return min(self._recipe.warmup(steps), self._trunk(steps))

    def layer_pairs(self, student_layers: int, teacher_layers: int) -> LayerPairs:
        """(student layer, teacher layer), 1-based, that transfer losses compare."""
        return self._recipe.layer_pairs(student_layers, teacher_layers)
