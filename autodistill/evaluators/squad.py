"""Exact match and F1 of extractive question answering, by the rules of SQuAD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.outcome import Described, Predictions, Score
from autodistill.components.search import Direction
from autodistill.components.task import TaskSpec
from autodistill.errors import DataError, TrialError
from autodistill.evaluators.measures import SHARE, pooled_mean
from autodistill.evaluators.scoring import describes_nothing
from autodistill.evaluators.spans import Span
from autodistill.evaluators.squad_rules import question_scores

if TYPE_CHECKING:
    from autodistill.components.outcome import FloatArray


class Squad:
    """``exact_match`` and ``f1`` in [0, 1] (the literature quotes them in percent).

    The rules are those of version 2.0 where a question of the split is unanswerable or the task says so, else those of
    1.1; see `autodistill.evaluators.squad_rules`. The uncertainty is that of the sampling of paragraphs, with all
    their questions.

    Args:
        null_threshold: where questions may be unanswerable, "no answer" is given when its score is higher than the best
            span's by more than this; any number.
    """

    metrics: Mapping[str, Direction] = {"f1": "maximize", "exact_match": "maximize"}
    before_training = False
    needs_teacher = False

    def __init__(self, *, null_threshold: float) -> None:
        self._null_threshold = null_threshold

    def supports(self, task: TaskSpec) -> str | None:
        """None for question answering with answers, else the reason why not."""
        if task.kind != "question_answering":
            return f"it scores answers to questions, the task is {task.kind}"
        return "the task has no reference answers" if task.label_free else None

    def describe(self, subject: Described) -> Mapping[str, float]:
        """Not possible.

        Raises:
            NotImplementedError: always; `before_training` is false.
        """
        raise describes_nothing("squad")

    def score(self, predictions: Predictions) -> Mapping[str, Score]:
        """Score one span per question.

        Raises:
            DataError: the split has no reference answers or no contexts.
            TrialError: the model has diverged.
        """
        if predictions.labels is None or predictions.texts is None:
            raise DataError("The split has no reference answers to score against, or no contexts.")
        spans = _spans(predictions.logits)
        version_2 = has_unanswerable(predictions)
        threshold = self._null_threshold if version_2 else None
        scored = [
            question_scores(span.text(context, threshold), accepted, version_2=version_2)
            for span, context, accepted in zip(spans, predictions.texts, predictions.labels, strict=True)
        ]
        matches, overlaps = np.array(scored).T
        return {
            "f1": _over_paragraphs(overlaps, predictions.texts),
            "exact_match": _over_paragraphs(matches, predictions.texts),
        }


def _over_paragraphs(values: FloatArray, contexts: Sequence[str]) -> Score:
    """The mean over questions; those about one paragraph are no independent examples, so paragraphs are sampled."""
    paragraphs: dict[str, int] = {}
    owners = np.array([paragraphs.setdefault(context, len(paragraphs)) for context in contexts], dtype=np.int64)
    return pooled_mean(values, owners, len(paragraphs), counted=len(values), bounds=SHARE)


def has_unanswerable(predictions: Predictions) -> bool:
    """Whether the rules of version 2.0 apply."""
    stated = {"squad/1.1": False, "squad/2.0": True}.get(predictions.task.benchmark)
    return any(len(accepted) == 0 for accepted in predictions.labels or ()) if stated is None else stated


def _spans(logits: FloatArray) -> list[Span]:
    values = np.asarray(logits, dtype=np.float64)
    bad = int(np.count_nonzero(np.isnan(values).any(axis=1)))
    if bad:
        raise TrialError(f"The logits of {bad} of {len(values)} questions are not finite: the model has diverged.")
    return [Span(int(start), int(stop), score, null) for start, stop, score, null in values]
