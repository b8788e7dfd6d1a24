"""From the logits of windows to one answer per question: n-best decoding, as in BERT's run_squad.py (Devlin et al.
2019, arXiv 1810.04805), but that every window may answer with any of its tokens (run_squad.py lets a token begin an
answer only in the window where most of its context stands), and that the best starts and ends are taken among the
context's tokens (there among all, of which those of the question are left out afterwards). Pure functions; how windows
are cut is known to `autodistill.training.encoding`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autodistill.components.outcome import FloatArray

#: Starts and ends that are combined, and tokens of an answer at most: run_squad.py's defaults.
BEST, LONGEST = 20, 30


@dataclass(frozen=True, slots=True)
class Span:
    """An answer in its context.

    Args:
        start: first character.
        stop: last character, excluded; start = stop = 0: no span could be an answer.
        score: start logit + end logit; -inf without a span.
        null: the lowest score of "no answer" over the question's windows (both logits of the first token).
    """

    start: int
    stop: int
    score: float
    null: float

    def text(self, context: str, null_threshold: float | None) -> str:
        """The answer; empty where "no answer" scores more than ``null_threshold`` above it (None: never)."""
        if null_threshold is not None and self.null - self.score > null_threshold:
            return ""
        return context[self.start : self.stop]


def best_span(
    windows: Iterable[tuple[FloatArray, Sequence[tuple[int, int]] | NDArray[Any]]],
    *,
    best: int = BEST,
    longest: int = LONGEST,
) -> Span:
    """The best span over the windows of a question.

    A span starts and ends at tokens of the context, in one window, does not end before it starts and has at most
    ``longest`` tokens; of equal scores the first window, then the higher start logit, then the earlier token wins.

    Args:
        windows: of each window, its logits (tokens x 2: start, end) and the characters of its tokens (first, last
            excluded; -1 outside the context). Where some logits are not finite, so are both scores of the span: NaN.
        best: starts and ends of a window that are combined, >= 1.
        longest: tokens of an answer, >= 1.
    """
    found, null = (0, 0, -np.inf), np.inf
    for logits, places in windows:
        values, characters = np.asarray(logits, dtype=np.float64), np.asarray(places)
        if not np.isfinite(values).all():  # whatever other windows say: the model has diverged
            return Span(0, 0, score=np.nan, null=np.nan)
        null = min(null, float(values[0].sum()))
        allowed = np.flatnonzero(characters[: len(values), 0] >= 0)
        if not len(allowed):
            continue
        starts, ends = (allowed[np.argsort(-values[allowed, side], kind="stable")[:best]] for side in (0, 1))
        scores = values[starts, 0][:, None] + values[ends, 1][None, :]
        lengths = ends[None, :] - starts[:, None] + 1
        scores[(lengths < 1) | (lengths > longest)] = -np.inf
        row, column = np.unravel_index(int(scores.argmax()), scores.shape)
        if scores[row, column] > found[2]:
            start, stop = int(characters[starts[row], 0]), int(characters[ends[column], 1])
            found = (start, stop, float(scores[row, column]))
    return Span(*found, null=null)
