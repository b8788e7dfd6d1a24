"""This benchmark's results file (see `benchmarks.sections`), and records to go on from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.sections import ResultsFile, append_line

_FILE = ResultsFile("latency")
RESULTS = _FILE.path
output_of = _FILE.output_of
write_section = _FILE.write


class Records:
    """A file of finished measurements, one line each: what is there is not done again.

    Args:
        path: JSON lines; a line that was cut off by a kill is left out.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.found: dict[str, Any] = {}
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                item = json.loads(line)
            except json.JSONDecodeError:
                continue
            self.found[item["key"]] = item["value"]

    def get(self, key: str, make: Callable[[], Any]) -> Any:
        """The value of a key, made and appended when it is not there."""
        if key not in self.found:
            value = make()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            append_line(self._path, json.dumps({"key": key, "value": value}))
            self.found[key] = value
            print(key, flush=True)
        return self.found[key]
