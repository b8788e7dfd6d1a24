"""The results file: one section per script with command, machine and time; and records to go on from."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autodistill.engine.environment import describe_environment

RESULTS = Path(__file__).parents[1] / "results" / "latency.json"


def write_section(path: Path, section: str, settings: Mapping[str, Any], results: Any) -> None:
    """Write one section and leave the others as they are."""
    kept = json.loads(path.read_text()) if path.exists() else {"benchmark": "latency"}
    kept[section] = {
        "command": f"python -m benchmarks.latency.{Path(sys.argv[0]).stem} {' '.join(sys.argv[1:])}".strip(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_environment(),
        "settings": {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()},
        "results": results,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=1) + "\n")
    print(f"written: {path}, section {section!r}")


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
            with self._path.open("a") as file:
                file.write(("" if _ends_a_line(self._path) else "\n") + json.dumps({"key": key, "value": value}) + "\n")
            self.found[key] = value
            print(key, flush=True)
        return self.found[key]


def _ends_a_line(path: Path) -> bool:
    text = path.read_bytes()
    return not text or text.endswith(b"\n")
