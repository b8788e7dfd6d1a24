"""The results file: one section per script, each with its command, its machine and its time."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autodistill.engine.environment import describe_environment

RESULTS = Path(__file__).parents[1] / "results" / "data.json"


def read_section(path: Path, section: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Results of an earlier run with the same settings, to go on from; empty without one."""
    if not path.exists():
        return {}
    found = json.loads(path.read_text()).get(section, {})
    return dict(found["results"]) if found and found["settings"] == json.loads(json.dumps(dict(settings))) else {}


def write_section(path: Path, section: str, settings: Mapping[str, Any], results: Any) -> None:
    """Write one section and leave the others as they are."""
    kept = json.loads(path.read_text()) if path.exists() else {"benchmark": "data"}
    kept[section] = {
        "command": f"python -m benchmarks.data.{Path(sys.argv[0]).stem} {' '.join(sys.argv[1:])}".strip(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_environment(),
        "settings": dict(settings),
        "results": results,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=1) + "\n")
    print(f"written: {path}, section {section!r}")
