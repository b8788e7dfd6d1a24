"""Memory that grows with the rows of a corpus, without its text: opening them, their order, what `plan` and `run` ask.

    .venv/bin/python -m benchmarks.data.rows               (30 million rows, as 10 GB of the text of `.memory` give)

The rows have lengths but no tokens: their file is a hole on the disk. Peaks are of what Python and NumPy allocate in a
stage beyond what it began with, whatever else the machine does; each stage runs twice, the first time for its seconds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from autodistill.training.cache_plan import counts_of
from autodistill.training.packed import PackedSplit, RowMasking
from autodistill.training.packing import part_directory
from autodistill.training.row_sets import RowSet
from autodistill.training.stream import ExampleStream
from autodistill.training.teacher_cache import cache_directory
from benchmarks.data.results import output_of, write_section
from benchmarks.sections import script_parser

#: Rows of a part: those of the 32 MB of text that it is made of.
PART = 100_000

#: Maskings of each row, the default of a corpus.
COPIES = 10


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """What the results depend on."""
    return {"rows": given.rows, "copies": COPIES}


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = script_parser(__doc__)
    parser.add_argument("--rows", type=int, default=30_500_000)
    return parser


def main() -> None:
    """Measure each stage."""
    parser = make_parser()
    given = parser.parse_args()
    output = output_of(parser, given, "rows", settings_of)
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder), given.rows)
        split = opened(Path(folder))
        results = {
            "open": measured(given.rows, lambda: opened(Path(folder))),
            "order": measured(given.rows, lambda: stream_of(split).rows_at(0, 32)),
            "next_order": measured(given.rows, two_epochs(split)),
            **{f"plan_{epochs}_epochs": measured(given.rows, plan(split, epochs)) for epochs in (0.5, 1, 1.5, 10)},
        }
    for name, found in results.items():
        print(name, found)
    write_section(output, "rows", settings_of(given), results)


def measured(rows: int, stage: Callable[[], object]) -> dict[str, float]:
    """Seconds of a stage, and the peak of its memory."""
    started = time.process_time()
    stage()
    seconds = time.process_time() - started
    tracemalloc.start()
    stage()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {
        "peak_megabytes": round(peak / 1e6, 1),
        "bytes_per_row": round(peak / rows, 2),
        "seconds": round(seconds, 2),
    }


def write_rows(folder: Path, rows: int) -> None:
    """What `PackedSplit` opens."""
    random = np.random.default_rng(0)
    sizes = [min(PART, rows - first) for first in range(0, rows, PART)]
    for part, size in enumerate(sizes):
        directory = part_directory(folder, part)
        directory.mkdir()
        lengths = random.integers(20, 129, size, dtype=np.int32)
        np.save(directory / "lengths.npy", lengths)
        np.save(directory / "seconds.npy", np.zeros(size, dtype=np.int32))
        np.lib.format.open_memmap(directory / "tokens.npy", "w+", "<u2", (int(lengths.sum()),))
        (directory / "counts.json").write_text(json.dumps({"rows": size}))
    (folder / "meta.json").write_text(json.dumps({"parts": len(sizes), "pad": 0, "type_size": 2}))


def opened(folder: Path) -> PackedSplit:
    """The rows."""
    masking = RowMasking("rows", COPIES, 0, 0.15, mask_token=4, vocabulary=30_522, special=(0, 4), continues=())
    return PackedSplit(folder, masking)


def stream_of(split: PackedSplit) -> ExampleStream:
    """Their order."""
    return ExampleStream(len(split), 0, split.lengths, split.copies)


def two_epochs(split: PackedSplit) -> Callable[[], object]:
    """The end of an epoch and the beginning of the next."""
    return lambda: stream_of(split).rows_at(len(split) - 16, len(split) + 16)


def plan(split: PackedSplit, epochs: float) -> Callable[[], object]:
    """What a recipe of so many epochs reads, its size, and where the teacher's features of it would be kept."""

    def asked() -> Any:
        read = stream_of(split).prefix(int(epochs * len(split)))
        places = [cache_directory(Path(), split, frozenset(), "", rows) for rows in (read, RowSet(COPIES * len(split)))]
        return counts_of(split, read), places

    return asked


if __name__ == "__main__":
    main()
