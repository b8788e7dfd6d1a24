"""Agreement of a student with its teacher; needs no reference labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.outcome import Described, Predictions, Score
from autodistill.components.search import Direction
from autodistill.components.task import TaskSpec
from autodistill.evaluators.measures import LOSS, SHARE, by_owner, pooled_mean
from autodistill.evaluators.scoring import (
    checked_logits,
    describes_nothing,
    log_probabilities,
    mean,
    proportion,
    rows_of,
    teacher_logits,
)

if TYPE_CHECKING:
    from autodistill.components.outcome import FloatArray


class Agreement:
    """How often, and how closely, the student answers as the teacher does.

    ``accuracy`` is the share of examples with the same most probable class, ``kl`` the mean KL(teacher || student)
    in nats, ``worst_class`` the lowest share of agreement among the teacher's classes: a student that has
    unlearnt a rare class shows there first. The least of many shares is low by chance too; its interval says how much.
    The teacher itself scores 1, 0 and 1.

    With several labels per example, all decisions must be the same, ``kl`` is summed over the labels, and the worst
    class is that of which the teacher's positive answers are shared least. With a class per word, words are counted,
    and the uncertainty is that of sentences.

    Args:
        min_class_examples: classes that the teacher answers less often are left out of ``worst_class``, unless all
            of them are; >= 1.
    """

    metrics: Mapping[str, Direction] = {"accuracy": "maximize", "kl": "minimize", "worst_class": "maximize"}
    before_training = False

    def __init__(self, *, min_class_examples: int) -> None:
        self._min_class_examples = min_class_examples

    def supports(self, task: TaskSpec) -> str | None:
        """None for classification, with or without labels, else the reason why not."""
        possible = task.kind in ("classification", "token_classification")
        return None if possible else f"it compares class answers, the task is {task.kind}"

    def describe(self, subject: Described) -> Mapping[str, float]:
        """Not possible.

        Raises:
            NotImplementedError: always; `before_training` is false.
        """
        raise describes_nothing("agreement")

    def score(self, predictions: Predictions) -> Mapping[str, Score]:
        """Compare predictions with the teacher's.

        Raises:
            TrialError: the model has diverged.
            ValueError: teacher and student have different classes.
        """
        student = checked_logits(predictions.logits, rows_of(predictions))
        teacher = teacher_logits(predictions)
        if student.shape != teacher.shape:
            raise ValueError(f"The student's logits have the shape {student.shape}, the teacher's {teacher.shape}.")
        if predictions.task.multi_label:
            same, kl = np.all((student > 0) == (teacher > 0), axis=1), _bernoulli_kl(teacher, student)
            shared, positive = (student > 0) & (teacher > 0), teacher > 0
            answered, agreed = positive, shared
        else:
            answers = teacher.argmax(axis=1)
            same, kl = student.argmax(axis=1) == answers, _kl(teacher, student)
            answered = answers[:, None] == np.arange(teacher.shape[1])
            agreed = answered & same[:, None]
        owners, examples = predictions.owners, len(predictions.ids)
        worst = self._worst(by_owner(answered, owners, examples), by_owner(agreed, owners, examples))
        if owners is None:
            return {"accuracy": proportion(same), "kl": mean(kl, LOSS), "worst_class": worst}
        return {
            "accuracy": pooled_mean(same.astype(np.float64), owners, examples, bounds=SHARE),
            "kl": pooled_mean(kl, owners, examples, bounds=LOSS),
            "worst_class": worst,
        }

    def _worst(self, answered: FloatArray, agreed: FloatArray) -> Score:
        """The lowest share among the frequent classes; 1 when the teacher never answers anything.

        Args:
            answered: examples x classes: how often the teacher answers so.
            agreed: the same, of these the student's too.
        """
        counts = answered.sum(axis=0)
        if counts.max(initial=0) == 0:
            return Score(1.0, 0.0, counted=0)
        frequent = counts >= max(1, min(self._min_class_examples, int(counts.max())))
        answered, agreed = answered[:, frequent], agreed[:, frequent]

        def metric(weights: FloatArray) -> FloatArray:
            total = weights @ answered
            # A class that a resample does not hold is not the worst of it.
            lowest: FloatArray = np.divide(weights @ agreed, total, out=np.ones_like(total), where=total > 0).min(
                axis=1
            )
            return lowest

        shares, numbers = agreed.sum(axis=0) / answered.sum(axis=0), answered.sum(axis=0)
        lowest = int(shares.argmin())
        share, independent = float(shares[lowest]), _independent(shares, answered, agreed)
        variance = share * (1 - share) / float(independent[lowest])
        return Score(share, variance, None, metric, len(answered), int(numbers[lowest]), least_of=(shares, independent))


def _independent(shares: FloatArray, answered: FloatArray, agreed: FloatArray) -> FloatArray:
    """How many independent answers each class's share is worth: fewer than there are where examples hold several.

    By the ratio of a ratio's variance over examples to that of a share of independent answers.
    """
    numbers = answered.sum(axis=0)
    variances = ((agreed - shares * answered) ** 2).sum(axis=0) / numbers**2
    plain = shares * (1 - shares) / numbers
    found: FloatArray = numbers / np.maximum(1.0, np.divide(variances, plain, out=np.ones_like(plain), where=plain > 0))
    return found


def _kl(teacher: FloatArray, student: FloatArray) -> FloatArray:
    """KL(teacher || student) per row in nats."""
    expected = log_probabilities(teacher)
    # Rounding may leave a divergence of nothing just below zero.
    values: FloatArray = np.maximum((np.exp(expected) * (expected - log_probabilities(student))).sum(axis=1), 0.0)
    return values


def _bernoulli_kl(teacher: FloatArray, student: FloatArray) -> FloatArray:
    """The sum over labels of KL between the two answers' probabilities of yes and no."""
    total = np.zeros(len(teacher))
    for sign in (-1.0, 1.0):
        expected, given = -np.logaddexp(0.0, sign * teacher), -np.logaddexp(0.0, sign * student)
        total += (np.exp(expected) * (expected - given)).sum(axis=1)
    values: FloatArray = np.maximum(total, 0.0)
    return values
