"""The fine-tuning protocol on GLUE, from the packaged teacher all-MiniLM-L6-v2: what it reaches on the dev sets.

    python -m benchmarks.evaluation.glue_protocol --glue GLUE_FOLDER --work FOLDER --tasks rte mrpc stsb sst2

Every task gets the same protocol: a grid on the select split (carved from train), several seeds of the best point, the
dev set read once per seed. Runs are kept in `--work` (outside the repository); the same command goes on where it was
stopped, also after a kill. Prints each task's metrics with intervals over examples and seeds, the minutes spent, and
both averages with the tasks they cover. `--threads 1` leaves the other cores alone; `--train-limit` is for trying it.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import autodistill
from autodistill.engine.environment import prepare_process
from autodistill.engine.fine_tuning import FineTuner
from autodistill.engine.workbench import Workbench
from autodistill.evaluators.glue_tasks import leaderboard_average, paper_average
from autodistill.registry import default_registry
from autodistill.training.protocol import read_protocol
from benchmarks.evaluation.results import RESULTS, write_section

#: What the issue asks for, on the dev sets.
WANTED = {
    "sst2": ("accuracy", 0.90),
    "mrpc": ("accuracy", 0.84),
    "rte": ("accuracy", 0.60),
    "stsb": ("spearman", 0.86),
}

#: Epochs of the grid: small tasks need more passes.
EPOCHS = {"sst2": [2.0], "qqp": [2.0], "mnli": [2.0], "qnli": [2.0]}
EPOCHS_OF_SMALL_TASKS = [5.0]


def overrides(given: argparse.Namespace, task: str) -> list[str]:
    """The configuration of one task."""
    limit = [f"data.train_limit={given.train_limit}"] if given.train_limit else []
    model = [f"teacher.path={given.model}"] if given.model else []
    epochs = given.epochs or EPOCHS.get(task, EPOCHS_OF_SMALL_TASKS)
    return [
        "data=glue",
        f"data.task={task}",
        f"data.root={given.glue.resolve()}",
        f"data.max_length={given.max_length}",
        *limit,
        *model,
        "evaluator=[glue]",
        f"study.name={task}",
        f"output_dir={given.work.resolve()}",
        f"trainer.threads={given.threads}",
        f"fine_tuning.learning_rates={given.learning_rates}",
        f"fine_tuning.batch_sizes={given.batch_sizes}",
        f"fine_tuning.epochs={epochs}",
        f"fine_tuning.seeds={given.seeds or 'null'}",
    ]


def run_task(given: argparse.Namespace, task: str) -> dict[str, Any]:
    """The protocol on one task."""
    settings = autodistill.compose(overrides(given, task))
    prepare_process(settings.trainer)
    bench = Workbench(settings, default_registry())
    protocol = read_protocol(settings.fine_tuning, bench.task.benchmark)
    print(
        f"{task}: {len(bench.splits['train'])} examples, {len(protocol.points)} points, {protocol.seeds} seeds",
        flush=True,
    )
    found = FineTuner(bench, protocol, settings.study_dir / "fine_tuning").run()
    for name, item in found["metrics"].items():
        if name.startswith("glue.") or name == bench.task.metric:
            interval = "" if item["low"] is None else f" [{100 * item['low']:.2f}, {100 * item['high']:.2f}]"
            print(f"  {name:28} {100 * item['value']:.2f}{interval}, n = {item['n']}, seeds: {item['seeds']}")
    metric, bound = WANTED.get(task, (None, 0.0))
    if metric:
        value = found["metrics"][f"glue.{metric}"]["value"]
        found["wanted"] = {"metric": metric, "bound": bound, "reached": value >= bound}
        print(f"  wanted {metric} {100 * bound:.1f}: {'reached' if value >= bound else 'not reached'}")
    print(f"  {found['cost']['seconds'] / 60:.1f} minutes of training, chosen {found['chosen']}", flush=True)
    return found


def averages(results: dict[str, Any]) -> dict[str, Any]:
    """Both averages over the tasks that were run."""
    metrics = {
        task: {
            name.removeprefix("glue."): item["value"]
            for name, item in found["metrics"].items()
            if name.startswith("glue.") and name != "glue.score"
        }
        for task, found in results.items()
    }
    found = {"leaderboard": leaderboard_average(metrics)}
    if set(metrics) - {"wnli"}:
        found["paper"] = paper_average(metrics)
    for name, one in found.items():
        covered, missing = ", ".join(one.tasks), ", ".join(one.missing)
        print(f"{name} average {100 * one.value:.2f} over {covered} (missing: {missing})")
    return {name: asdict(one) for name, one in found.items()}


def main() -> None:
    """Run the tasks, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--glue", type=Path, required=True, help="folder of GLUE's official files")
    parser.add_argument("--work", type=Path, required=True, help="folder of all runs; outside the repository")
    parser.add_argument("--tasks", nargs="+", default=["rte", "mrpc", "stsb", "sst2"])
    parser.add_argument(
        "--model", type=Path, help="directory of a model without a head; the packaged teacher by default"
    )
    parser.add_argument("--learning-rates", nargs="+", type=float, default=[5e-5, 1e-4, 2e-4])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[32])
    parser.add_argument("--epochs", nargs="+", type=float, help="the same for all tasks")
    parser.add_argument("--seeds", type=int, help="of all tasks; else 3, and 5 for small ones")
    parser.add_argument("--train-limit", type=int)
    parser.add_argument("--max-length", type=int, default=128, help="tokens per example")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    results = {task: run_task(given, task) for task in given.tasks}
    settings = {name: value for name, value in vars(given).items() if name not in ("glue", "work", "output", "model")}
    model = "packaged teacher" if given.model is None else given.model.name
    write_section(
        given.output, "glue_protocol", {**settings, "model": model}, {"tasks": results, "averages": averages(results)}
    )


if __name__ == "__main__":
    main()
