"""Run the searches that are missing, then print the table and write the results.

    python -m benchmarks.search.run [--records FILE.jsonl] [--jobs 2] [--seeds 20] [--trials 80]
                                    [--problems blocks ...] [--searchers ours peers ...] [--output FILE.json]

One line of ``--records`` per (problem, searcher, seed); what is there is not run again, so that the command can be
interrupted at any time and goes on. The committed results are written only of all problems, seeds and trials, from the
records beside this file, and of all searchers that they have; a look at less names another ``--output``. ``ours``,
``peers``, ``variants`` and ``ablations`` stand for their members. Each search runs in a process with one thread. Peers
need packages that the project does not (see README.md); a searcher that cannot be imported, and a problem whose table
has not been made, is named and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.search.harness import PROBLEMS, record
from benchmarks.search.report import show, summarise
from benchmarks.search.results import RESULTS, output_of, write_section
from benchmarks.search.searchers import expand
from benchmarks.sections import append_line, script_parser

Key = tuple[str, str, int]

#: Finished searches of the committed results, which many sessions of hours add to.
RECORDS = Path(__file__).parent / "records.jsonl"


def read_records(path: Path, trials: int) -> dict[Key, dict[str, Any]]:
    """Finished searches of at least so many trials; a line that was cut off by a kill is left out."""
    found = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            item = json.loads(line)
        except json.JSONDecodeError:
            continue
        if item["trials"] >= trials:
            found[item["problem"], item["searcher"], item["seed"]] = item
    return found


def run_missing(missing: list[Key], trials: int, jobs: int, path: Path) -> None:
    """Run searches and append their records as they end."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # inherited by the processes
    broken: set[str] = set()
    # Not concurrent.futures: its pools come to a halt when processes are renewed, which keeps their memory small.
    with get_context("spawn").Pool(jobs, maxtasksperchild=8) as pool:
        jobs_done = pool.imap_unordered(attempt, [(*key, trials) for key in missing])
        for done, (key, line) in enumerate(jobs_done, start=1):
            problem, searcher, seed = key
            if isinstance(line, str):
                if (reason := f"{searcher} on {problem}: {line}") not in broken:
                    print(f"left out: {reason}", file=sys.stderr)
                    broken.add(reason)
                continue
            append_line(path, json.dumps(line))
            print(f"{done}/{len(missing)} {problem} {searcher} seed {seed}: {line['wall_seconds']:.0f} s", flush=True)


def attempt(job: tuple[str, str, int, int]) -> tuple[Key, dict[str, Any] | str]:
    """The record of one search, or in words why there is none."""
    problem, searcher, seed, trials = job
    try:
        return (problem, searcher, seed), timed_record(problem, searcher, seed, trials)
    except Exception as error:  # a peer may raise anything, and one search must not end the others
        return (problem, searcher, seed), f"{type(error).__name__}: {error}"


def timed_record(problem: str, searcher: str, seed: int, trials: int) -> dict[str, Any]:
    """A record with its wall-clock and processor seconds."""
    import torch

    torch.set_num_threads(1)
    started, used = time.perf_counter(), time.process_time()
    line = record(problem, searcher, seed, trials)
    return {
        **line,
        "wall_seconds": round(time.perf_counter() - started, 2),
        "cpu_seconds": round(time.process_time() - used, 2),
    }


def keys(problems: Iterable[str], searchers: Iterable[str], seeds: int) -> list[Key]:
    """Seed by seed, so that an interrupted run has something of everything."""
    chosen = list(searchers)
    return [(problem, searcher, seed) for seed in range(seeds) for problem in problems for searcher in chosen]


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """What the results depend on; of the searchers see `lost`."""
    other = {} if given.records.resolve() == RECORDS.resolve() else {"records": given.records}
    return {"problems": sorted(given.problems), "seeds": given.seeds, "trials": given.trials, **other}


def lost(searchers: Iterable[str]) -> list[str]:
    """Searchers of the committed results that are not among these."""
    kept = json.loads(RESULTS.read_text())["searches"]["results"]
    return sorted({name for found in kept.values() for name in found["searchers"]} - set(searchers))


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = script_parser(__doc__)
    parser.add_argument("--records", type=Path, default=RECORDS)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--searchers", nargs="+", default=["ours", "peers", "variants"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=80)
    parser.add_argument("--jobs", type=int, default=1)
    return parser


def main() -> int:
    """Run what is missing, print, write."""
    parser = make_parser()
    given = parser.parse_args()
    searchers = expand(given.searchers)
    if given.output is None and (without := lost(searchers)):
        parser.error(f"the committed results would lose {', '.join(without)}: say where to write, --output FILE")
    output = output_of(parser, given, "searches", settings_of)
    wanted = keys(given.problems, searchers, given.seeds)
    there = read_records(given.records, given.trials)
    given.records.parent.mkdir(parents=True, exist_ok=True)
    run_missing([key for key in wanted if key not in there], given.trials, given.jobs, given.records)
    there = read_records(given.records, given.trials)
    summary = summarise([there[key] for key in wanted if key in there], given.trials)
    show(summary)
    write_section(output, "searches", settings_of(given), summary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
