"""Array files that are written as a stream, and gone on with after an interruption.

Knows nothing of what the arrays mean; see `autodistill.training.tokenised` and `.teacher_cache`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray


class ArrayWriter:
    """Writes a ``.npy`` file whose length is not known beforehand.

    Args:
        path: of the file; its directory exists.
        dtype: of the elements, e.g. ``"<i4"``.
        row_shape: shape of one row; ``()`` for a flat array.
        keep_rows: go on behind so many rows of the file that is there; what it has beyond is cut off. 0: a new file.
    """

    def __init__(self, path: Path, dtype: str, row_shape: tuple[int, ...] = (), keep_rows: int = 0) -> None:
        self._dtype = np.dtype(dtype)
        self._row_shape = row_shape
        self._rows = keep_rows
        self._file = path.open("r+b" if keep_rows else "wb")
        self._write_header()
        if keep_rows:
            row_bytes = self._dtype.itemsize * int(np.prod(row_shape, dtype=np.int64))
            self._file.seek(keep_rows * row_bytes, os.SEEK_CUR)
            self._file.truncate()

    def append(self, values: NDArray[Any]) -> None:
        """Append ``rows x row_shape`` values, converted to the file's dtype."""
        values = np.ascontiguousarray(values, dtype=self._dtype).reshape(-1, *self._row_shape)
        self._rows += len(values)
        self._file.write(values.tobytes())

    def save(self) -> int:
        """Bring everything to the disk and return the number of rows, for ``keep_rows``."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._rows

    def close(self) -> None:
        """Write the length into the header and close the file."""
        self._file.seek(0)
        self._write_header()
        self._file.close()

    def _write_header(self) -> None:
        """The header; numpy leaves room in it for the first dimension to grow."""
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._rows, *self._row_shape),
        }
        np.lib.format.write_array_header_1_0(self._file, header)

    def __enter__(self) -> ArrayWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_array(path: Path) -> NDArray[Any]:
    """Return a read-only array mapped from a ``.npy`` file (an empty file's array is in memory)."""
    try:
        mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:  # nothing to map: mmap refuses arrays without elements
        mapped = np.load(path, allow_pickle=False)
    return mapped
