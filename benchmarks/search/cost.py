"""Time and memory of one proposal after 100 and 1,000 trials, each searcher in a fresh process.

    python -m benchmarks.search.cost --timeout 300 [--searchers ours peers] [--trials 100 1000] [--output FILE.json]
    python -m benchmarks.search.cost --timeout 300 --searchers botorch botorch:known=sizes --section cost_ours
    python -m benchmarks.search.cost --timeout 200 --searchers botorch:known=false --section cost_two_learnt
    python -m benchmarks.search.cost --timeout 120 --searchers botorch botorch:known=sizes botorch:known=false \
        --problem fine_blocks --section cost_scored_whole
    python -m benchmarks.search.cost --timeout 120 --searchers botorch botorch:known=sizes botorch:known=false \
        --problem fine_blocks --objectives 3 --section cost_three_objectives

The second command is of `botorch` alone, whose proposals have become faster since the peers were timed; the third is of
a search to which both objectives are unknown, and must be learnt; the last two are of a space that is scored whole,
with parameters as the third objective in the last.

The history holds random architectures of the problem: ``layers`` has 27 parameters, too many for more than a search
from the front. A small proposal comes first, so that imports, the listing of a space and warm-up do not count; then the
median of ``--repeats`` proposals with as many threads as there are cores. Memory is the process's peak resident size,
and how much of it came after the imports. The machine must be idle.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import numpy as np

from autodistill.components.search import History
from benchmarks.search.harness import Trials
from benchmarks.search.problems import ACCURACY, LATENCY, OBJECTIVES, PARAMETERS, THREE_OBJECTIVES, Problem
from benchmarks.search.results import output_of, write_section
from benchmarks.search.searchers import PeerSearch, Searcher, expand, make_searcher
from benchmarks.search.synthetic import fine_blocks, layers
from benchmarks.sections import script_parser

#: Problems that a searcher's time is told of.
COSTLY = {"layers": layers, "fine_blocks": fine_blocks}

#: Trials of the proposal that warms up: beyond every searcher's space-filling start.
WARM_UP = 24

#: Trials of a history that a peer asks for itself: Ax models nothing before five of its own have been told.
ASKED = 8

#: `resource` counts kilobytes.
KILOBYTE = 1024

SEED = 0


def random_history(problem: Problem, trials: int) -> History:
    """A history of random architectures."""
    tried = Trials()
    for architecture in problem.space.sample(trials, SEED):
        tried.add(problem, architecture, SEED)
    history = tried.history()
    if problem.objectives == OBJECTIVES:
        return history
    sizes = problem.truth(tried.architectures)[PARAMETERS]
    return replace(
        history,
        metrics={**history.metrics, PARAMETERS: sizes},
        variances={**history.variances, PARAMETERS: np.zeros(trials)},
    )


def proposal(searcher: Searcher, problem: Problem, history: History) -> Callable[[], object]:
    """The one call that is timed, of a searcher that has been told the history; a peer must be a fresh one."""
    if not isinstance(searcher, PeerSearch):
        return lambda: searcher.next(history)
    for row, architecture in enumerate(history.architectures):
        asked = problem.nearest(searcher.peer.ask()) if row < ASKED else None
        if asked is None:
            searcher.peer.replace(architecture.choices)
        found = problem.evaluate(asked or architecture, 0, SEED)
        searcher.peer.tell(
            found.metrics[ACCURACY.metric], found.variances[ACCURACY.metric], found.metrics[LATENCY.metric]
        )
    return searcher.peer.ask


def measure(problem_name: str, objectives: int, name: str, trials: int, repeats: int) -> dict[str, Any]:
    """Seconds and bytes of one proposal; runs in a process of its own."""
    problem = replace(COSTLY[problem_name](), objectives=(OBJECTIVES, THREE_OBJECTIVES)[objectives - 2])
    searcher: Searcher = make_searcher(name, problem, SEED)
    proposal(searcher, problem, random_history(problem, WARM_UP))()
    before, seconds = peak_bytes(), []
    for more in range(repeats):
        if isinstance(searcher, PeerSearch):
            searcher = make_searcher(name, problem, SEED)
        propose = proposal(searcher, problem, random_history(problem, trials + more))
        started = time.perf_counter()
        propose()
        seconds.append(time.perf_counter() - started)
    return {
        "trials": trials,
        "repeats": repeats,
        "seconds_median": round(statistics.median(seconds), 4),
        "seconds_max": round(max(seconds), 4),
        "peak_bytes": peak_bytes(),
        "peak_bytes_beyond_imports": peak_bytes() - before,
    }


def peak_bytes() -> int:
    """Largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILOBYTE


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """What the results depend on; ``timeout`` decides which searchers are given up."""
    names = ("objectives", "trials", "repeats", "timeout")
    chosen = {"problem": COSTLY[given.problem]().about, "searchers": expand(given.searchers)}
    return {**chosen, **{name: vars(given)[name] for name in names}}


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = script_parser(__doc__)
    parser.add_argument("--searchers", nargs="+", default=["ours", "peers"])
    parser.add_argument("--problem", choices=COSTLY, default="layers")
    parser.add_argument("--objectives", type=int, choices=(2, 3), default=2)
    parser.add_argument("--trials", nargs="+", type=int, default=[100, 1000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds after which a searcher is given up")
    parser.add_argument("--section", default="cost", help="of the results")
    return parser


def main() -> int:
    """Measure, print, write."""
    parser = make_parser()
    given = parser.parse_args()
    output = output_of(parser, given, given.section, settings_of)
    found: dict[str, list[dict[str, Any]]] = {}
    print(f"{'searcher':40s} {'trials':>6s} {'median s':>9s} {'max s':>9s} {'peak GB':>8s}")
    for name in expand(given.searchers):
        found[name] = []
        for trials in given.trials:
            row = _guarded((given.problem, given.objectives, name, trials, given.repeats), given.timeout)
            found[name].append(row)
            if "error" in row:
                print(f"{name:40s} {trials:6d} {row['error']}", flush=True)
                continue
            memory = row["peak_bytes"] / 1e9
            print(
                f"{name:40s} {trials:6d} {row['seconds_median']:9.3f} {row['seconds_max']:9.3f} {memory:8.2f}",
                flush=True,
            )
    write_section(output, given.section, settings_of(given), found)
    return 0


def _guarded(measured: tuple[str, int, str, int, int], timeout: float) -> dict[str, Any]:
    """`measure` in a fresh process; what cannot be imported or takes too long is said instead."""
    trials = measured[3]
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    try:
        return pool.submit(measure, *measured).result(timeout=timeout)
    except ImportError as error:
        return {"trials": trials, "error": f"left out: {error}"}
    except BrokenProcessPool:
        return {"trials": trials, "error": "its process was killed, probably for want of memory"}
    except TimeoutError:
        for process in pool._processes.values():
            process.kill()
        return {"trials": trials, "error": f"given up after {timeout:.0f} s"}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


if __name__ == "__main__":
    sys.exit(main())
