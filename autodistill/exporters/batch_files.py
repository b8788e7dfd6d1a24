"""Batches and answers in files, between a process and the one that holds the runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def write_batches(path: Path, batches: Sequence[Mapping[str, Any]]) -> None:
    """Write batches, column -> ``batch x tokens``, as int64."""
    arrays = {
        f"{index}/{name}": np.asarray(column, dtype=np.int64)
        for index, batch in enumerate(batches)
        for name, column in batch.items()
    }
    np.savez(path, **arrays)  # type: ignore[arg-type]


def read_batches(path: Path) -> list[dict[str, NDArray[np.int64]]]:
    """What `write_batches` wrote."""
    found: dict[int, dict[str, NDArray[np.int64]]] = {}
    with np.load(path) as arrays:
        for key in arrays.files:
            index, name = key.split("/")
            found.setdefault(int(index), {})[name] = arrays[key]
    return [found[index] for index in sorted(found)]


def write_answers(path: Path, answers: Sequence[Array]) -> None:
    """Write one array per batch."""
    np.savez(path, **{str(index): answer for index, answer in enumerate(answers)})  # type: ignore[arg-type]


def read_answers(path: Path) -> list[Array]:
    """What `write_answers` wrote."""
    with np.load(path) as answers:
        return [answers[str(index)] for index in range(len(answers.files))]
