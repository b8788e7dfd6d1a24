"""Another order of the same examples: what makes a second run of an architecture a second observation.

A student that starts from the teacher entirely, and has no dropout, would score the same again to the last digit, and
the noise of a score, which decides what may be concluded from it, would look like none. Replicates read the examples
that replicate 0 reads, so that the teacher's features over them are there already.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import numpy as np

from autodistill.training.seeds import derive_seed
from autodistill.training.stream import BLOCK

if TYPE_CHECKING:
    from autodistill.training.stream import IntArray

#: Examples that are reordered among each other: 2 MB of row numbers.
PIECE = 2**18


class Stream(Protocol):
    """Training examples in an order; see `autodistill.training.stream.ExampleStream`."""

    rows: int
    seed: int

    def rows_at(self, start: int, stop: int) -> IntArray:
        """The rows at the stream's indices ``start`` to ``stop`` (excluded)."""
        ...


class ReplicateStream:
    """A stream with the blocks of each of its parts in another order; beyond the last part, the stream as it is.

    The order is the same for all architectures, as that of replicate 0 is. Blocks stay whole, since they hold examples
    of like length. Long parts are reordered piece by piece, so that memory does not grow with the recipe.

    Args:
        stream: of replicate 0.
        ends: where parts end, rising: a run over the first part reads what replicate 0 would read of it, and so on.
        replicate: >= 1.
    """

    def __init__(self, stream: Stream, ends: Sequence[int], replicate: int) -> None:
        self.rows = stream.rows
        self.seed = derive_seed("replicate", stream.seed, replicate)
        self._stream, self._ends = stream, tuple(ends)
        self._piece: tuple[int, IntArray] = (-1, np.empty(0, dtype=np.int64))

    def rows_at(self, start: int, stop: int) -> IntArray:
        """The rows at indices ``start`` to ``stop`` (excluded)."""
        if not 0 <= start <= stop:
            raise ValueError(f"ReplicateStream.rows_at needs 0 <= start <= stop, got {start} and {stop}.")
        found = [np.empty(0, dtype=np.int64)]
        while start < stop:
            first, last = self._borders(start, stop)
            rows = self._reordered(first, last) if first < self._ends[-1] else self._stream.rows_at(first, last)
            found.append(rows[start - first : stop - first])
            start = min(stop, last)
        return np.concatenate(found)

    def _borders(self, index: int, stop: int) -> tuple[int, int]:
        """Where the piece begins and ends that an index lies in; beyond the last part, from there to ``stop``."""
        for start, end in pairwise([0, *self._ends]):
            if index < end:
                first = start + (index - start) // PIECE * PIECE
                return first, min(first + PIECE, end)
        return index, stop

    def _reordered(self, first: int, last: int) -> IntArray:
        """The blocks of a piece in their own order; the last piece asked for is kept."""
        if self._piece[0] != first:
            # RandomState, not Generator: only its streams are promised never to change between numpy versions (NEP 19).
            generator = np.random.RandomState(derive_seed("piece", self.seed, first))
            self._piece = first, _shuffled(self._stream.rows_at(first, last), -first % BLOCK, generator)
        return self._piece[1]


def _shuffled(rows: IntArray, lead: int, generator: np.random.RandomState) -> IntArray:
    """Blocks in another order; a short one stays last, and the rest of one that began before them first."""
    full = max(0, len(rows) - lead) // BLOCK
    end = lead + full * BLOCK
    blocks = rows[lead:end].reshape(full, BLOCK)[generator.permutation(full)]
    return np.concatenate([rows[:lead], blocks.reshape(-1), rows[end:]])


def stream_of(stream: Stream, ends: Sequence[int], replicate: int) -> Stream:
    """What a replicate reads; see `ReplicateStream`."""
    return stream if replicate == 0 else ReplicateStream(stream, ends, replicate)
