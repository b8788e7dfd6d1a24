"""Another order of the same examples: what makes a second run of an architecture a second observation.

A student that starts from the teacher entirely, and has no dropout, would score the same again to the last digit, and
the noise of a score, which decides what may be concluded from it, would look like none. Replicates read the examples
that replicate 0 reads, so that the teacher's features over them are there already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from autodistill.training.seeds import derive_seed
from autodistill.training.stream import BLOCK

if TYPE_CHECKING:
    from autodistill.training.stream import IntArray


class Stream(Protocol):
    """Training examples in an order; see `autodistill.training.stream.ExampleStream`."""

    rows: int
    seed: int

    def rows_at(self, start: int, stop: int) -> IntArray:
        """The rows at the stream's indices ``start`` to ``stop`` (excluded)."""
        ...

    def prefix(self, examples: int) -> IntArray:
        """The distinct rows among the first ``examples``, sorted."""
        ...


class ReplicateStream:
    """The first ``examples`` of a stream with their blocks in another order; beyond them, the stream as it is.

    The order is the same for all architectures, as that of replicate 0 is. Blocks stay whole, since they hold examples
    of like length.

    Args:
        stream: of replicate 0.
        examples: of the whole run, >= 1.
        replicate: >= 1.
    """

    def __init__(self, stream: Stream, examples: int, replicate: int) -> None:
        self.rows = stream.rows
        self.seed = derive_seed("replicate", stream.seed, replicate)
        self._stream, self._examples = stream, examples
        self._order: IntArray | None = None

    def rows_at(self, start: int, stop: int) -> IntArray:
        """The rows at indices ``start`` to ``stop`` (excluded)."""
        if not 0 <= start <= stop:
            raise ValueError(f"ReplicateStream.rows_at needs 0 <= start <= stop, got {start} and {stop}.")
        own = self._reordered()[start : min(stop, self._examples)]
        if stop <= self._examples:
            return own
        return np.concatenate([own, self._stream.rows_at(max(start, self._examples), stop)])

    def prefix(self, examples: int) -> IntArray:
        """The distinct rows among the first ``examples``, sorted."""
        return np.unique(self.rows_at(0, examples))

    def _reordered(self) -> IntArray:
        if self._order is None:
            rows = self._stream.rows_at(0, self._examples)
            full = len(rows) // BLOCK
            # RandomState, not Generator: only its streams are promised never to change between numpy versions (NEP 19).
            order = np.random.RandomState(self.seed).permutation(full)
            blocks = rows[: full * BLOCK].reshape(full, BLOCK)[order].reshape(-1)
            self._order = np.concatenate([blocks, rows[full * BLOCK :]])  # a short block stays last
        return self._order


def stream_of(stream: Stream, examples: int, replicate: int) -> Stream:
    """What a replicate of a run over so many examples reads."""
    return stream if replicate == 0 else ReplicateStream(stream, examples, replicate)
