"""Distillation on the outputs: the student imitates the teacher's softened distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autodistill.errors import ConfigError
from autodistill.losses.divergences import divergence, log_classes, log_spans, log_switches
from autodistill.losses.masking import TOKEN_KINDS, counted_tokens, number_of_answers
from autodistill.training.softened import LOGITS, logits_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor
    from torch.nn import Parameter

    from autodistill.components.students import Dimensions
    from autodistill.components.task import TaskSpec
    from autodistill.components.training import Batch, FeatureKey, Features, LossContext, LossRole

#: Kinds of task whose outputs are values, not scores of a distribution.
VALUES = ("regression", "embedding")


class LogitsKL:
    """Divergence of the softened outputs: ``T^2 mean_i D(softmax(z^t_i / T), softmax(z^s_i / T))``.

    ``i`` runs over examples, or over the tokens that count where every token has its own answer. The factor ``T^2``
    keeps the size of the gradients hardly dependent on ``T`` (Hinton, Vinyals and Dean 2015, arXiv 1503.02531).
    ``D`` is one of `autodistill.losses.divergences.divergence`. Where several classes may hold at once, ``D`` is the
    mean over the classes' yes-or-no distributions; for answer spans, the mean over start and end, each a distribution
    over tokens. A regression and a sentence embedding are no
    distributions: there it is the mean squared error of the outputs.

    Args:
        context: both models must have as many classes.
        weight: the trainer's factor.
        temperature: ``T`` > 0.
        divergence: forward, reverse, symmetric or jsd.
        beta: share of the teacher in jsd's mixture, in (0, 1).

    Raises:
        ConfigError: the numbers of classes differ.
    """

    role: LossRole = "prediction"

    def __init__(
        self, context: LossContext, *, weight: float, temperature: float, divergence: str, beta: float
    ) -> None:
        outputs = _outputs(context.student, context.task), _outputs(context.teacher, context.task)
        if outputs[0] != outputs[1]:
            raise ConfigError(
                f"loss.logits_kl needs as many student outputs as teacher outputs, got {outputs[0]} and {outputs[1]}. "
                "Use a teacher with a head for this task, or the loss 'hidden_mse'."
            )
        self.weight = weight
        self.temperature = temperature
        self.divergence = divergence
        self.beta = beta
        self._task = context.task
        # Of a masked language model the masked tokens alone: whole vocabularies of all tokens would take most of a
        # step's memory. What is cached for a temperature has the name of whole logits.
        self._own = logits_of(context.task.kind)
        self._other = self._own if temperature == 1 else LOGITS
        self.student_features: frozenset[FeatureKey] = frozenset({self._own})
        self.teacher_features: frozenset[FeatureKey] = frozenset({self._other})

    def __call__(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Compare the outputs.

        Args:
            student: ``logits`` as ``batch x classes`` or ``batch x tokens x classes``, any float dtype; of a masked
                language model ``masked_logits``, ``masked x vocabulary``.
            teacher: the same; constant; at another temperature than 1 always ``logits``.
            batch: its attention mask and labels say which tokens count.

        Returns:
            Scalar float32, >= 0, and 0 when student and teacher agree.
        """
        own, other = student[self._own], teacher[self._other].detach()
        if self._task.kind in TOKEN_KINDS:
            counted = counted_tokens(batch)
            own, other = (each[counted] if each.dim() > 2 else each for each in (own, other))
        values = self._divergence(own.float(), other.float(), batch)
        return values.sum() / max(1, values.numel())

    def _divergence(self, student: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
        """Divergence per item; their mean is the loss."""
        if self._task.kind in VALUES:
            return (student - teacher).square()
        student, teacher = student / self.temperature, teacher / self.temperature
        if self._task.kind == "question_answering":
            mask = batch.attention_mask
            logs = log_spans(teacher, mask), log_spans(student, mask)
        elif self._task.multi_label:
            logs = log_switches(teacher), log_switches(student)
        else:
            logs = log_classes(teacher), log_classes(student)
        return divergence(self.divergence, *logs, self.beta) * self.temperature**2

    def items(self, batch: Batch) -> Tensor:
        """Answers: see `autodistill.components.training.DistillationLoss.items`."""
        return number_of_answers(batch, self._task.kind)

    def parameters(self) -> Iterable[Parameter]:
        """No parameters of its own."""
        return ()


def _outputs(size: Dimensions, task: TaskSpec) -> int:
    """Width of the outputs; 0 where they are over the vocabulary, which student and teacher share."""
    if task.kind == "mlm":
        return 0
    return size.hidden if task.kind == "embedding" else size.classes
