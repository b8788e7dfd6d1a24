"""The quickstart, whole: wall-clock time, peak memory and outcome on this machine.

    python benchmarks/quickstart.py [--seed 0] [--make] [--output benchmarks/results/quickstart.json]

Runs ``autodistill run experiment=quickstart`` in a fresh output directory, or with ``--make`` the target
``make quickstart`` of this checkout, whose environment must be set up and whose outputs must be new. Samples the memory
of the process and its children twice a second, prints the verdict and writes JSON with the command and the machine.
The machine must be idle.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from autodistill.engine.environment import describe_environment

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"

#: Seconds between two looks at the processes' memory.
SAMPLE_SECONDS = 0.5


def run_and_watch(command: list[str]) -> tuple[int, float, int]:
    """Run a command; returns exit code, wall seconds, and the largest sum of resident bytes of all its processes."""
    started, peak = time.monotonic(), 0
    process = subprocess.Popen(command)
    while process.poll() is None:
        peak = max(peak, _resident(process.pid))
        time.sleep(SAMPLE_SECONDS)
    return process.returncode, time.monotonic() - started, peak


def _resident(pid: int) -> int:
    """Resident bytes of a process and its descendants: an upper bound, shared pages count once per process."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.NoSuchProcess:
        return total
    return total


def outcome(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What README quotes of a summary."""
    keys = ("verdict", "trials", "hypervolume", "flash_spread", "seconds", "cost", "splits", "alarms")
    rows = {"teacher": summary["teacher"]}
    rows |= {row["name"]: row for row in summary["references"]}
    rows |= {row["name"]: {**row, "metrics": row["final"]} for row in (*summary["baselines"], *summary["picks"])}
    return {
        **{key: summary[key] for key in keys},
        "rows": {
            name: {
                "parameters": row["parameters"],
                "architecture": row.get("architecture"),
                "accuracy": (row["metrics"] or {}).get("classification.accuracy"),
                "latencies": row["latencies"],
                "versus": row.get("versus"),
                "exports": row.get("exports"),
            }
            for name, row in rows.items()
        },
    }


def content(
    *, make: bool, ran: str, seed: int, seconds: float, peak_bytes: int, summary: Mapping[str, Any]
) -> dict[str, Any]:
    """The results file.

    Args:
        make: whether it was the target of the Makefile.
        ran: what was run and watched.
        seed: of the study.
        seconds: wall-clock time of it.
        peak_bytes: its largest memory.
        summary: of the study.
    """
    return {
        "benchmark": "quickstart",
        "command": f"python benchmarks/quickstart.py {'--make' if make else f'--seed {seed}'}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_environment(),
        "settings": {"ran": ran, "seed": seed, "memory_sample_seconds": SAMPLE_SECONDS},
        "results": {"wall_seconds": seconds, "peak_memory_bytes": peak_bytes, **outcome(summary)},
    }


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS / "quickstart.json")
    parser.add_argument("--keep", type=Path, default=None, help="keep the output directory here")
    parser.add_argument("--make", action="store_true", help="run `make quickstart`, with its seed, into its outputs")
    given = parser.parse_args()
    if given.make:
        directory, shown = ROOT / "outputs", "make quickstart"
        if directory.exists():
            print(f"{directory} exists; a study in it would go on instead of beginning", file=sys.stderr)
            return 2
        code, seconds, peak = run_and_watch(["make", "--directory", str(ROOT), "quickstart"])
    else:
        directory = Path(tempfile.mkdtemp(prefix="autodistill-benchmark-"))
        arguments = ["run", "experiment=quickstart", f"seed={given.seed}"]
        shown = f"autodistill {' '.join(arguments)}"
        command = [sys.executable, "-m", "autodistill", *arguments, f"output_dir={directory}"]
        code, seconds, peak = run_and_watch(command)
    if code != 0:
        print(f"the quickstart ended with exit code {code}; {directory} is kept", file=sys.stderr)
        return code
    summary = json.loads((directory / "quickstart" / "summary.json").read_text())
    seed = 0 if given.make else given.seed  # the Makefile's is the default
    result = content(make=given.make, ran=shown, seed=seed, seconds=seconds, peak_bytes=peak, summary=summary)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{seconds:.0f} s, peak memory {peak / 1e9:.2f} GB, {summary['verdict']['claim']}")
    print(f"written: {given.output}")
    if given.keep is not None:
        shutil.copytree(directory, given.keep, dirs_exist_ok=True)
    if not given.make:
        shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
