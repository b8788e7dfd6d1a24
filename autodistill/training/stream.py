"""The stream of training examples: a pure function of (rows, seed, index)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from autodistill.training.seeds import derive_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    IntArray: TypeAlias = "NDArray[np.int64]"


class ExampleStream:
    """An endless stream of rows: epoch e is a permutation of all rows, seeded by (seed, e).

    What stands at an index depends neither on the batch size nor on what was read before, so every trial of a study
    sees the same prefix, and a run goes on where it was interrupted.

    Args:
        rows: examples of the split, >= 1.
        seed: of the order.

    Raises:
        ValueError: no rows.
    """

    def __init__(self, rows: int, seed: int) -> None:
        if rows < 1:
            raise ValueError(f"ExampleStream.rows must be >= 1, got {rows}.")
        self.rows = rows
        self.seed = seed
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
            parts.append(part)
            start += len(part)
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def prefix(self, examples: int) -> IntArray:
        """Return the distinct rows among the first ``examples``, sorted: what a run of that length reads."""
        if examples >= self.rows:
            return np.arange(self.rows, dtype=np.int64)
        return np.unique(self.rows_at(0, examples))

    def _permutation(self, epoch: int) -> IntArray:
        """The rows in the order of an epoch; the last one asked for is kept."""
        if epoch != self._epoch:
            # RandomState, not Generator: only its streams are promised never to change between numpy versions (NEP 19).
            generator = np.random.RandomState(derive_seed("stream", self.seed, epoch))
            self._order = generator.permutation(self.rows).astype(np.int64, copy=False)
            self._epoch = epoch
        return self._order
