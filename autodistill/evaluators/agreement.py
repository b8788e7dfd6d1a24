"""Agreement of a student with its teacher; needs no reference labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.outcome import Described, Predictions, Score
from autodistill.components.search import Direction
from autodistill.components.task import TaskSpec
from autodistill.evaluators.scoring import checked_logits, log_probabilities, mean, proportion, teacher_logits

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Agreement:
    """How often, and how closely, the student answers as the teacher does.

    ``accuracy`` is the share of examples with the same most probable class, ``kl`` the mean KL(teacher || student)
    in nats, ``worst_class`` the lowest share of agreement among the teacher's classes: a student that has
    unlearnt a rare class shows there first. The teacher itself scores 1, 0 and 1.

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
        return None if task.kind == "classification" else f"it compares class answers, the task is {task.kind}"

    def describe(self, subject: Described) -> Mapping[str, float]:
        """Not possible.

        Raises:
            NotImplementedError: always; `before_training` is false.
        """
        raise NotImplementedError("The evaluator 'agreement' scores predictions, not architectures.")

    def score(self, predictions: Predictions) -> Mapping[str, Score]:
        """Compare predictions with the teacher's.

        Raises:
            TrialError: the model has diverged.
            ValueError: teacher and student have different classes.
        """
        student = checked_logits(predictions.logits, len(predictions.ids))
        teacher = teacher_logits(predictions)
        if student.shape != teacher.shape:
            raise ValueError(f"The student's logits have the shape {student.shape}, the teacher's {teacher.shape}.")
        answers = teacher.argmax(axis=1)
        same = student.argmax(axis=1) == answers
        expected = log_probabilities(teacher)
        # Rounding may leave a divergence of nothing just below zero.
        kl = np.maximum((np.exp(expected) * (expected - log_probabilities(student))).sum(axis=1), 0.0)
        return {"accuracy": proportion(same), "kl": mean(kl), "worst_class": self._worst_class(answers, same)}

    def _worst_class(self, answers: NDArray[np.int64], same: NDArray[np.bool_]) -> Score:
        classes, counts = np.unique(answers, return_counts=True)
        frequent = classes[counts >= min(self._min_class_examples, counts.max())]
        worst = min((proportion(same[answers == one]) for one in frequent), key=lambda score: score.value)
        return Score(worst.value, worst.variance)
