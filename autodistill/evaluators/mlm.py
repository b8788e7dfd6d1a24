"""Scores of a masked language model on the masked tokens of a held-out text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.outcome import Described, Predictions, Score
from autodistill.components.search import Direction
from autodistill.components.task import TaskSpec
from autodistill.errors import DataError
from autodistill.evaluators.measures import LOSS, SHARE, pooled_mean
from autodistill.evaluators.scoring import checked_logits, describes_nothing, rows_of

if TYPE_CHECKING:
    from autodistill.components.outcome import FloatArray


class Mlm:
    """``loss`` (nats per masked token), ``accuracy`` (share of masked tokens that are most probable) and ``perplexity``
    (e to the loss).

    A vocabulary's worth of logits for every token would not fit on a disk, so the rows of the predictions hold loss
    and correctness (see `Predictions`). The uncertainty is that of the sampling of documents: rows of one share its
    words and its difficulty.
    """

    metrics: Mapping[str, Direction] = {"accuracy": "maximize", "loss": "minimize", "perplexity": "minimize"}
    before_training = False
    needs_teacher = False

    def supports(self, task: TaskSpec) -> str | None:
        """None for a masked language model, else the reason why not."""
        return None if task.kind == "mlm" else f"it scores masked language models, the task is {task.kind}"

    def describe(self, subject: Described) -> Mapping[str, float]:
        """Not possible.

        Raises:
            NotImplementedError: always; `before_training` is false.
        """
        raise describes_nothing("mlm")

    def score(self, predictions: Predictions) -> Mapping[str, Score]:
        """Score the masked tokens of a split.

        Raises:
            DataError: no token is masked.
            TrialError: the model has diverged.
        """
        if rows_of(predictions) == 0:
            raise DataError("No token of the split is masked, so a masked language model cannot be scored on it.")
        values = checked_logits(predictions.logits, rows_of(predictions))
        rows, examples = np.arange(len(values)), len(predictions.ids)
        owners = rows if predictions.owners is None else predictions.owners
        groups = np.arange(examples) if predictions.groups is None else predictions.groups
        documents = int(groups.max()) + 1
        loss, accuracy = (
            pooled_mean(values[:, column], groups[owners], documents, counted=examples, bounds=bounds)
            for column, bounds in enumerate((LOSS, SHARE))
        )
        return {"accuracy": accuracy, "loss": loss, "perplexity": _exponential(loss)}


def _exponential(loss: Score) -> Score:
    """E to a score, its variance by the delta method."""
    value = math.exp(min(loss.value, 700.0))  # the largest float is e to 709.8
    # as a product: squaring could overflow, which floats of Python do with an error
    variance = None if loss.variance is None else value * (value * loss.variance)
    losses = loss.weighted

    def perplexity(weights: FloatArray) -> FloatArray:
        result: FloatArray = np.exp(np.minimum(losses(weights), 700.0)) if losses is not None else np.empty(0)
        return result

    return Score(value, variance, None, None if losses is None else perplexity, loss.n, loss.counted, bounds=LOSS)
