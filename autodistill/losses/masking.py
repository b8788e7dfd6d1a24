"""Averages over what counts: tokens that are not padding, layers that were run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from autodistill.components.task import IGNORED
from autodistill.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from autodistill.components.training import Batch, FeatureKey, Features

#: Kinds of task in which every token has an answer of its own.
TOKEN_KINDS = ("token_classification", "mlm")


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


def number_of_tokens(batch: Batch) -> Tensor:
    """How many items a mean over unmasked tokens is over: scalar, float32."""
    return batch.attention_mask.sum().float()


def number_of_answers(batch: Batch, kind: str) -> Tensor:
    """How many items a mean over the answers of a task of this kind is over, tokens or examples: scalar, float32."""
    if kind in TOKEN_KINDS:
        return counted_tokens(batch).sum().float()
    return torch.tensor(float(len(batch.input_ids)), device=batch.input_ids.device)


def counted_tokens(batch: Batch) -> Tensor:
    """Tokens whose answers count: ``batch x tokens``, bool.

    Where every token has a label (token classification, masked language models) those of `IGNORED` do not count.
    """
    labels = batch.labels
    if labels is None or labels.shape != batch.attention_mask.shape:
        return batch.attention_mask
    return batch.attention_mask & (labels != IGNORED)


def paired_features(
    feature: str, pairs: Sequence[tuple[int, int]]
) -> tuple[frozenset[FeatureKey], frozenset[FeatureKey]]:
    """What a loss on layer pairs needs of the student and of the teacher."""
    return frozenset((feature, own) for own, _ in pairs), frozenset((feature, other) for _, other in pairs)


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


def mean_over_layers(values: Sequence[Tensor], batch: Batch) -> Tensor:
    """The mean of the layers' losses; 0, without effect on the student, when none of the layers was run.

    Args:
        values: scalars, float32.
        batch: says where the result lies.
    """
    if not values:
        return torch.zeros((), device=batch.attention_mask.device, requires_grad=True)
    return torch.stack(list(values)).mean()


def require_layer_pairs(name: str, pairs: Sequence[tuple[int, int]]) -> None:
    """Raise `ConfigError` when a transfer loss has nothing to compare."""
    if not pairs:
        raise ConfigError(
            f"loss.{name} compares layers, but the schedule pairs no student layer with a teacher layer. "
            "Choose another schedule.layer_mapping, or leave this loss out."
        )


def require_equal_heads(name: str, student: int, teacher: int) -> None:
    """Raise `ConfigError` when a loss that goes head by head is given unequal numbers of heads."""
    if student != teacher:
        raise ConfigError(
            f"loss.{name} compares attention head by head, but the student has {student} heads and the teacher "
            f"{teacher}. Use the loss 'minilm_relation', which leaves widths and numbers of heads free, or students "
            f"with as many heads as the teacher (of the search space: student.space.num_heads=[{teacher}])."
        )
