"""Distillation on the outputs: the student imitates the teacher's softened distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F  # noqa: N812

from autodistill.errors import ConfigError
from autodistill.losses.masking import masked_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor
    from torch.nn import Parameter

    from autodistill.components.training import Batch, FeatureKey, Features, LossContext, LossRole

_KEYS: frozenset[FeatureKey] = frozenset({("logits", None)})


class LogitsKL:
    """KL(teacher || student) of the softened outputs, averaged over what counts.

    With temperature ``t`` both distributions are softened and the loss is scaled by ``t ** 2``, so that the size of
    its gradients hardly depends on ``t`` (Hinton, Vinyals and Dean 2015, arXiv 1503.02531). A regression has no
    distribution: there it is the mean squared error of the outputs.

    Args:
        context: both models must have as many classes.
        weight: the trainer's factor.
        temperature: > 0.

    Raises:
        ConfigError: the numbers of classes differ.
    """

    role: LossRole = "prediction"
    student_features = _KEYS
    teacher_features = _KEYS

    def __init__(self, context: LossContext, *, weight: float, temperature: float) -> None:
        if context.student.classes != context.teacher.classes:
            raise ConfigError(
                f"loss.logits_kl needs as many student outputs as teacher outputs, got {context.student.classes} and "
                f"{context.teacher.classes}. Use a teacher with a head for this task, or the loss 'hidden_mse'."
            )
        self.weight = weight
        self.temperature = temperature
        self._regression = context.task.kind == "regression"

    def __call__(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Compare the outputs.

        Args:
            student: ``logits`` as ``batch x classes`` or ``batch x tokens x classes``, any float dtype.
            teacher: the same shape; constant.
            batch: its attention mask says which tokens count.

        Returns:
            Scalar float32, >= 0, and 0 when student and teacher agree.
        """
        student_logits = student["logits", None].float()
        teacher_logits = teacher["logits", None].detach().float()
        divergence = self._divergence(student_logits, teacher_logits)
        if divergence.dim() == 1:
            return divergence.mean()
        return masked_mean(divergence, batch.attention_mask)

    def _divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Divergence per item: the shape of the logits without the last dimension."""
        if self._regression:
            return (student - teacher).square().mean(-1)
        student_log = F.log_softmax(student / self.temperature, dim=-1)
        teacher_log = F.log_softmax(teacher / self.temperature, dim=-1)
        divergence = F.kl_div(student_log, teacher_log, reduction="none", log_target=True)
        return divergence.sum(-1) * self.temperature**2

    def parameters(self) -> Iterable[Parameter]:
        """No parameters of its own."""
        return ()
