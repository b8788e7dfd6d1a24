"""The official metrics of a GLUE task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.outcome import Described, Predictions, Score
from autodistill.components.search import Direction
from autodistill.components.task import TaskSpec
from autodistill.evaluators.classification import checked_labels
from autodistill.evaluators.glue_tasks import GLUE_METRICS, task_of
from autodistill.evaluators.measures import (
    CORRELATION,
    SHARE,
    binary_f1,
    matthews,
    pearson,
    spearman,
    weighted_score,
    worth_of,
)
from autodistill.evaluators.regression import checked_values
from autodistill.evaluators.scoring import checked_logits, describes_nothing, proportion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autodistill.components.outcome import FloatArray

#: How ids of MNLI's mismatched examples begin, where both parts are in one split.
MISMATCHED = "mismatched"


class Glue:
    """Matthews (CoLA), accuracy, F1 (MRPC, QQP), Pearson and Spearman (STS-B), matched and mismatched (MNLI).

    ``score`` is the mean of the task's metrics, which the leaderboard averages over tasks; averages and what they
    cover are in `autodistill.evaluators.glue_tasks`.
    """

    metrics: Mapping[str, Direction] = {
        "score": "maximize",
        "accuracy": "maximize",
        "f1": "maximize",
        "matthews": "maximize",
        "pearson": "maximize",
        "spearman": "maximize",
        "accuracy_mismatched": "maximize",
    }
    before_training = False
    needs_teacher = False
    #: Training examples are of the matched sort, and so is select, which is carved from them.
    final_metrics = frozenset({"accuracy_mismatched"})

    def supports(self, task: TaskSpec) -> str | None:
        """None for a task of GLUE, else the reason why not."""
        return (
            None if task_of(task.benchmark) else f"it scores tasks of GLUE, the task is {task.benchmark or task.kind}"
        )

    def metrics_of(self, task: TaskSpec) -> Mapping[str, Direction]:
        """The official metrics of the task, and ``score``."""
        names = ("score", *GLUE_METRICS.get(task_of(task.benchmark) or "", ()))
        return {name: self.metrics[name] for name in names}

    def describe(self, subject: Described) -> Mapping[str, float]:
        """Not possible.

        Raises:
            NotImplementedError: always; `before_training` is false.
        """
        raise describes_nothing("glue")

    def score(self, predictions: Predictions) -> Mapping[str, Score]:
        """Score predictions on a split with labels; mismatched examples count only where the split has some.

        Raises:
            DataError: the split has no labels, or some that cannot be.
            TrialError: the model has diverged.
        """
        logits = checked_logits(predictions.logits, len(predictions.ids))
        task = task_of(predictions.task.benchmark)
        if task == "stsb":
            values = checked_values(predictions.labels, len(logits))
            found = {"spearman": spearman(values, logits[:, 0]), "pearson": pearson(values, logits[:, 0])}
        else:
            labels = checked_labels(predictions.labels, *logits.shape)
            found = _classes(str(task), labels, logits.argmax(axis=1), predictions.ids, logits.shape[1])
        return {"score": _mean_of(list(found.values()), len(logits)), **found}


def _classes(
    task: str, labels: NDArray[np.int64], answers: NDArray[np.int64], ids: Sequence[str], classes: int
) -> dict[str, Score]:
    if task == "cola":
        return {"matthews": matthews(labels, answers, classes)}
    right = answers == labels
    if task == "mnli":
        return _matched_and_mismatched(right, np.array([str(one).startswith(MISMATCHED) for one in ids]))
    if "f1" in GLUE_METRICS[task]:
        return {"f1": binary_f1(labels, answers), "accuracy": proportion(right)}
    return {"accuracy": proportion(right)}


def _matched_and_mismatched(right: NDArray[np.bool_], mismatched: NDArray[np.bool_]) -> dict[str, Score]:
    if not mismatched.any():
        return {"accuracy": proportion(right)}
    parts = {"accuracy": ~mismatched, "accuracy_mismatched": mismatched}
    return {name: _share_of(right, part) for name, part in parts.items() if part.any()}


def _share_of(right: NDArray[np.bool_], part: NDArray[np.bool_]) -> Score:
    """Accuracy on a part of the split, as a function of the whole split's weights."""
    hits, counted = (right & part).astype(np.float64), part.astype(np.float64)

    def metric(weights: FloatArray) -> FloatArray:
        total = weights @ counted
        return np.divide(weights @ hits, total, out=np.zeros_like(total), where=total > 0)

    examples = int(part.sum())
    return replace(weighted_score(metric, len(right), SHARE, len(right) / examples), counted=examples)


def _mean_of(scores: Sequence[Score], n: int) -> Score:
    """The mean of some metrics of one split."""
    if len(scores) == 1:
        return scores[0]
    metrics = [_weighted(score) for score in scores]
    together = weighted_score(lambda weights: np.mean([metric(weights) for metric in metrics], axis=0), n)
    value = float(np.mean([score.value for score in scores]))
    ends = [score.bounds or CORRELATION for score in scores]
    # An answer about an example outside a metric's part takes nothing from it.
    shares = [1.0 if score.counted is None else score.counted / n for score in scores]
    worths = [
        worth * share for score, share in zip(scores, shares, strict=True) if (worth := worth_of(score)) is not None
    ]
    return replace(
        together,
        value=value,
        bounds=(min(low for low, _ in ends), max(high for _, high in ends)),
        worth=float(np.mean(worths)) if len(worths) == len(scores) else None,
    )


def _weighted(score: Score) -> Callable[[FloatArray], FloatArray]:
    if score.weighted is not None:
        return score.weighted
    contributions = np.asarray(score.per_example)
    return lambda weights: (weights @ contributions) / weights.sum(axis=1)
