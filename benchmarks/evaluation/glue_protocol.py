"""The fine-tuning protocol on GLUE, from the packaged teacher all-MiniLM-L6-v2: what it reaches on the dev sets.

    python -m benchmarks.evaluation.glue_protocol --glue GLUE_FOLDER --work FOLDER --output FILE
    ... --device cuda --precision bf16-mixed --threads 1 --workers 12         # many processes on one GPU

Every task gets the same protocol: a grid on the select split (carved from train), several seeds of the best point, the
dev set read once per seed. Runs are kept in `--work` (outside the repository); the same command goes on where it was
stopped, also after a kill. ``--workers`` processes share the learning rates and seeds of all tasks. Prints each task's
metrics with intervals over examples and seeds, the minutes spent, and both averages with the tasks they cover.
`--train-limit` is for trying it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.evaluation.fine_tuning_jobs import arguments, averages, jobs_of, setup_of, shown
from benchmarks.evaluation.jobs import run_jobs
from benchmarks.evaluation.results import output_of, write_section
from benchmarks.sections import script_parser

#: What a fine-tuned all-MiniLM-L6-v2 should reach on the dev sets.
WANTED = {
    "sst2": ("accuracy", 0.90),
    "mrpc": ("accuracy", 0.84),
    "rte": ("accuracy", 0.60),
    "stsb": ("spearman", 0.86),
}

#: What does not decide a figure.
NOT_RECORDED = ("glue", "work", "output", "workers", "seconds")


def judged(task: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """Print a task's metrics, and add whether what was wanted is reached."""
    print(f"{task}: {found['cost']['seconds'] / 60:.1f} minutes of training, chosen {found['chosen']}")
    for name, item in found["metrics"].items():
        interval = "" if item["low"] is None else f" [{100 * item['low']:.2f}, {100 * item['high']:.2f}]"
        print(f"  {name:28} {100 * item['value']:.2f}{interval}, n = {item['n']}, seeds: {item['seeds']}")
    metric, bound = WANTED.get(task, (None, 0.0))
    if metric is None:
        return dict(found)
    reached = found["metrics"][f"glue.{metric}"]["value"] >= bound
    print(f"  wanted {metric} {100 * bound:.1f}: {'reached' if reached else 'not reached'}")
    return {**found, "wanted": {"metric": metric, "bound": bound, "reached": reached}}


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """What the results depend on."""
    settings = {name: value for name, value in vars(given).items() if name not in NOT_RECORDED}
    model = "packaged teacher" if given.model is None else given.model.name
    return {**settings, "tasks": sorted(given.tasks), "model": model}


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = script_parser(__doc__)
    parser.add_argument("--glue", type=Path, required=True, help="folder of GLUE's official files")
    parser.add_argument("--tasks", nargs="+", default=["sst2", "stsb", "mrpc", "rte"])
    parser.add_argument("--model", type=Path, help="directory of a model without a head; default: the packaged teacher")
    arguments(parser)
    return parser


def main() -> int:
    """Run the tasks, print and write; 1 when something is left to do."""
    parser = make_parser()
    given = parser.parse_args()
    output = output_of(parser, given, "glue_protocol", settings_of)
    setup = setup_of(given, given.glue, given.work)
    jobs = [job for task in given.tasks for job in jobs_of(setup, task, given.model, task)]
    left = set(run_jobs(jobs, given.workers, given.seconds))
    found = {task: setup.outcome(task) for task in given.tasks}
    results = {task: judged(task, outcome) for task, outcome in found.items() if outcome is not None}
    if results:
        means = averages(results)
        for name, one in means.items():
            missing = f" (missing: {', '.join(one['missing'])})" if one["missing"] else ""
            print(f"{name} average {shown(one)} over {', '.join(one['tasks'])}{missing}")
        write_section(output, "glue_protocol", settings_of(given), {"tasks": results, "averages": means})
    if left:
        print(f"left to do: {', '.join(sorted(left))}; the same command goes on")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
