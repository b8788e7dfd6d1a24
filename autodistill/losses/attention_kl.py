"""Transfer of attention maps: each paired student layer attends like a teacher layer, head by head."""

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

#: Probabilities below this count as this: half of float16's smallest number, which is what a cached map can tell
#: from zero; bounds the loss of a key that the student ignores altogether.
SMALLEST_PROBABILITY = 2.0**-25


class AttentionKL:
    """KL(teacher || student) of attention maps: ``mean_l mean_h mean_q sum_k t_lhqk log(t_lhqk / s_lhqk)``.

    ``q`` and ``k`` run over unmasked queries and keys, ``h`` over heads, ``l`` over layer pairs. It is the attention
    transfer of MobileBERT (Sun et al. 2020, arXiv 2004.02984) as a divergence, so that it is zero at equality. Head i
    of the student is compared with head i of the teacher.

    Args:
        context: layer pairs; both models must have as many heads.
        weight: the trainer's factor.

    Raises:
        ConfigError: the numbers of heads differ, or no layer pair.
    """

    role: LossRole = "transfer"

    def __init__(self, context: LossContext, *, weight: float) -> None:
        require_layer_pairs("attention_kl", context.layer_pairs)
        require_equal_heads("attention_kl", context.student.heads, context.teacher.heads)
        self.weight = weight
        self.pairs = context.layer_pairs
        self.student_features, self.teacher_features = paired_features("attentions", self.pairs)

    def __call__(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Compare the paired maps.

        Args:
            student: ``attentions`` as ``batch x heads x tokens x tokens``, rows sum to 1 over unmasked keys.
            teacher: the same shape; constant.
            batch: its attention mask says which queries count.

        Returns:
            Scalar float32, >= 0, and 0 when student and teacher agree.
        """
        keys = batch.attention_mask[:, None, None, :]
        divergences = [
            masked_mean(
                _divergence(student[own].float(), teacher[other].detach().float(), keys).mean(1), batch.attention_mask
            )
            for own, other in present_pairs(self.pairs, "attentions", student)
        ]
        return mean_over_layers(divergences, batch)

    def items(self, batch: Batch) -> Tensor:
        """Tokens that count: see `autodistill.components.training.DistillationLoss.items`."""
        return number_of_tokens(batch)

    def parameters(self) -> Iterable[Parameter]:
        """No parameters of its own."""
        return ()


def _divergence(student: Tensor, teacher: Tensor, keys: Tensor) -> Tensor:
    """KL per head and query: ``batch x heads x tokens``."""
    ratio = teacher.clamp_min(SMALLEST_PROBABILITY).log() - student.clamp_min(SMALLEST_PROBABILITY).log()
    return (teacher * ratio * keys).sum(-1)
