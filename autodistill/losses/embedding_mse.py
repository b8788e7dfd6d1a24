"""Transfer of the embedding block's output, below all layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autodistill.losses.masking import masked_mean, number_of_tokens
from autodistill.losses.projections import Projections

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor
    from torch.nn import Parameter

    from autodistill.components.training import Batch, FeatureKey, Features, LossContext, LossRole

_KEYS: frozenset[FeatureKey] = frozenset({("embeddings", None)})


class EmbeddingMSE:
    """Mean squared error of the embedding blocks' outputs: ``mean_t |W e^s_t - e^t_t|^2 / width``.

    TinyBERT's embedding-layer distillation (Jiao et al. 2019, arXiv 1909.10351); ``W`` is a learned projection where
    the widths differ. `autodistill.losses.hidden_mse.HiddenMSE` has this term too, unless its ``embeddings`` is false.

    Args:
        context: the widths.
        weight: the trainer's factor.
    """

    role: LossRole = "transfer"
    student_features = _KEYS
    teacher_features = _KEYS

    def __init__(self, context: LossContext, *, weight: float) -> None:
        self.weight = weight
        self.projections = Projections((0,), context.student, context.teacher)

    def __call__(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Compare the embeddings.

        Args:
            student: ``embeddings`` as ``batch x tokens x student hidden``, any float dtype.
            teacher: ``embeddings`` as ``batch x tokens x teacher hidden``; constant.
            batch: its attention mask says which tokens count.

        Returns:
            Scalar float32, >= 0.
        """
        own = self.projections(student["embeddings", None], 0)
        error = (own - teacher["embeddings", None].detach().float()).square().mean(-1)
        return masked_mean(error, batch.attention_mask)

    def items(self, batch: Batch) -> Tensor:
        """Tokens that count: see `autodistill.components.training.DistillationLoss.items`."""
        return number_of_tokens(batch)

    def parameters(self) -> Iterable[Parameter]:
        """The projection's weight and bias, if there is one."""
        return self.projections.parameters()
