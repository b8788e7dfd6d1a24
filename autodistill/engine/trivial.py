"""The trivial answer: what a model can score at best that gives every example the same answer.

Each metric has its own best constant: the most frequent class for the accuracy, the positive one for F1, the
frequencies of the classes for a loss. A model that is not better than it has learnt nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, logit, softmax

from autodistill.components.outcome import Predictions
from autodistill.engine.scores import score_all

if TYPE_CHECKING:
    from autodistill.components.outcome import FloatArray
    from autodistill.engine.workbench import Workbench

#: Classes, or sets of labels, that are tried as the constant answer: the most frequent ones.
MOST_ANSWERS = 20

#: Probability of what never occurs; its logarithm must stay finite.
FLOOR = 1e-6


def trivial_scores(bench: Workbench, predictions: Predictions) -> dict[str, float]:
    """Metric -> its value for the constant answer that is best by this metric.

    Args:
        bench: says how answers are scored, and which direction is better.
        predictions: of any model on the split; of a label-free task those of the teacher.
    """
    constants = constant_predictions(predictions)
    scored = [{name: score.value for name, score in score_all(bench, constant).items()} for constant in constants]
    return best_of(scored, bench.directions)


def best_of(scored: Sequence[Mapping[str, float]], directions: Mapping[str, str]) -> dict[str, float]:
    """Metric -> the best of its values; NaN where there is no other."""
    found: dict[str, float] = {}
    for name in scored[0]:
        sign = 1.0 if directions[name] == "maximize" else -1.0
        values = [one[name] for one in scored if not math.isnan(one[name])]
        found[name] = max(values, key=lambda value: sign * value) if values else math.nan
    return found


def constant_predictions(predictions: Predictions) -> Iterator[Predictions]:
    """Predictions that say the same of every example, one after the other.

    A class each, then the frequencies of the classes; sets of labels, then their frequencies; mean and median; the
    frequencies of the masked tokens; no answer to any question; one embedding for all texts. What is frequent is
    counted among the labels and among the teacher's answers, which some metrics are of.
    """
    teacher = predictions.logits if predictions.teacher_logits is None else predictions.teacher_logits
    for logits in _constant_logits(predictions, np.asarray(teacher)):
        yield replace(predictions, logits=logits, teacher_logits=teacher)


def _constant_logits(predictions: Predictions, teacher: FloatArray) -> Iterator[Any]:
    task, given, labels = predictions.task, np.asarray(predictions.logits), predictions.labels
    if task.kind in ("classification", "token_classification"):
        answers = _label_sets(labels, teacher) if task.multi_label else _classes(labels, teacher)
        yield from (np.broadcast_to(answer, given.shape) for answer in answers)
    elif task.kind == "mlm" and labels is not None:
        counts = np.bincount(np.asarray(labels))
        yield np.stack([-np.log(counts[labels] / len(labels)), labels == counts.argmax()], axis=1)
    elif task.kind == "question_answering":
        nothing = np.zeros_like(given)
        nothing[:, 2] = -np.inf
        yield nothing
    else:
        truth = given if labels is None else np.asarray(labels).reshape(len(given), -1)
        for middle in (np.mean, np.median):
            yield np.broadcast_to(middle(truth, axis=0), given.shape)


def _classes(labels: Any | None, teacher: FloatArray) -> Iterator[FloatArray]:
    """Logits of a class each, then those of the frequencies; by labels and by the teacher's answers."""
    classes = teacher.shape[1]
    truths = [teacher.argmax(axis=1), *([] if labels is None else [np.asarray(labels)])]
    counts = [np.bincount(truth, minlength=classes) for truth in truths]
    frequent = {int(one) for count in counts for one in np.argsort(-count, kind="stable")[:MOST_ANSWERS]}
    yield from (np.eye(classes)[one] for one in sorted(frequent))
    yield from (np.log(np.maximum(count / count.sum(), FLOOR)) for count in counts)
    yield np.log(np.maximum(softmax(teacher, axis=1).mean(axis=0), FLOOR))


def _label_sets(labels: Any | None, teacher: FloatArray) -> Iterator[FloatArray]:
    """Logits of sets of labels, then those of the frequencies; by labels and by the teacher's answers."""
    for truth in (teacher > 0, *([] if labels is None else [np.asarray(labels) > 0])):
        shares = truth.mean(axis=0)
        order = np.argsort(-shares, kind="stable")
        for size in range(min(len(order), MOST_ANSWERS) + 1):  # the best set for F1 is of the most frequent labels
            yield np.where(np.isin(np.arange(len(order)), order[:size]), 1.0, -1.0)
        sets, counts = np.unique(truth, axis=0, return_counts=True)
        yield from np.where(sets[np.argsort(-counts, kind="stable")[:MOST_ANSWERS]], 1.0, -1.0)
        yield logit(np.clip(shares, FLOOR, 1 - FLOOR))
    yield logit(np.clip(expit(teacher).mean(axis=0), FLOOR, 1 - FLOOR))
