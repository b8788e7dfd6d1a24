"""Sets of row numbers that are small however many rows there are: what a run reads of a corpus, for whoever asks.

Row numbers of a corpus of ten gigabytes, in ten maskings, would fill gigabytes themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    IntArray: TypeAlias = "NDArray[np.int64]"

#: Row numbers that are in memory at a time: 2 MB.
PIECE = 2**18


def _none() -> NDArray[np.bool_]:
    return np.empty(0, dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class RowSet:
    """All row numbers below a bound, and some of the next ones: one byte for each of these.

    Args:
        whole: rows ``0`` to ``whole`` (excluded) are in the set.
        more: ``rows``: whether row ``whole + index`` is in it, too.
    """

    whole: int
    more: NDArray[np.bool_] = field(default_factory=_none)

    @classmethod
    def of(cls, rows: NDArray[np.integer[Any]]) -> RowSet:
        """The set of these rows, in any order; repetitions do no harm."""
        more = np.zeros(int(rows.max(initial=-1)) + 1, dtype=np.bool_)
        more[rows] = True
        return cls(0, more)

    def __len__(self) -> int:
        return self.whole + int(np.count_nonzero(self.more))

    def pieces(self) -> Iterator[IntArray]:
        """The row numbers, rising, int64, some at a time."""
        for start in range(0, self.whole, PIECE):
            yield np.arange(start, min(start + PIECE, self.whole), dtype=np.int64)
        for start in range(0, len(self.more), PIECE):
            yield np.flatnonzero(self.more[start : start + PIECE]).astype(np.int64) + (self.whole + start)

    def numbers(self) -> IntArray:
        """The row numbers, rising, int64: eight bytes a row."""
        numbers, at = np.empty(len(self), dtype=np.int64), 0
        for piece in self.pieces():
            numbers[at : at + len(piece)] = piece
            at += len(piece)
        return numbers
