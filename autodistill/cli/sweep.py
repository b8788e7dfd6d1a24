"""The closing table of a sweep: one line per job's study."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def print_sweep(results: Sequence[dict[str, Any]]) -> None:
    """Print name, exit code, hypervolume, best pick and verdict of every job of a sweep."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "study", "exit code", "trials", "hypervolume", "best pick", "final", "speed-up", "holds", title="sweep"
    )
    for result in results:
        table.add_row(*_row(result))
    Console().print(table)


def _row(result: dict[str, Any]) -> list[str]:
    directory = Path(result["study"]) if result["study"] else None
    path = directory / "summary.json" if directory else None
    name, code = (directory.name if directory else "?"), str(result["exit_code"])
    if path is None or not path.is_file():
        return [name, code, "", "", "", "", "", ""]
    summary = json.loads(path.read_text())
    volume = summary["hypervolume"]
    cells = [name, code, str(summary["trials"]["complete"]), "" if volume is None else f"{volume:.4f}"]
    if not summary["picks"] or not summary["picks"][0]["final"]:
        return [*cells, "", "", "", ""]
    pick = summary["picks"][0]
    metric = summary["objectives"][0]["metric"]
    final, speed = pick["final"].get(metric), pick["versus"]["teacher"]["speedup"]
    choices = ", ".join(f"{key}={value}" for key, value in pick["architecture"].items())
    holds = {True: "yes", False: "no", None: "unknown"}[summary["verdict"]["holds"]]
    return [*cells, choices, f"{final['value']:.4f}" if final else "", f"{speed:.2f}x" if speed else "", holds]
