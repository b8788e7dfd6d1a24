"""How alike a student's and its teacher's sentence embeddings are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.outcome import Described, Predictions, Score
from autodistill.components.search import Direction
from autodistill.components.task import TaskSpec
from autodistill.evaluators.measures import CORRELATION, SHARE
from autodistill.evaluators.scoring import checked_logits, describes_nothing, mean, teacher_logits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from autodistill.components.outcome import FloatArray

#: Numbers that a block of similarities may hold, 8 bytes each.
_BLOCK = 4_000_000


class Embedding:
    """``cosine`` (mean cosine of the student's and the teacher's embedding of a text) and ``retrieval`` (share of the
    teacher's ``neighbours`` nearest texts that are among the student's, the text itself left out).

    Retrieval needs no common width; ``cosine`` does, and is NaN where widths differ.

    Args:
        neighbours: nearest texts that are compared, >= 1; at most all others.
    """

    metrics: Mapping[str, Direction] = {"retrieval": "maximize", "cosine": "maximize"}
    before_training = False

    def __init__(self, *, neighbours: int) -> None:
        self._neighbours = neighbours

    def supports(self, task: TaskSpec) -> str | None:
        """None for sentence embeddings, else the reason why not."""
        return None if task.kind == "embedding" else f"it compares sentence embeddings, the task is {task.kind}"

    def describe(self, subject: Described) -> Mapping[str, float]:
        """Not possible.

        Raises:
            NotImplementedError: always; `before_training` is false.
        """
        raise describes_nothing("embedding")

    def score(self, predictions: Predictions) -> Mapping[str, Score]:
        """Compare embeddings of the same texts.

        Raises:
            TrialError: the model has diverged.
        """
        student = _unit(checked_logits(predictions.logits, len(predictions.ids)))
        teacher = _unit(teacher_logits(predictions))
        same_width = student.shape == teacher.shape
        cosine = mean((student * teacher).sum(axis=1), CORRELATION) if same_width else Score(float("nan"))
        return {"retrieval": mean(self._contributions(student, teacher), SHARE), "cosine": cosine}

    def _contributions(self, student: FloatArray, teacher: FloatArray) -> FloatArray:
        """What each text adds to the share of common neighbours, which is their mean; 1 for a single text.

        A text counts twice: by its own share, and as a neighbour of others. The shares alone are not independent, and
        intervals of their mean were far too narrow. So the hits that a text is to others are added, less what the
        texts in its place would be, the mean share of the places that it takes: the influence of a text on the mean
        to first order.
        """
        texts, count = len(student), min(self._neighbours, len(student) - 1)
        if count == 0:
            return np.ones(1)
        rows: list[FloatArray] = []
        hits, places = np.zeros(texts), np.zeros(texts)
        for ours, theirs in zip(_nearest(student, count), _nearest(teacher, count), strict=True):
            among_theirs = np.zeros((len(ours), texts), dtype=np.bool_)
            np.put_along_axis(among_theirs, theirs, True, axis=1)
            common = np.take_along_axis(among_theirs, ours, axis=1)
            rows.append(common.mean(axis=1))
            hits += np.bincount(ours[common], minlength=texts)
            places += np.bincount(ours.ravel(), minlength=texts) + np.bincount(theirs.ravel(), minlength=texts)
        shares = np.concatenate(rows)
        found: FloatArray = shares + (hits - shares.mean() * places / 2) / count
        return found


def _unit(vectors: FloatArray) -> FloatArray:
    """Vectors of length 1; a vector of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: FloatArray = vectors / np.where(lengths > 0, lengths, 1.0)
    return result


def _nearest(vectors: FloatArray, count: int) -> Iterator[NDArray[np.int64]]:
    """Places of the nearest other vectors by cosine, block by block; of equally near ones the first."""
    block = max(1, _BLOCK // len(vectors))
    for start in range(0, len(vectors), block):
        likeness = vectors[start : start + block] @ vectors.T
        rows = np.arange(len(likeness))
        likeness[rows, start + rows] = -np.inf
        yield np.argsort(-likeness, axis=1, kind="stable")[:, :count]
