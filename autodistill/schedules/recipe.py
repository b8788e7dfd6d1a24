"""What all schedules share: the parameters of the recipe, the number of its steps, and how steps are divided."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autodistill.components.training import Optimisation
from autodistill.errors import ConfigError
from autodistill.schedules.layer_mapping import LayerPairs, layer_pairs

#: So that 0.05 * 40000 / 32 is not one step short because 0.05 has no exact binary form.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Recipe:
    """Parameters of a schedule that do not depend on its phases.

    A run at fidelity f takes ``floor(f * examples / batch_size)`` steps, whatever the architecture.

    Args:
        examples: examples of the full recipe.
        flash_fidelity: fidelity of a flash run.
        batch_size: examples per step.
        lr: peak learning rate.
        scale_lr: whether the student family's rule fits it to the architecture.
        warmup_share: share of the steps with rising learning rate.
        weight_decay: of weights; biases and normalisations do not decay.
        clip_norm: gradient norm is clipped to this; 0 = not at all.
        optimizer: ``_target_`` and further arguments; None for AdamW.
        layer_mapping: see `autodistill.schedules.layer_mapping.layer_pairs`.
    """

    examples: int
    flash_fidelity: float
    batch_size: int
    lr: float
    scale_lr: bool
    warmup_share: float
    weight_decay: float
    clip_norm: float
    optimizer: Mapping[str, Any] | None
    layer_mapping: str | Sequence[int]

    @property
    def optimisation(self) -> Optimisation:
        """How steps are taken."""
        return Optimisation(
            self.batch_size,
            self.lr,
            self.warmup_share,
            self.weight_decay,
            self.clip_norm,
            self.optimizer,
            self.scale_lr,
        )

    def steps(self, fidelity: float, least: int = 1) -> int:
        """Steps of a run.

        Args:
            fidelity: in (0, 1].
            least: phases that need a step each.

        Raises:
            ConfigError: there are fewer than ``least``.
        """
        steps = int(fidelity * self.examples / self.batch_size + ROUNDING)
        if steps >= least:
            return steps
        if steps < 1:
            short = f"is less than one batch of {self.batch_size}: no step is left."
        else:
            short = f"is {steps} step of {self.batch_size}, and this schedule has {least} phases of a step at least."
        raise ConfigError(
            f"schedule.examples={self.examples} at fidelity {fidelity} {short} Raise schedule.examples or "
            "schedule.flash_fidelity, or lower schedule.batch_size."
        )

    def layer_pairs(self, student_layers: int, teacher_layers: int) -> LayerPairs:
        """(student layer, teacher layer), 1-based, that transfer losses compare."""
        return layer_pairs(self.layer_mapping, student_layers, teacher_layers)

    def warmup(self, steps: int) -> int:
        """Rising steps among ``steps``."""
        return round(self.warmup_share * steps)


def part(steps: int, share: float) -> int:
    """Steps of the first of two parts: its share, but at least one step for either.

    Args:
        steps: >= 2.
        share: in (0, 1).
    """
    return min(max(1, round(share * steps)), steps - 1)


def divided(steps: int, parts: int) -> list[int]:
    """``steps`` in ``parts`` whose sizes differ by one at most, in the order that spreads the larger ones.

    Args:
        steps: >= parts.
        parts: >= 1.
    """
    borders = [index * steps // parts for index in range(parts + 1)]
    return [stop - start for start, stop in itertools.pairwise(borders)]


def spread(pairs: LayerPairs, number: int) -> LayerPairs:
    """``number`` of the pairs, evenly spread, the last one among them.

    Args:
        pairs: in rising order.
        number: from 1 to as many as there are.
    """
    return tuple(pairs[(index + 1) * len(pairs) // number - 1] for index in range(number))
