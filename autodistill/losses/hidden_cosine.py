"""Transfer of the direction of hidden states, whatever their size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F  # noqa: N812

from autodistill.losses.masking import (
    masked_mean,
    mean_over_layers,
    number_of_tokens,
    paired_features,
    require_layer_pairs,
)
from autodistill.losses.projections import Projections

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor
    from torch.nn import Parameter

    from autodistill.components.training import Batch, Features, LossContext, LossRole


class HiddenCosine:
    """One minus the cosine of hidden states: ``mean_l mean_t (1 - cos(W_l s_lt, h_lt))``.

    The cosine embedding loss of DistilBERT (Sanh et al. 2019, arXiv 1910.01108), there of the last layer alone; the
    projections ``W_l`` are those of `autodistill.losses.projections`.

    Args:
        context: widths and layer pairs.
        weight: the trainer's factor.
        last_only: whether only the uppermost layer pair is compared, as DistilBERT does.

    Raises:
        ConfigError: no layer pair.
    """

    role: LossRole = "transfer"

    def __init__(self, context: LossContext, *, weight: float, last_only: bool) -> None:
        require_layer_pairs("hidden_cosine", context.layer_pairs)
        self.weight = weight
        self.pairs = context.layer_pairs[-1:] if last_only else context.layer_pairs
        self.student_features, self.teacher_features = paired_features("hidden_states", self.pairs)
        self.projections = Projections((own for own, _ in self.pairs), context.student, context.teacher)

    def __call__(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Compare the paired hidden states.

        Args:
            student: ``hidden_states`` as ``batch x tokens x student hidden``, any float dtype.
            teacher: ``hidden_states`` as ``batch x tokens x teacher hidden``; constant.
            batch: its attention mask says which tokens count.

        Returns:
            Scalar float32 in [0, 2].
        """
        errors = [
            masked_mean(1 - F.cosine_similarity(own, other, dim=-1), batch.attention_mask)
            for own, other in self.projections.paired_states(self.pairs, student, teacher)
        ]
        return mean_over_layers(errors, batch)

    def items(self, batch: Batch) -> Tensor:
        """Tokens that count: see `autodistill.components.training.DistillationLoss.items`."""
        return number_of_tokens(batch)

    def parameters(self) -> Iterable[Parameter]:
        """The projections' weights and biases, in the order of the pairs."""
        return self.projections.parameters()
