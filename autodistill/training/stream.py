"""The stream of training examples: a pure function of (rows, lengths, copies, seed, index)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from autodistill.training.seeds import derive_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    IntArray: TypeAlias = "NDArray[np.int64]"


#: Examples among which neighbours of like length are brought together: small beside an epoch, so that what a run reads
#: early does not depend on length, and large beside a batch, so that little is padded.
WINDOW = 512

#: Neighbours of like length; the blocks of a window stand in random order, so that length does not follow the step.
BLOCK = 32


class ExampleStream:
    """An endless stream of rows: epoch e is a permutation of all rows, seeded by (seed, e).

    With ``lengths``, each window of `WINDOW` examples of the permutation is rearranged into blocks of `BLOCK` examples
    of like length: on texts of mixed length half of the arithmetic is padding otherwise.

    What stands at an index depends neither on the batch size nor on what was read before, so every trial of a study
    sees the same prefix, and a run goes on where it was interrupted.

    Args:
        rows: examples of the split, >= 1.
        seed: of the order.
        lengths: tokens of each row, or None to leave the permutation as it is.
        copies: forms of each row; epoch e gives form ``e % copies`` of row r the number ``r + (e % copies) * rows``.

    Raises:
        ValueError: no rows, or lengths of another number of rows.
    """

    def __init__(self, rows: int, seed: int, lengths: NDArray[np.integer[Any]] | None = None, copies: int = 1) -> None:
        if rows < 1:
            raise ValueError(f"ExampleStream.rows must be >= 1, got {rows}.")
        if lengths is not None and len(lengths) != rows:
            raise ValueError(f"ExampleStream.lengths must have {rows} entries, one per row, got {len(lengths)}.")
        self.rows = rows
        self.seed = seed
        self.copies = copies
        self._lengths = None if lengths is None else np.asarray(lengths)
        self._epoch = -1
        self._order: IntArray = np.empty(0, dtype=np.int64)

    def rows_at(self, start: int, stop: int) -> IntArray:
        """Return the rows at the stream's indices ``start`` to ``stop`` (excluded).

        Args:
            start: >= 0.
            stop: >= start.

        Returns:
            ``stop - start`` rows, int64.

        Raises:
            ValueError: start is negative or above stop.
        """
        if not 0 <= start <= stop:
            raise ValueError(f"ExampleStream.rows_at needs 0 <= start <= stop, got {start} and {stop}.")
        parts = []
        while start < stop:
            epoch, offset = divmod(start, self.rows)
            part = self._permutation(epoch)[offset : offset + stop - start]
            parts.append(part + epoch % self.copies * self.rows)
            start += len(part)
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def prefix(self, examples: int) -> IntArray:
        """Return the distinct rows among the first ``examples``, sorted: what a run of that length reads."""
        if examples >= self.rows * self.copies:
            return np.arange(self.rows * self.copies, dtype=np.int64)
        return np.unique(self.rows_at(0, examples))

    def _permutation(self, epoch: int) -> IntArray:
        """The rows in the order of an epoch; the last one asked for is kept."""
        if epoch != self._epoch:
            # RandomState, not Generator: only its streams are promised never to change between numpy versions (NEP 19).
            generator = np.random.RandomState(derive_seed("stream", self.seed, epoch))
            order = generator.permutation(self.rows).astype(np.int64, copy=False)
            self._order = order if self._lengths is None else _grouped(order, self._lengths, generator)
            self._epoch = epoch
        return self._order


def _grouped(order: IntArray, lengths: NDArray[Any], generator: np.random.RandomState) -> IntArray:
    """Rearrange every window into blocks of like length, the blocks in random order."""
    parts: list[IntArray] = []
    for start in range(0, len(order), WINDOW):
        window = order[start : start + WINDOW]
        by_length = window[np.argsort(lengths[window], kind="stable")]
        blocks = [by_length[at : at + BLOCK] for at in range(0, len(by_length), BLOCK)]
        # A short block stands last, so that the blocks before it fall on the borders of batches.
        full = len(by_length) // BLOCK
        places = [*generator.permutation(full), *range(full, len(blocks))]
        parts += [blocks[int(place)] for place in places]
    return np.concatenate(parts)
