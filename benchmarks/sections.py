"""The results file of a benchmark: one section per script, each with its command, its machine and its time."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autodistill.engine.environment import describe_environment


@dataclass(frozen=True)
class ResultsFile:
    """Where a benchmark of several scripts keeps what they found.

    Args:
        benchmark: name of the benchmark's folder.
    """

    benchmark: str

    @property
    def path(self) -> Path:
        """The committed file."""
        return Path(__file__).parent / "results" / f"{self.benchmark}.json"

    def read(self, path: Path, section: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Results of an earlier run with the same settings, to go on from; empty without one."""
        if not path.exists():
            return {}
        found = json.loads(path.read_text()).get(section, {})
        return dict(found["results"]) if found and found["settings"] == _plain(settings) else {}

    def write(self, path: Path, section: str, settings: Mapping[str, Any], results: Any) -> None:
        """Write one section and leave the others as they are."""
        kept = json.loads(path.read_text()) if path.exists() else {"benchmark": self.benchmark}
        script = f"benchmarks.{self.benchmark}.{Path(sys.argv[0]).stem}"
        kept[section] = {
            "command": without_folders(f"python -m {script} {' '.join(sys.argv[1:])}".strip()),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": describe_environment(),
            "settings": _plain(settings),
            "results": results,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(kept, indent=1) + "\n")
        print(f"written: {path}, section {section!r}")


def without_folders(text: str) -> str:
    """Absolute paths by their last part alone: where somebody keeps files is nobody's business, and no setting."""
    return re.sub(r"(?<![^\s=:{\"'\[,])/(?=[^\s/])(?:[^\s/\"',\]}]+/(?=[^\s/\"',\]}]))*", "", text)


def _plain(settings: Mapping[str, Any]) -> Any:
    """Settings as JSON gives them back; paths are text."""
    named = {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}
    return json.loads(without_folders(json.dumps(named)))
