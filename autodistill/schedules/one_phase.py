"""The plain recipe: one phase in which every loss acts on every layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autodistill.components.training import Optimisation, Phase
from autodistill.errors import ConfigError
from autodistill.schedules.layer_mapping import LayerPairs, layer_pairs


class OnePhase:
    """All losses together from the first step to the last.

    A run at fidelity f takes ``floor(f * examples / batch_size)`` steps; warm-up and decay shrink with it.

    Args:
        examples: examples of the full recipe.
        flash_fidelity: fidelity of a flash run.
        batch_size: examples per step.
        lr: peak learning rate.
        warmup_share: share of the steps with rising learning rate.
        weight_decay: of weights; biases and normalisations do not decay.
        clip_norm: gradient norm is clipped to this; 0 = not at all.
        optimizer: ``_target_`` of `torch.optim` and its further arguments; None for AdamW.
        layer_mapping: see `autodistill.schedules.layer_mapping.layer_pairs`.
    """

    def __init__(
        self,
        *,
        examples: int,
        flash_fidelity: float,
        batch_size: int,
        lr: float,
        warmup_share: float,
        weight_decay: float,
        clip_norm: float,
        optimizer: Mapping[str, Any] | None,
        layer_mapping: str,
    ) -> None:
        self.flash_fidelity = flash_fidelity
        self._examples = examples
        self._layer_mapping = layer_mapping
        self._optimisation = Optimisation(batch_size, lr, warmup_share, weight_decay, clip_norm, optimizer)

    @property
    def optimisation(self) -> Optimisation:
        """How steps are taken; the same for every architecture."""
        return self._optimisation

    @property
    def total_examples(self) -> int:
        """Examples of the full recipe."""
        return self._examples

    def phases(self, student_layers: int, teacher_layers: int, fidelity: float) -> Sequence[Phase]:
        """One phase with both roles.

        Raises:
            ConfigError: not even one step is left at this fidelity.
        """
        steps = int(fidelity * self._examples / self._optimisation.batch_size + ROUNDING)
        if steps < 1:
            raise ConfigError(
                f"schedule.examples={self._examples} at fidelity {fidelity} is less than one batch of "
                f"{self._optimisation.batch_size}: no step is left. Raise schedule.examples or "
                "schedule.flash_fidelity, or lower schedule.batch_size."
            )
        return (Phase("all", frozenset({"transfer", "prediction"}), steps),)

    def layer_pairs(self, student_layers: int, teacher_layers: int) -> LayerPairs:
        """(student layer, teacher layer), 1-based, that transfer losses compare."""
        return layer_pairs(self._layer_mapping, student_layers, teacher_layers)


#: So that 0.05 * 40000 / 32 is not one step short because 0.05 has no exact binary form.
ROUNDING = 1e-9
