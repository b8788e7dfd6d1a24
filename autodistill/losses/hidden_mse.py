"""Transfer of hidden states: each paired student layer imitates a teacher layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


class HiddenMSE:
    """Mean squared error of hidden states: ``mean_l mean_t |W_l s_lt - h_lt|^2 / width``.

    ``l`` runs over the layer pairs, ``t`` over unmasked tokens. Where the widths differ, every pair has a learned
    linear projection ``W_l`` from the student's width to the teacher's; else it is the identity
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
        self.student_features, self.teacher_features = paired_features("hidden_states", self.pairs)
        self.projections = Projections((own for own, _ in self.pairs), context.student, context.teacher)

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
            masked_mean((own - other).square().mean(-1), batch.attention_mask)
            for own, other in self.projections.paired_states(self.pairs, student, teacher)
        ]
        return mean_over_layers(errors, batch)

    def items(self, batch: Batch) -> Tensor:
        """Tokens that count: see `autodistill.components.training.DistillationLoss.items`."""
        return number_of_tokens(batch)

    def parameters(self) -> Iterable[Parameter]:
        """The projections' weights and biases, in the order of the pairs."""
        return self.projections.parameters()
