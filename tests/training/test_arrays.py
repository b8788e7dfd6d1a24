from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autodistill.training.arrays import ArrayWriter, open_array


@pytest.mark.parametrize("rows", [0, 1, 9, 12345])
@pytest.mark.parametrize("row_shape", [(), (3,)])
def test_a_streamed_array_reads_back(tmp_path: Path, rows: int, row_shape: tuple[int, ...]) -> None:
    values = np.arange(rows * int(np.prod(row_shape)), dtype=np.int64).reshape(rows, *row_shape)
    with ArrayWriter(tmp_path / "a.npy", "<i4", row_shape) as writer:
        for start in range(0, rows, 1000):
            writer.append(values[start : start + 1000])
    read = open_array(tmp_path / "a.npy")
    assert read.dtype == np.int32
    assert np.array_equal(read, values)
