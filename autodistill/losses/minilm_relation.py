"""Transfer of self-attention relations: which tokens are alike as queries, as keys and as values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812

from autodistill.errors import ConfigError
from autodistill.losses.masking import (
    masked_mean,
    mean_over_layers,
    number_of_tokens,
    paired_features,
    present_pairs,
    require_layer_pairs,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor
    from torch.nn import Parameter

    from autodistill.components.training import Batch, FeatureKey, Features, LossContext, LossRole

#: What is related with itself: queries with queries, and so on.
RELATIONS = ("queries", "keys", "values")

#: Added to the scores of padding: its share is exactly 0 in float32, and gradients stay finite, unlike with -inf.
_HIDDEN = -1e9


class MiniLMRelation:
    """KL(teacher || student) of self-attention relations, MiniLMv2 (Wang et al. 2020, arXiv 2012.15828).

    The heads of one layer are joined and split anew into ``r`` relation heads of width ``d``, so that widths and
    numbers of heads of both models are free. With ``A`` the queries, keys or values of a relation head,

    ``R_A = softmax(A A^T / sqrt(d))``, ``loss = mean_A mean_r mean_q KL(R^t_A[q] || R^s_A[q])``,

    ``q`` running over unmasked tokens. The student's last layer learns from one teacher layer, as in the paper, or
    every layer from its pair, and the loss is the mean over the pairs that were run.

    Args:
        context: widths of both models' attention, and the layer pairs.
        weight: the trainer's factor.
        relation_heads: ``r``; 0 means the largest number up to the teacher's heads that divides both widths.
        layers: ``last`` or ``pairs``.
        teacher_layer: of ``last``, which teacher layer, 1-based; negative counts from the top, -1 = the last one.

    Raises:
        ConfigError: ``relation_heads`` does not divide a width, or there is no such teacher layer.
    """

    role: LossRole = "transfer"

    def __init__(
        self, context: LossContext, *, weight: float, relation_heads: int, layers: str, teacher_layer: int
    ) -> None:
        self.weight = weight
        widths = (context.student.attention, context.teacher.attention)
        self.relation_heads = relation_heads or _common_heads(*widths, context.teacher.heads)
        for who, width in zip(("student", "teacher"), widths, strict=True):
            if width % self.relation_heads:
                raise ConfigError(
                    f"loss.minilm_relation.relation_heads={self.relation_heads} must divide the width of the "
                    f"{who}'s attention, which is {width}. Give a common divisor of {widths[0]} and {widths[1]}, or 0 "
                    "to have one chosen for every architecture."
                )
        depth = context.teacher.layers
        layer = teacher_layer if teacher_layer > 0 else depth + 1 + teacher_layer
        if not 1 <= layer <= depth:
            raise ConfigError(
                f"loss.minilm_relation.teacher_layer is {teacher_layer}, but the teacher has {depth} layers: "
                f"1 to {depth}, or -1 to -{depth} from the top."
            )
        self.pairs: tuple[tuple[int, int], ...] = ((context.student.layers, layer),)
        if layers == "pairs":
            require_layer_pairs("minilm_relation", context.layer_pairs)
            self.pairs = context.layer_pairs
        keys = [paired_features(name, self.pairs) for name in RELATIONS]
        self.student_features: frozenset[FeatureKey] = frozenset().union(*(own for own, _ in keys))
        self.teacher_features: frozenset[FeatureKey] = frozenset().union(*(taught for _, taught in keys))

    def __call__(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Compare the relations.

        Args:
            student: ``queries``, ``keys`` and ``values`` as ``batch x heads x tokens x size``, any float dtype.
            teacher: the same of the teacher; constant.
            batch: its attention mask says which tokens count.

        Returns:
            Scalar float32, >= 0, and 0 when student and teacher agree.
        """
        mask = batch.attention_mask
        divergences = []
        for own, taught in (keys for name in RELATIONS for keys in present_pairs(self.pairs, name, student)):
            student_log = self._relation(student[own], mask)
            teacher_log = self._relation(teacher[taught].detach(), mask)
            divergence = F.kl_div(student_log, teacher_log, reduction="none", log_target=True)
            per_query = (divergence * mask[:, None, None, :]).sum(-1).mean(1)
            divergences.append(masked_mean(per_query, mask))
        return mean_over_layers(divergences, batch)

    def _relation(self, value: Tensor, mask: Tensor) -> Tensor:
        """Log relations between tokens: ``batch x relation heads x tokens x tokens``, float32."""
        batch, _, tokens, _ = value.shape
        joined = value.float().transpose(1, 2).reshape(batch, tokens, self.relation_heads, -1).transpose(1, 2)
        with torch.autocast(value.device.type, enabled=False):  # which would take the product back to bfloat16
            scores = joined @ joined.transpose(2, 3) * joined.shape[-1] ** -0.5
        return F.log_softmax(scores.masked_fill(~mask[:, None, None, :], _HIDDEN), dim=-1)

    def items(self, batch: Batch) -> Tensor:
        """Tokens that count: see `autodistill.components.training.DistillationLoss.items`."""
        return number_of_tokens(batch)

    def parameters(self) -> Iterable[Parameter]:
        """No parameters of its own."""
        return ()


def _common_heads(student: int, teacher: int, most: int) -> int:
    """The largest number up to ``most`` that divides both widths."""
    return next(heads for heads in range(max(1, most), 0, -1) if student % heads == 0 == teacher % heads)
