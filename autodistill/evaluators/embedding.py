"""How alike a student's and its teacher's sentence embeddings are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.outcome import Described, Predictions, Score
from autodistill.components.search import Direction
from autodistill.components.task import TaskSpec
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
        cosine = mean((student * teacher).sum(axis=1)) if same_width else Score(float("nan"))
        return {"retrieval": mean(self._shared(student, teacher)), "cosine": cosine}

    def _shared(self, student: FloatArray, teacher: FloatArray) -> FloatArray:
        """Share of common neighbours of each text; 1 for a single text, which has none."""
        count = min(self._neighbours, len(student) - 1)
        if count == 0:
            return np.ones(1)
        pairs = zip(_nearest(student, count), _nearest(teacher, count), strict=True)
        found = [
            np.isin(mine, theirs).mean() for ours, others in pairs for mine, theirs in zip(ours, others, strict=True)
        ]
        return np.array(found)


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
