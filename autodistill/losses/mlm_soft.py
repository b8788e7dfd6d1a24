"""Masked language modelling against a mixture of the hidden word and the teacher's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F  # noqa: N812

from autodistill.errors import ConfigError
from autodistill.losses.masking import counted_tokens, number_of_answers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor
    from torch.nn import Parameter

    from autodistill.components.training import Batch, FeatureKey, Features, LossContext, LossRole

_KEYS: frozenset[FeatureKey] = frozenset({("masked_logits", None)})


class MLMSoft:
    """Cross-entropy with soft targets: ``mean_i -sum_v (a [v = y_i] + (1 - a) p^t_i(v)) log p^s_i(v)``.

    ``i`` runs over the masked positions, ``y_i`` is the word that was hidden there and ``p`` the softmax over the
    vocabulary. MobileBERT's final loss (Sun et al. 2020, arXiv 2004.02984), which takes ``a = 1/2``. It is smallest,
    at the targets' entropy, where the student gives exactly the targets.

    Args:
        context: its task must be a masked language model.
        weight: the trainer's factor.
        hard_share: ``a`` in [0, 1].

    Raises:
        ConfigError: another kind of task.
    """

    role: LossRole = "prediction"
    reads_labels = True
    student_features = _KEYS
    teacher_features = _KEYS

    def __init__(self, context: LossContext, *, weight: float, hard_share: float) -> None:
        if context.task.kind != "mlm":
            raise ConfigError(
                f"loss.mlm_soft is for masked language models, and this task is of kind {context.task.kind!r}. "
                "Use the losses 'logits_kl' and 'hard_label' instead."
            )
        self.weight = weight
        self.hard_share = hard_share

    def __call__(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Compare the words at the masked positions.

        Args:
            student: ``masked_logits`` as ``masked x vocabulary``, any float dtype.
            teacher: the same shape; constant.
            batch: its ``labels`` are ``batch x tokens``, int64: the hidden words, -100 where none is hidden.

        Returns:
            Scalar float32, >= 0; 0 when nothing is masked.
        """
        if batch.labels is None:
            raise ConfigError("loss.mlm_soft needs masked batches, but the batch has none.")
        labels = batch.labels[counted_tokens(batch)]
        student_log = F.log_softmax(student["masked_logits", None].float(), dim=-1)
        targets = F.softmax(teacher["masked_logits", None].detach().float(), dim=-1)
        hard = -student_log.gather(1, labels[:, None]).squeeze(1)
        soft = -(targets * student_log).sum(-1)
        return (self.hard_share * hard + (1 - self.hard_share) * soft).sum() / max(1, len(labels))

    def items(self, batch: Batch) -> Tensor:
        """Answers: see `autodistill.components.training.DistillationLoss.items`."""
        return number_of_answers(batch, "mlm")

    def parameters(self) -> Iterable[Parameter]:
        """No parameters of its own."""
        return ()
