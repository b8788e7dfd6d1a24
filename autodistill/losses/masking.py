"""Averages over what counts: tokens that are not padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autodistill.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from autodistill.components.training import FeatureKey, Features


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of ``values`` where ``mask`` is true.

    Args:
        values: any shape, float32; values under the mask may be anything finite.
        mask: same shape, bool.

    Returns:
        Scalar; 0 when nothing counts.
    """
    weights = mask.to(values.dtype)
    return (values * weights).sum() / weights.sum().clamp_min(1.0)


def present_pairs(
    pairs: Sequence[tuple[int, int]], feature: str, features: Features
) -> list[tuple[FeatureKey, FeatureKey]]:
    """Return the keys of the layer pairs whose student layer was run.

    A phase that runs only the first k student layers leaves out the layers above.

    Args:
        pairs: (student layer, teacher layer).
        feature: name of the feature.
        features: what the student gave.
    """
    return [((feature, student), (feature, teacher)) for student, teacher in pairs if (feature, student) in features]


def require_layer_pairs(name: str, pairs: Sequence[tuple[int, int]]) -> None:
    """Raise `ConfigError` when a transfer loss has nothing to compare."""
    if not pairs:
        raise ConfigError(
            f"loss.{name} compares layers, but the schedule pairs no student layer with a teacher layer. "
            "Choose another schedule.layer_mapping, or leave this loss out."
        )
