"""What evaluators share: checked logits, log probabilities, and scores with their variances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_softmax

from autodistill.components.outcome import Predictions, Score
from autodistill.errors import TrialError
from autodistill.evaluators.measures import SHARE

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from autodistill.components.outcome import FloatArray


def rows_of(predictions: Predictions) -> int:
    """How many rows the predictions have: examples, or what belongs to them (words, masked tokens)."""
    return len(predictions.ids) if predictions.owners is None else len(predictions.owners)


def checked_logits(logits: Any, examples: int) -> FloatArray:
    """``logits`` as ``examples x classes`` float64; rows of another kind count as examples here.

    Raises:
        TrialError: some are NaN or infinite, so the model has diverged.
        ValueError: another shape, or no examples.
    """
    array = np.asarray(logits, dtype=np.float64)
    if array.ndim != 2 or len(array) != examples or examples == 0:
        raise ValueError(f"Logits must be examples x classes with {examples} > 0 examples, got shape {array.shape}.")
    bad = int(np.count_nonzero(~np.isfinite(array).all(axis=1)))
    if bad:
        raise TrialError(f"The logits of {bad} of {examples} examples are not finite: the model has diverged.")
    return array


def teacher_logits(predictions: Predictions) -> FloatArray:
    """The teacher's logits; the model's own when it is the teacher."""
    logits = predictions.logits if predictions.teacher_logits is None else predictions.teacher_logits
    return checked_logits(logits, rows_of(predictions))


def log_probabilities(logits: FloatArray) -> FloatArray:
    """Log of the softmax over classes, stable for large logits."""
    result: FloatArray = log_softmax(logits, axis=1)
    return result


def describes_nothing(name: str) -> NotImplementedError:
    """What `describe` of an evaluator of predictions raises."""
    return NotImplementedError(f"The evaluator {name!r} scores predictions, not architectures.")


def proportion(correct: NDArray[np.bool_]) -> Score:
    """The share of true values; its variance is p (1 - p) / n."""
    value = float(correct.mean())
    return Score(value, value * (1 - value) / len(correct), correct.astype(np.float64), bounds=SHARE)


def mean(values: FloatArray, bounds: tuple[float, float] | None = None) -> Score:
    """The mean of per-example values; the variance is unknown for a single example."""
    variance = float(values.var(ddof=1) / len(values)) if len(values) > 1 else None
    return Score(float(values.mean()), variance, values, bounds=bounds)
