"""Learning from the reference labels, beside the teacher or instead of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F  # noqa: N812

from autodistill.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor
    from torch.nn import Parameter

    from autodistill.components.training import Batch, FeatureKey, Features, LossContext, LossRole


class HardLabel:
    """Cross-entropy of the student's outputs with the labels; mean squared error for a regression.

    Args:
        context: its task must have labels.
        weight: the trainer's factor.

    Raises:
        ConfigError: the task is label-free.
    """

    role: LossRole = "prediction"
    student_features: frozenset[FeatureKey] = frozenset({("logits", None)})
    teacher_features: frozenset[FeatureKey] = frozenset()

    def __init__(self, context: LossContext, *, weight: float) -> None:
        if context.task.label_free:
            raise ConfigError(
                "loss.hard_label needs reference labels, but the data is label-free. "
                "Use the loss 'logits_kl', which learns from the teacher's answers."
            )
        self.weight = weight
        self._regression = context.task.kind == "regression"

    def __call__(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Compare the outputs with the labels.

        Args:
            student: ``logits`` as ``batch x classes``, any float dtype.
            teacher: not used.
            batch: its ``labels`` are ``batch``.

        Returns:
            Scalar float32, >= 0.
        """
        if batch.labels is None:
            raise ConfigError("loss.hard_label needs reference labels, but the batch has none.")
        return label_loss(student["logits", None], batch.labels, regression=self._regression)

    def parameters(self) -> Iterable[Parameter]:
        """No parameters of its own."""
        return ()


def label_loss(logits: Tensor, labels: Tensor, *, regression: bool) -> Tensor:
    """Return the mean cross-entropy, or mean squared error for a regression.

    Args:
        logits: ``batch x classes``, any float dtype (``batch x 1`` for a regression).
        labels: ``batch``, int64 (float32 for a regression).
        regression: which of the two.
    """
    if regression:
        return F.mse_loss(logits.float().squeeze(-1), labels.float())
    return F.cross_entropy(logits.float(), labels)
