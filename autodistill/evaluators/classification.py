"""Scores of a classifier against reference labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from autodistill.components.outcome import Described, Predictions, Score
from autodistill.components.search import Direction
from autodistill.components.task import TaskSpec
from autodistill.errors import DataError
from autodistill.evaluators.scoring import checked_logits, log_probabilities, mean, proportion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autodistill.components.outcome import FloatArray


def majority_share(labels: Any) -> float:
    """Share of the most frequent label: what a model that always gives the same answer scores.

    Args:
        labels: examples, whole numbers.

    Raises:
        ValueError: there are none.
    """
    array = np.asarray(labels)
    if array.size == 0:
        raise ValueError("majority_share needs at least one label.")
    return float(np.unique(array, return_counts=True)[1].max() / array.size)


class Classification:
    """Accuracy, macro F1 and cross-entropy (nats) against reference labels.

    ``macro_f1`` is the mean of F1 over the classes that occur among labels or answers, as scikit-learn computes it.
    Accuracy and loss are means over examples and can be compared in pairs; macro F1 is not, its variance is that of
    the delta method.
    """

    metrics: Mapping[str, Direction] = {"accuracy": "maximize", "macro_f1": "maximize", "loss": "minimize"}
    before_training = False

    def supports(self, task: TaskSpec) -> str | None:
        """None for classification with labels, else the reason why not."""
        if task.kind != "classification":
            return f"it scores classification, the task is {task.kind}"
        if task.label_free:
            return "the task has no reference labels; use the evaluator 'agreement'"
        return None

    def describe(self, subject: Described) -> Mapping[str, float]:
        """Not possible.

        Raises:
            NotImplementedError: always; `before_training` is false.
        """
        raise NotImplementedError("The evaluator 'classification' scores predictions, not architectures.")

    def score(self, predictions: Predictions) -> Mapping[str, Score]:
        """Score predictions on a split with labels.

        Raises:
            DataError: the split has no labels, or some that are no classes.
            TrialError: the model has diverged.
        """
        logits = checked_logits(predictions.logits, len(predictions.ids))
        labels = _checked_labels(predictions.labels, *logits.shape)
        answers = logits.argmax(axis=1)
        loss = -log_probabilities(logits)[np.arange(len(labels)), labels]
        f1 = macro_f1(labels, answers, logits.shape[1])
        return {"accuracy": proportion(answers == labels), "macro_f1": f1, "loss": mean(loss)}


def _checked_labels(labels: Any | None, examples: int, classes: int) -> NDArray[np.int64]:
    if labels is None:
        raise DataError("The split has no labels to score against; use the evaluator 'agreement'.")
    array = np.asarray(labels)
    if array.shape != (examples,):
        raise DataError(f"Labels must be one per example ({examples}), got shape {array.shape}.")
    if array.min() < 0 or array.max() >= classes:
        raise DataError(f"Labels must be in 0 ... {classes - 1}, got {array.min()} ... {array.max()}.")
    return array.astype(np.int64)


def macro_f1(labels: NDArray[np.int64], answers: NDArray[np.int64], classes: int) -> Score:
    """Mean F1 over the classes that occur; the variance from the influence of each example (delta method).

    F1 of a class is ``2 t / (l + a)`` with t, l, a the shares of examples where label and answer, the label, the
    answer are that class; an example changes it by ``(2 [t] - F1 ([l] + [a])) / (l + a)``.

    Args:
        labels: examples, whole numbers from 0.
        answers: examples, likewise.
        classes: how many there are.
    """
    import torch
    from torchmetrics.functional.classification import multiclass_f1_score

    each = multiclass_f1_score(torch.from_numpy(answers), torch.from_numpy(labels), classes, average=None).double()
    influence: FloatArray = np.zeros(len(labels))
    occurring = np.union1d(labels, answers)
    for one in occurring:
        is_label, is_answer = labels == one, answers == one
        hits, either = (is_label & is_answer).astype(np.float64), is_label.astype(np.float64) + is_answer
        influence += (2 * hits - float(each[one]) * either) / either.mean() / len(occurring)
    return Score(float(each[torch.from_numpy(occurring)].mean()), float(np.mean(influence**2) / len(labels)))
