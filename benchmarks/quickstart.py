"""The quickstart, whole: wall-clock time, peak memory and outcome on this machine.

    python benchmarks/quickstart.py [--seed 0] [--make] [--picks-seeds 3] [--output benchmarks/results/quickstart.json]

Runs ``autodistill run experiment=quickstart`` in a fresh output directory, or with ``--make`` the target
``make quickstart`` of this checkout, whose environment must be set up and whose outputs must be new. With
``--picks-seeds`` the study then goes on with so many full runs of each pick and baseline, told as ``several_seeds``.
Samples the memory of the process and its children twice a second, prints the verdict and writes JSON with the command
and the machine. The machine must be idle.
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
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Watched:
    """A command that was run.

    Args:
        ran: what was run and watched.
        seconds: wall-clock time of it.
        peak_bytes: its largest memory.
        summary: of the study after it.
    """

    ran: str
    seconds: float
    peak_bytes: int
    summary: Mapping[str, Any]

    def results(self) -> dict[str, Any]:
        """What it took, and what README quotes."""
        return {"wall_seconds": self.seconds, "peak_memory_bytes": self.peak_bytes, **outcome(self.summary)}


def content(
    *, make: bool, seed: int, first: Watched, picks_seeds: int = 1, more: Watched | None = None
) -> dict[str, Any]:
    """The results file.

    Args:
        make: whether it was the target of the Makefile.
        seed: of the study.
        first: the whole study.
        picks_seeds: full runs of each model that it went on with.
        more: how it did; None where it did not.
    """
    seeds = f" --picks-seeds {picks_seeds}" if more else ""
    settings = {"ran": first.ran, "seed": seed, "memory_sample_seconds": SAMPLE_SECONDS}
    return {
        "benchmark": "quickstart",
        "command": f"python benchmarks/quickstart.py {'--make' if make else f'--seed {seed}'}{seeds}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_environment(),
        "settings": settings | ({"then_ran": more.ran} if more else {}),
        "results": first.results() | ({"several_seeds": more.results()} if more else {}),
    }


def watched(ran: str, command: list[str], output: Path) -> Watched:
    """Run a command on the quickstart below a folder.

    Raises:
        SystemExit: it failed.
    """
    code, seconds, peak = run_and_watch(command)
    if code != 0:
        raise SystemExit(f"{ran} ended with exit code {code}; {output} is kept")
    summary = json.loads((output / "quickstart" / "summary.json").read_text())
    print(f"{ran}: {seconds:.0f} s, peak memory {peak / 1e9:.2f} GB, {summary['verdict']['claim']}")
    return Watched(ran, seconds, peak, summary)


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS / "quickstart.json")
    parser.add_argument("--keep", type=Path, default=None, help="keep the output directory here")
    parser.add_argument("--make", action="store_true", help="run `make quickstart`, with its seed, into its outputs")
    parser.add_argument("--picks-seeds", type=int, default=1, help="go on with so many full runs of every model")
    given = parser.parse_args()
    if given.make:
        directory = ROOT / "outputs"
        if directory.exists():
            print(f"{directory} exists; a study in it would go on instead of beginning", file=sys.stderr)
            return 2
    else:
        directory = Path(tempfile.mkdtemp(prefix="autodistill-benchmark-"))
    seed = 0 if given.make else given.seed  # the Makefile's is the default

    def run(*more: str) -> Watched:
        arguments = ["run", "experiment=quickstart", *([] if given.make else [f"seed={seed}"]), *more]
        command = [sys.executable, "-m", "autodistill", *arguments, f"output_dir={directory}"]
        return watched(f"autodistill {' '.join(arguments)}", command, directory)

    if given.make:
        first = watched("make quickstart", ["make", "--directory", str(ROOT), "quickstart"], directory)
    else:
        first = run()
    more = run(f"picks.seeds={given.picks_seeds}") if given.picks_seeds > 1 else None
    given.output.parent.mkdir(parents=True, exist_ok=True)
    found = content(make=given.make, seed=seed, first=first, picks_seeds=given.picks_seeds, more=more)
    given.output.write_text(json.dumps(found, indent=1) + "\n")
    print(f"written: {given.output}")
    if given.keep is not None:
        shutil.copytree(directory, given.keep, dirs_exist_ok=True)
    if not given.make:
        shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
