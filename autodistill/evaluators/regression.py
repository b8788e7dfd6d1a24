"""Scores of a regression against reference values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from autodistill.components.outcome import Described, Predictions, Score
from autodistill.components.search import Direction
from autodistill.components.task import TaskSpec
from autodistill.errors import DataError
from autodistill.evaluators.measures import LOSS, pearson, spearman
from autodistill.evaluators.scoring import checked_logits, describes_nothing, mean

if TYPE_CHECKING:
    from autodistill.components.outcome import FloatArray


class Regression:
    """Pearson's and Spearman's correlation (0 for constant answers), mean squared and mean absolute error."""

    metrics: Mapping[str, Direction] = {
        "spearman": "maximize",
        "pearson": "maximize",
        "mse": "minimize",
        "mae": "minimize",
    }
    before_training = False
    needs_teacher = False

    def supports(self, task: TaskSpec) -> str | None:
        """None for a regression with reference values, else the reason why not."""
        if task.kind != "regression":
            return f"it scores regression, the task is {task.kind}"
        return "the task has no reference values" if task.label_free else None

    def describe(self, subject: Described) -> Mapping[str, float]:
        """Not possible.

        Raises:
            NotImplementedError: always; `before_training` is false.
        """
        raise describes_nothing("regression")

    def score(self, predictions: Predictions) -> Mapping[str, Score]:
        """Score predictions on a split with reference values.

        Raises:
            DataError: the split has none, or some that are not finite.
            TrialError: the model has diverged.
        """
        answers = checked_logits(predictions.logits, len(predictions.ids))[:, 0]
        values = checked_values(predictions.labels, len(answers))
        errors = answers - values
        return {
            "spearman": spearman(values, answers),
            "pearson": pearson(values, answers),
            "mse": mean(errors**2, LOSS),
            "mae": mean(np.abs(errors), LOSS),
        }


def checked_values(labels: Any | None, examples: int) -> FloatArray:
    """Reference values, one per example, float64.

    Raises:
        DataError: there are none, not one per example, or some that are not finite.
    """
    if labels is None:
        raise DataError("The split has no reference values to score against.")
    values = np.asarray(labels, dtype=np.float64)
    if values.shape != (examples,) or not np.all(np.isfinite(values)):
        raise DataError(f"Reference values must be one finite number per example ({examples}), got {values.shape}.")
    return values
