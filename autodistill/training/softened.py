"""Other names of logits: of masked tokens alone, and for a temperature, for losses that soften what is cached in part.

A cached distribution over a vocabulary is its likeliest outputs and the mass of the others. How much that mass is at
another temperature does not follow from it, so it is kept for every temperature that the study's losses use
(`autodistill.training.stored_features.TopLogits`), and a loss gets the logits that are right at its own. Everywhere
else logits are whole, and the same for every temperature.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autodistill.components.training import DistillationLoss, FeatureKey, Features

LOGITS: FeatureKey = ("logits", None)

#: The logits of the tokens that count alone; see `autodistill.components.training.Features`.
MASKED_LOGITS: FeatureKey = ("masked_logits", None)

_PREFIX = "logits@"


def logits_of(kind: str) -> FeatureKey:
    """The logits that are all the answers to a task of this kind, and nothing else."""
    return MASKED_LOGITS if kind == "mlm" else LOGITS


def softened_logits(temperature: float) -> FeatureKey:
    """The feature that is the teacher's logits for a temperature > 0."""
    return LOGITS if temperature == 1 else (f"{_PREFIX}{float(temperature)!r}", None)


def temperature_of(key: FeatureKey) -> float | None:
    """The temperature of a feature that is logits; None for other features."""
    if key in (LOGITS, MASKED_LOGITS):
        return 1.0
    return float(key[0].removeprefix(_PREFIX)) if key[0].startswith(_PREFIX) else None


def without_temperature(key: FeatureKey) -> FeatureKey:
    """The feature; logits for a temperature, or of some tokens, as logits."""
    return key if temperature_of(key) is None else LOGITS


def teacher_needs(loss: DistillationLoss) -> frozenset[FeatureKey]:
    """What a loss asks of the teacher, its logits for the loss's ``temperature`` if it has one."""
    own = softened_logits(getattr(loss, "temperature", 1.0))
    return frozenset(own if key == LOGITS else key for key in loss.teacher_features)


def teacher_needs_of(losses: Iterable[DistillationLoss]) -> frozenset[FeatureKey]:
    """What some losses ask of the teacher together."""
    return frozenset().union(*(teacher_needs(loss) for loss in losses))


def features_for(loss: DistillationLoss, teacher: Features) -> Features:
    """The teacher's features as a loss reads them: the logits for its temperature stand under the logits' own name."""
    own = softened_logits(getattr(loss, "temperature", 1.0))
    return teacher if own not in teacher else {**teacher, LOGITS: teacher[own]}
