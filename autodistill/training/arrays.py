"""Array files that are written as a stream and published at once, safe for several processes.

Knows nothing of what the arrays mean; see `autodistill.training.tokenised` and `.teacher_cache`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
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


def build_once(directory: Path, build: Callable[[Path], None]) -> Path:
    """Return ``directory``, built by ``build`` unless it is there already.

    ``build`` writes into a temporary directory beside it, which is renamed when complete: what has the final name is
    whole. Of several processes one builds and the others wait. What a killed process left behind is removed by the
    next one that builds the same.

    Args:
        directory: final name; its parents are created with mode 0700.
        build: writes the content into the empty directory that it is given.
    """
    make_private(directory.parent)
    if not directory.is_dir():
        with _locked(directory.with_name(f".{directory.name}.lock")):
            if not directory.is_dir():
                _build(directory, build)
    with contextlib.suppress(OSError):
        os.utime(directory)  # recently used: whoever limits the cache's size removes the oldest first
    return directory


def make_private(directory: Path) -> None:
    """Create a directory and its missing parents with mode 0700."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)


def _build(directory: Path, build: Callable[[Path], None]) -> None:
    """Build under the lock."""
    prefix = f".{directory.name}.building-"
    for stale in directory.parent.glob(f"{prefix}*"):
        shutil.rmtree(stale, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=directory.parent))  # mkdtemp makes it 0700
    try:
        build(temporary)
        _flush(temporary)
        os.replace(temporary, directory)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _flush(directory: Path) -> None:
    """Bring files to the disk before their directory gets its final name, so that a power cut leaves no holes."""
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock; the system releases it when the process dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
