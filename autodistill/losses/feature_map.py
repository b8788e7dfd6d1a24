"""MobileBERT's feature map transfer: shape, mean and variance of hidden states."""

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


class FeatureMap:
    """Feature map transfer, three terms per layer pair and token.

    With ``s`` in the teacher's width:
    ``shape * MSE(LayerNorm(h), LayerNorm(s)) + mean * (mean(h) - mean(s))^2 + variance * |var(h) - var(s)|``,

    averaged over unmasked tokens and over the layer pairs that were run. Mean and variance are over the channels, the
    layer norm has no parameters. MobileBERT (Sun et al. 2020, arXiv 2004.02984), whose weights 100, 5000 and 5 are the
    defaults; it divides by the number of layers run, as the mean over the pairs does.

    Args:
        context: widths and layer pairs.
        weight: the trainer's factor.
        shape: factor of the layer-normalised error.
        mean: factor of the squared difference of means.
        variance: factor of the absolute difference of variances.

    Raises:
        ConfigError: no layer pair.
    """

    role: LossRole = "transfer"

    def __init__(self, context: LossContext, *, weight: float, shape: float, mean: float, variance: float) -> None:
        require_layer_pairs("feature_map", context.layer_pairs)
        self.weight = weight
        self.pairs = context.layer_pairs
        self.factors = (shape, mean, variance)
        self.student_features, self.teacher_features = paired_features("hidden_states", self.pairs)
        self.projections = Projections((own for own, _ in self.pairs), context.student, context.teacher)

    def __call__(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Compare the paired hidden states.

        Args:
            student: ``hidden_states`` as ``batch x tokens x student hidden``, any float dtype.
            teacher: ``hidden_states`` as ``batch x tokens x teacher hidden``; constant.
            batch: its attention mask says which tokens count.

        Returns:
            Scalar float32, >= 0, and 0 when student and teacher agree.
        """
        errors = [
            masked_mean(self._error(own, other), batch.attention_mask)
            for own, other in self.projections.paired_states(self.pairs, student, teacher)
        ]
        return mean_over_layers(errors, batch)

    def _error(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The three terms, per token: ``batch x tokens``."""
        shape, mean, variance = self.factors
        width = teacher.shape[-1:]
        normalised = (F.layer_norm(student, width) - F.layer_norm(teacher, width)).square().mean(-1)
        means = (student.mean(-1) - teacher.mean(-1)).square()
        variances = (student.var(-1, correction=0) - teacher.var(-1, correction=0)).abs()
        return shape * normalised + mean * means + variance * variances

    def items(self, batch: Batch) -> Tensor:
        """Tokens that count: see `autodistill.components.training.DistillationLoss.items`."""
        return number_of_tokens(batch)

    def parameters(self) -> Iterable[Parameter]:
        """The projections' weights and biases, in the order of the pairs."""
        return self.projections.parameters()
