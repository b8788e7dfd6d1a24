"""Array files that are written as a stream.

Knows nothing of what the arrays mean; see `autodistill.training.tokenised` and `.teacher_cache`.
"""

from __future__ import annotations

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
    """

    def __init__(self, path: Path, dtype: str, row_shape: tuple[int, ...] = ()) -> None:
        self._dtype = np.dtype(dtype)
        self._row_shape = row_shape
        self._rows = 0
        self._file = path.open("wb")
        self._write_header()

    def append(self, values: NDArray[Any]) -> None:
        """Append ``rows x row_shape`` values, converted to the file's dtype."""
        values = np.ascontiguousarray(values, dtype=self._dtype).reshape(-1, *self._row_shape)
        self._rows += len(values)
        self._file.write(values.tobytes())

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
