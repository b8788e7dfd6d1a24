"""Scores of a classifier of texts against reference labels: one class per example, or several labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from autodistill.components.outcome import Described, Predictions, Score
from autodistill.components.search import Direction
from autodistill.components.task import TaskSpec
from autodistill.errors import DataError
from autodistill.evaluators.measures import LOSS, ClassCounts, many_label_f1, matthews
from autodistill.evaluators.scoring import (
    checked_logits,
    describes_nothing,
    log_probabilities,
    mean,
    proportion,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autodistill.components.outcome import FloatArray


class Classification:
    """Accuracy, F1, Matthews' coefficient and cross-entropy (nats) against reference labels, as scikit-learn has them.

    - One class per example: ``accuracy``, ``macro_f1`` (mean over the classes that occur among labels or answers),
      ``matthews``, ``loss``.
    - Several labels (an answer is every class with a probability above one half): ``accuracy`` (all labels right),
      ``micro_f1``, ``macro_f1`` (mean over all classes, one that never occurs counts 0), ``loss`` (mean over classes).
    """

    metrics: Mapping[str, Direction] = {
        "accuracy": "maximize",
        "macro_f1": "maximize",
        "micro_f1": "maximize",
        "matthews": "maximize",
        "loss": "minimize",
    }
    before_training = False
    needs_teacher = False

    def supports(self, task: TaskSpec) -> str | None:
        """None for classification with labels, be they of the test split alone, else the reason why not."""
        if task.kind != "classification":
            return f"it scores classification, the task is {task.kind}"
        if task.label_free and not task.test_labels:
            return "the task has no reference labels; use the evaluator 'agreement'"
        return None

    def metrics_of(self, task: TaskSpec) -> Mapping[str, Direction]:
        """The metrics that this task has."""
        own = "micro_f1" if task.multi_label else "matthews"
        return {name: self.metrics[name] for name in ("accuracy", "macro_f1", own, "loss")}

    def describe(self, subject: Described) -> Mapping[str, float]:
        """Not possible.

        Raises:
            NotImplementedError: always; `before_training` is false.
        """
        raise describes_nothing("classification")

    def score(self, predictions: Predictions) -> Mapping[str, Score]:
        """Score predictions on a split with labels.

        Raises:
            DataError: the split has no labels, or some that are no classes.
            TrialError: the model has diverged.
        """
        logits = checked_logits(predictions.logits, len(predictions.ids))
        if predictions.task.multi_label:
            return _several_labels(logits, _checked_decisions(predictions.labels, logits))
        labels = checked_labels(predictions.labels, *logits.shape)
        answers = logits.argmax(axis=1)
        return {
            "accuracy": proportion(answers == labels),
            "macro_f1": ClassCounts.of_classes(labels, answers, logits.shape[1]).macro_f1(absent=False),
            "matthews": matthews(labels, answers, logits.shape[1]),
            "loss": mean(cross_entropy(logits, labels), LOSS),
        }


def cross_entropy(logits: FloatArray, labels: NDArray[np.int64]) -> FloatArray:
    """Minus the log probability of each row's label, in nats."""
    values: FloatArray = -log_probabilities(logits)[np.arange(len(labels)), labels]
    return values


def _several_labels(logits: FloatArray, labels: FloatArray) -> dict[str, Score]:
    answers = logits > 0
    # -log sigmoid(x) for a label, -log sigmoid(-x) without it, without overflow
    loss = np.logaddexp(0.0, np.where(labels == 1, -logits, logits)).mean(axis=1)
    right = np.all(answers == (labels == 1), axis=1)
    return {"accuracy": proportion(right), **many_label_f1(labels, answers), "loss": mean(loss, LOSS)}


def checked_labels(labels: Any | None, rows: int, classes: int) -> NDArray[np.int64]:
    """Class ids, one per row.

    Raises:
        DataError: there are none, not one per row, or some outside 0 ... classes - 1.
    """
    array = _given(labels)
    if array.shape != (rows,):
        raise DataError(f"Labels must be one per example ({rows}), got shape {array.shape}.")
    if array.min() < 0 or array.max() >= classes:
        raise DataError(f"Labels must be in 0 ... {classes - 1}, got {array.min()} ... {array.max()}.")
    return array.astype(np.int64)


def _checked_decisions(labels: Any | None, logits: FloatArray) -> FloatArray:
    array = _given(labels)
    if array.shape != logits.shape or not np.all((array == 0) | (array == 1)):
        raise DataError(
            f"Labels must be 0 or 1 for every example and class ({logits.shape[0]} x {logits.shape[1]}), got shape "
            f"{array.shape} with values {array.min()} ... {array.max()}."
        )
    return array.astype(np.float64)


def _given(labels: Any | None) -> NDArray[Any]:
    if labels is None:
        raise DataError("The split has no labels to score against; use the evaluator 'agreement'.")
    return np.asarray(labels)
