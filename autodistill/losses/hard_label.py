"""Learning from the reference labels, beside the teacher or instead of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812

from autodistill.components.task import IGNORED
from autodistill.errors import ConfigError
from autodistill.losses.masking import TOKEN_KINDS, counted_tokens, number_of_answers
from autodistill.training.softened import MASKED_LOGITS, logits_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor
    from torch.nn import Parameter

    from autodistill.components.training import Batch, FeatureKey, Features, LossContext, LossRole


class HardLabel:
    """The task's own loss on the labels: see `label_loss`.

    Args:
        context: its task must have labels.
        weight: the trainer's factor.

    Raises:
        ConfigError: the task is label-free.
    """

    role: LossRole = "prediction"
    reads_labels = True
    teacher_features: frozenset[FeatureKey] = frozenset()

    def __init__(self, context: LossContext, *, weight: float) -> None:
        if context.task.label_free:
            raise ConfigError(
                "loss.hard_label needs reference labels, but the data is label-free. "
                "Use the loss 'logits_kl', which learns from the teacher's answers."
            )
        self.weight = weight
        self._kind = context.task.kind
        self._key = logits_of(self._kind)
        self.student_features: frozenset[FeatureKey] = frozenset({self._key})

    def __call__(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Compare the outputs with the labels.

        Args:
            student: ``logits``, shaped as the task's kind has them, any float dtype; of a masked language model
                ``masked_logits``: whole vocabularies of all tokens would take most of a step's memory.
            teacher: not used.
            batch: its ``labels``.

        Returns:
            Scalar float32, >= 0.
        """
        if batch.labels is None:
            raise ConfigError("loss.hard_label needs reference labels, but the batch has none.")
        labels = batch.labels[counted_tokens(batch)] if self._key == MASKED_LOGITS else batch.labels
        return label_loss(student[self._key], labels, self._kind, batch.attention_mask)

    def items(self, batch: Batch) -> Tensor:
        """Answers: see `autodistill.components.training.DistillationLoss.items`."""
        return number_of_answers(batch, self._kind)

    def parameters(self) -> Iterable[Parameter]:
        """No parameters of its own."""
        return ()


def label_loss(logits: Tensor, labels: Tensor, kind: str, mask: Tensor | None = None) -> Tensor:
    """Return the mean loss of a task's own kind against its labels.

    Cross-entropy of classes, of token classes and of masked tokens (over the tokens that count); binary cross-entropy
    where an example may have several classes; mean squared error for a regression; for question answering the mean of
    the cross-entropies of the answer's first and last token.

    Args:
        logits: see `autodistill.components.task.TaskSpec`, any float dtype; of masked tokens alone, ``masked x
            vocabulary``, if the labels are theirs alone.
        labels: see there.
        kind: of the task.
        mask: ``batch x tokens``, true where a token counts; an answer cannot begin elsewhere. None: all count.
    """
    scores = logits.float()
    if kind == "regression":
        return F.mse_loss(scores.squeeze(-1), labels.float())
    if kind == "question_answering":
        scores = scores if mask is None else scores.masked_fill(~mask.unsqueeze(-1), -torch.inf)
        return torch.stack([F.cross_entropy(scores[..., end], labels[:, end]) for end in (0, 1)]).mean()
    if kind in TOKEN_KINDS:
        counted = labels != IGNORED
        # A batch without a single masked token teaches nothing; its mean would be 0 / 0.
        return F.cross_entropy(scores[counted], labels[counted], reduction="sum") / counted.sum().clamp_min(1)
    if labels.is_floating_point():
        return F.binary_cross_entropy_with_logits(scores, labels)
    return F.cross_entropy(scores, labels)
