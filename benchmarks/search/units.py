"""Does the unit of an objective change what is proposed? Share of identical proposals, times 1,024 and times 1,000.

    python -m benchmarks.search.units [--searchers botorch] [--problems blocks layers] [--seeds 5] [--trials 40]

Along a search, the same history is shown twice: as it is, and with one objective multiplied by a factor, in what was
observed, in its variance, in what is known and in the reference point. 1,024 is a power of two and loses no digit;
1,000 rounds. Searchers must be functions of the history, as ours are.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Any

from autodistill.components.search import History
from benchmarks.search.harness import Trials, make_problem
from benchmarks.search.problems import OBJECTIVES, Problem
from benchmarks.search.results import output_of, write_section
from benchmarks.search.searchers import OURS, make_searcher
from benchmarks.sections import script_parser

FACTORS = (1024.0, 1000.0)


def scaled(history: History, metric: str, factor: float) -> History:
    """The history in another unit of one metric."""
    return replace(
        history,
        metrics={**history.metrics, metric: factor * history.metrics[metric]},
        variances={**history.variances, metric: factor**2 * history.variances[metric]},
    )


def identical(name: str, problem: Problem, seed: int, trials: int) -> dict[str, int]:
    """``metric x factor`` -> how many of the proposals are the same."""
    changes = [(objective.metric, factor) for objective in OBJECTIVES for factor in FACTORS]
    plain = make_searcher(name, problem, seed)
    others = {change: make_searcher(name, problem, seed, factors=dict([change])) for change in changes}
    same = dict.fromkeys(changes, 0)
    tried = Trials()
    for _ in range(trials):
        history = tried.history()
        proposal = plain.next(history)
        for change, other in others.items():
            same[change] += other.next(scaled(history, *change)).architecture == proposal.architecture
        tried.add(problem, proposal.architecture, seed)
    return {f"{metric} x {factor:.0f}": count for (metric, factor), count in same.items()}


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """What the results depend on."""
    names = ("searchers", "problems", "seeds", "trials")
    return {**{name: vars(given)[name] for name in names}, "steps": given.seeds * given.trials}


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = script_parser(__doc__)
    parser.add_argument("--searchers", nargs="+", default=["botorch"], help=f"of ours: {', '.join(OURS)}")
    parser.add_argument("--problems", nargs="+", default=["blocks", "layers"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=40)
    return parser


def main() -> int:
    """Compare, print, write."""
    parser = make_parser()
    given = parser.parse_args()
    output = output_of(parser, given, "units", settings_of)
    steps = given.seeds * given.trials
    found: dict[str, Any] = {}
    for name in given.searchers:
        for problem_name in given.problems:
            problem = make_problem(problem_name)
            counts = [identical(name, problem, seed, given.trials) for seed in range(given.seeds)]
            shares = {change: sum(count[change] for count in counts) / steps for change in counts[0]}
            found.setdefault(name, {})[problem_name] = shares
            print(f"{name} on {problem_name}: " + ", ".join(f"{key} {share:.1%}" for key, share in shares.items()))
    write_section(output, "units", settings_of(given), found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
