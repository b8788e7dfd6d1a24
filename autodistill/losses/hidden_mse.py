"""Transfer of hidden states: each paired student layer imitates a teacher layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from autodistill.losses.masking import masked_mean, present_pairs, require_layer_pairs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from autodistill.components.training import Batch, FeatureKey, Features, LossContext, LossRole


class HiddenMSE:
    """Mean squared error of hidden states, averaged over unmasked tokens, channels and layer pairs.

    Where the widths differ, every pair has a learned linear projection from the student's width to the teacher's
    (TinyBERT, Jiao et al. 2019, arXiv 1909.10351). It is drawn from torch's global generator when the loss is built.

    Args:
        context: widths and layer pairs.
        weight: the trainer's factor.
        embeddings: whether the outputs of the embedding blocks (layer 0) are a pair too.

    Raises:
        ConfigError: no layer pair.
    """

    role: LossRole = "transfer"

    def __init__(self, context: LossContext, *, weight: float, embeddings: bool) -> None:
        require_layer_pairs("hidden_mse", context.layer_pairs)
        self.weight = weight
        self.pairs = (*(((0, 0),) if embeddings else ()), *context.layer_pairs)
        self.student_features: frozenset[FeatureKey] = frozenset(("hidden_states", pair[0]) for pair in self.pairs)
        self.teacher_features: frozenset[FeatureKey] = frozenset(("hidden_states", pair[1]) for pair in self.pairs)
        same_width = context.student.hidden == context.teacher.hidden
        #: Student layer -> projection; empty when none is needed.
        self.projections: dict[int, nn.Linear] = (
            {}
            if same_width
            else {layer: nn.Linear(context.student.hidden, context.teacher.hidden) for layer, _ in self.pairs}
        )

    def __call__(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Compare the paired hidden states.

        Args:
            student: ``hidden_states`` as ``batch x tokens x student hidden``, any float dtype.
            teacher: ``hidden_states`` as ``batch x tokens x teacher hidden``; constant.
            batch: its attention mask says which tokens count.

        Returns:
            Scalar float32, >= 0.
        """
        errors = [
            masked_mean(
                (self._projected(student[own], own[1]) - teacher[other].detach().float()).square().mean(-1),
                batch.attention_mask,
            )
            for own, other in present_pairs(self.pairs, "hidden_states", student)
        ]
        return torch.stack(errors).mean()

    def _projected(self, states: Tensor, layer: int | None) -> Tensor:
        """The student's states in the teacher's width, float32."""
        projection = self.projections.get(-1 if layer is None else layer)
        return states.float() if projection is None else projection(states.to(projection.weight.dtype)).float()

    def parameters(self) -> Iterable[nn.Parameter]:
        """The projections' weights and biases, in the order of the pairs."""
        return [parameter for projection in self.projections.values() for parameter in projection.parameters()]
