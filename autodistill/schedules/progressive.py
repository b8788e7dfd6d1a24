"""MobileBERT's recipe: layer after layer, then end to end (Sun et al. 2020, arXiv 2004.02984)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autodistill.components.training import Course, Optimisation, Phase
from autodistill.schedules.layer_mapping import LayerPairs
from autodistill.schedules.recipe import Recipe, divided, part, spread


class Progressive:
    """Stage by stage one more pair of layers learns; then the outputs are learnt end to end.

    Stage k runs the first ``s_k`` student layers and the teacher up to ``t_k``, ``(s_k, t_k)`` being the layer pairs of
    the mapping, so that depths may be any; transfer losses average over the pairs that were run. The rate rises once
    and stays level over the stages, then rises again and falls to zero over the rest; MobileBERT's does not rise over
    the stages.

    Every architecture gets the same steps. A student with more pairs than ``max_stages``, or than have
    ``min_stage_steps`` each, has its stages merged: each then adds several pairs.

    Args:
        stage_share: share of the steps that the stages divide among them, in (0, 1).
        max_stages: most stages, >= 1.
        min_stage_steps: fewest steps of a stage, >= 1; a single stage may have fewer.
        stage_warmup: whether the rate rises at the beginning of the first stage; else it is level from the first step.
        recipe: see `autodistill.schedules.recipe.Recipe`.
    """

    def __init__(
        self, *, stage_share: float, max_stages: int, min_stage_steps: int, stage_warmup: bool, **recipe: Any
    ) -> None:
        self._recipe = Recipe(**recipe)
        self.flash_fidelity = self._recipe.flash_fidelity
        self._stage_share = stage_share
        self._max_stages = max_stages
        self._min_stage_steps = min_stage_steps
        self._stage_warmup = stage_warmup

    @property
    def optimisation(self) -> Optimisation:
        """How steps are taken."""
        return self._recipe.optimisation

    @property
    def total_examples(self) -> int:
        """Examples of the full recipe."""
        return self._recipe.examples

    def phases(self, student_layers: int, teacher_layers: int, fidelity: float) -> Sequence[Phase]:
        """The stages and the phase from end to end.

        Raises:
            ConfigError: there are not two steps at this fidelity.
        """
        steps = self._recipe.steps(fidelity, least=2)
        staged = part(steps, self._stage_share)
        pairs = tuple(dict.fromkeys(self.layer_pairs(student_layers, teacher_layers)))
        number = min(len(pairs), self._max_stages, max(1, staged // self._min_stage_steps))
        sizes = divided(staged, number) if number else []
        rising = self._recipe.warmup(staged) if self._stage_warmup else 0
        stages = []
        for index, (size, pair) in enumerate(zip(sizes, spread(pairs, number), strict=True)):
            warmup = min(size, rising) if index == 0 else 0
            name = f"stage {index + 1} of {number}"
            stages.append(Phase(name, frozenset({"transfer"}), size, *pair, course=Course(warmup, 0)))
        rest = steps - sum(sizes)
        warmup = self._recipe.warmup(rest)
        end = Phase("end to end", frozenset({"prediction"}), rest, course=Course(warmup, rest - warmup))
        return (*stages, end)

    def layer_pairs(self, student_layers: int, teacher_layers: int) -> LayerPairs:
        """(student layer, teacher layer), 1-based, that transfer losses compare."""
        return self._recipe.layer_pairs(student_layers, teacher_layers)
