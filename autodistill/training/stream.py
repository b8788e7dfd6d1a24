"""The stream of training examples: a pure function of (rows, lengths, copies, seed, index)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from autodistill.training.row_sets import RowSet
from autodistill.training.seeds import derive_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    IntArray: TypeAlias = "NDArray[np.int64]"
    OrderArray: TypeAlias = "NDArray[np.signedinteger[Any]]"


#: Examples among which neighbours of like length are brought together: small beside an epoch, so that what a run reads
#: early does not depend on length, and large beside a batch, so that little is padded.
WINDOW = 512

#: Neighbours of like length; the blocks of a window stand in random order, so that length does not follow the step.
BLOCK = 32

#: Changes when what stands at an index does: a run does not go on in another order than it began in.
ORDER = 2

#: Windows that are rearranged at a time: 64 kB of lengths.
_WINDOWS = 32

#: An order of fewer rows than this takes four bytes a row, else eight.
_FEW_ROWS = 2**31


class ExampleStream:
    """An endless stream of rows: epoch e is a permutation of all rows, seeded by (seed, e).

    With ``lengths``, each window of `WINDOW` examples of the permutation is rearranged into blocks of `BLOCK` examples
    of like length: on texts of mixed length half of the arithmetic is padding otherwise. Blocks begin at multiples of
    `BLOCK` of the stream, where batches do: an epoch begins with the few examples that its predecessor's last block
    lacks, as they come.

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
        self._kept: tuple[int, OrderArray | None] = (-1, None)

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
            part = self._permutation(epoch)[offset : offset + stop - start].astype(np.int64)
            parts.append(part + epoch % self.copies * self.rows)
            start += len(part)
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def prefix(self, examples: int) -> RowSet:
        """Return the distinct rows among the first ``examples``: what a run of that length reads."""
        epochs, rest = divmod(examples, self.rows)
        if epochs >= self.copies:
            return RowSet(self.copies * self.rows)
        if not rest:
            return RowSet(epochs * self.rows)
        read = np.zeros(self.rows, dtype=np.bool_)
        read[self._permutation(epochs)[:rest]] = True
        return RowSet(epochs * self.rows, read)

    def _permutation(self, epoch: int) -> OrderArray:
        """The rows in the order of an epoch; the last one asked for is kept."""
        kept, order = self._kept
        if kept == epoch and order is not None:
            return order
        self._kept, order = (-1, None), None  # two at a time would take twice the memory
        # RandomState, not Generator: only its streams are promised never to change between numpy versions (NEP 19).
        generator = np.random.RandomState(derive_seed("stream", self.seed, epoch))
        order = np.arange(self.rows, dtype=np.int32 if self.rows < _FEW_ROWS else np.int64)
        generator.shuffle(order)
        if self._lengths is not None:
            _group(order[-epoch * self.rows % BLOCK :], self._lengths, generator)
        self._kept = (epoch, order)
        return order


def _group(order: OrderArray, lengths: NDArray[np.integer[Any]], generator: np.random.RandomState) -> None:
    """Rearrange every window, in place, into blocks of like length, the blocks in random order."""
    whole = len(order) // WINDOW * WINDOW
    for start in range(0, whole, _WINDOWS * WINDOW):
        _group_windows(order[start : min(start + _WINDOWS * WINDOW, whole)].reshape(-1, WINDOW), lengths, generator)
    if whole < len(order):
        _group_windows(order[None, whole:], lengths, generator)


def _group_windows(windows: OrderArray, lengths: NDArray[np.integer[Any]], generator: np.random.RandomState) -> None:
    """Rearrange windows of the same size, ``windows x examples``, in place."""
    count, full = len(windows), windows.shape[1] // BLOCK
    by_length = np.take_along_axis(windows, np.argsort(lengths[windows], axis=1, kind="stable"), axis=1)
    blocks = by_length[:, : full * BLOCK].reshape(count, full, BLOCK)
    places = np.array([generator.permutation(full) for _ in range(count)])
    windows[:, : full * BLOCK] = np.take_along_axis(blocks, places[:, :, None], axis=1).reshape(count, full * BLOCK)
    # A short block stands last, so that the blocks before it fall on the borders of batches.
    windows[:, full * BLOCK :] = by_length[:, full * BLOCK :]
