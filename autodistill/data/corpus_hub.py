"""Download a corpus from the hub as local JSON lines, so that a download that breaks off goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

from autodistill.data.corpus_files import missing_column
from autodistill.data.hub import HubStream
from autodistill.folders import write_json

#: Documents per local file, after each of which it is written down where the download stands.
SHARD = 100_000

#: File that says so, while the download goes on.
STATE = ".download.json"

#: Commit of a data set, where to go on or None -> its rows.
Stream = Callable[[str, Mapping[str, Any] | None], HubStream]


def download(directory: Path, commit: Callable[[], str], stream: Stream, column: str) -> None:
    """Write one column of a data set into numbered files of a folder; one that was broken off there goes on.

    Args:
        directory: the folder.
        commit: what the data set is at now; asked once, when the download begins.
        stream: of its rows.
        column: that holds the documents.

    Raises:
        DataError: there is no such column, or the hub cannot be reached.
    """
    reached = _reached(directory) or {"commit": commit(), "shards": 0, "stream": None}
    write_json(directory / STATE, reached)
    source, shards = stream(reached["commit"], reached["stream"]), int(reached["shards"])
    rows = enumerate(source, start=shards * SHARD + 1)
    while first := next(rows, None):
        with (directory / f"{shards:05}.jsonl").open("w") as file:
            for number, row in chain([first], islice(rows, SHARD - 1)):
                if column not in row:  # before all of it is downloaded
                    raise missing_column(f"data.path: {source.name}, row {number}", "column", column, row)
                file.write(json.dumps({column: row[column]}) + "\n")
        shards += 1
        write_json(directory / STATE, {**reached, "shards": shards, "stream": source.state()})
    (directory / STATE).unlink()


def _reached(directory: Path) -> dict[str, Any] | None:
    """Where a download that was broken off stood; None where there is none."""
    try:
        found: dict[str, Any] = json.loads((directory / STATE).read_text())
    except (OSError, ValueError):
        return None
    return found
