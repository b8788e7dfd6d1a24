"""Transfer of attention scores, as they are before the softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autodistill.losses.masking import (
    masked_mean,
    mean_over_layers,
    number_of_tokens,
    paired_features,
    present_pairs,
    require_equal_heads,
    require_layer_pairs,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor
    from torch.nn import Parameter

    from autodistill.components.training import Batch, Features, LossContext, LossRole


class AttentionMSE:
    """Mean squared error of attention scores: ``mean_l mean_h mean_q mean_k (a^s_lhqk - a^t_lhqk)^2``.

    ``q`` and ``k`` run over unmasked queries and keys, ``h`` over heads, ``l`` over layer pairs; the scores are
    ``Q K^T / sqrt(d)`` before mask and softmax. TinyBERT (Jiao et al. 2019, arXiv 1909.10351) found them to
    converge faster than the maps. Head i of the student is compared with head i of the teacher.

    Args:
        context: layer pairs; both models must have as many heads.
        weight: the trainer's factor.

    Raises:
        ConfigError: the numbers of heads differ, or no layer pair.
    """

    role: LossRole = "transfer"

    def __init__(self, context: LossContext, *, weight: float) -> None:
        require_layer_pairs("attention_mse", context.layer_pairs)
        require_equal_heads("attention_mse", context.student.heads, context.teacher.heads)
        self.weight = weight
        self.pairs = context.layer_pairs
        self.student_features, self.teacher_features = paired_features("attention_scores", self.pairs)

    def __call__(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Compare the paired scores.

        Args:
            student: ``attention_scores`` as ``batch x heads x tokens x tokens``, any float dtype.
            teacher: the same shape; constant.
            batch: its attention mask says which queries and keys count.

        Returns:
            Scalar float32, >= 0, and 0 when student and teacher agree.
        """
        keys = batch.attention_mask[:, None, :]
        errors = []
        for own, other in present_pairs(self.pairs, "attention_scores", student):
            squares = (student[own].float() - teacher[other].detach().float()).square().mean(1)
            per_query = (squares * keys).sum(-1) / keys.sum(-1).clamp_min(1)
            errors.append(masked_mean(per_query, batch.attention_mask))
        return mean_over_layers(errors, batch)

    def items(self, batch: Batch) -> Tensor:
        """Tokens that count: see `autodistill.components.training.DistillationLoss.items`."""
        return number_of_tokens(batch)

    def parameters(self) -> Iterable[Parameter]:
        """No parameters of its own."""
        return ()
