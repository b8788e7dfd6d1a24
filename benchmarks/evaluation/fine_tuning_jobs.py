"""The fine-tuning protocol of one model on one task of GLUE, as jobs that may run in different processes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import autodistill
from autodistill.engine.environment import prepare_process
from autodistill.engine.fine_tuning import FineTuner
from autodistill.engine.task_bench import protocol_of
from autodistill.engine.workbench import Workbench
from autodistill.evaluators.glue_tasks import AVERAGES, glue_average
from autodistill.folders import write_json
from autodistill.registry import default_registry
from autodistill.training.protocol import Protocol, read_protocol
from benchmarks.evaluation.jobs import Job

#: Epochs of the grid, where they are fewer than the default, which takes days of two cores.
EPOCHS = {"sst2": [1.0], "qqp": [1.0], "mnli": [1.0], "qnli": [1.0]}

#: What the protocol found for a model and a task.
OUTCOME = "fine_tuned.json"


@dataclass(frozen=True)
class FineTuningSetup:
    """What is the same for all models and tasks; see `arguments`.

    Args:
        glue: folder of GLUE's official files.
        work: folder of all runs.
        learning_rates: of the grid.
        batch_sizes: of the grid.
        epochs: of the grid; None for what the task needs, and one for large tasks.
        seeds: training runs of the best point; None for what the task needs.
        train_limit: training examples at most, or None.
        max_length: tokens per example.
        trainer: overrides of the trainer.
        more: overrides of anything, at the end.
    """

    glue: Path
    work: Path
    learning_rates: tuple[float, ...]
    batch_sizes: tuple[int, ...]
    epochs: tuple[float, ...] | None
    seeds: int | None
    train_limit: int | None
    max_length: int
    trainer: tuple[str, ...]
    more: tuple[str, ...] = ()

    def protocol(self, task: str) -> Protocol:
        """The grid and the seeds of a task, as its configuration says; see `protocol_of`."""
        return _protocol(self, task)

    def _epochs(self, task: str) -> list[float] | None:
        return list(self.epochs) if self.epochs else EPOCHS.get(task)

    def overrides(self, name: str, model: Path | None, task: str) -> list[str]:
        """The configuration of one model and task.

        Args:
            name: of the folder.
            model: directory of the model; None for the packaged teacher.
            task: of GLUE.
        """
        return [
            *("data=glue", f"data.task={task}", f"data.root={self.glue.resolve()}"),
            f"data.max_length={self.max_length}",
            *([f"data.train_limit={self.train_limit}"] if self.train_limit else []),
            *([f"teacher.path={model.resolve()}"] if model else []),
            *("evaluator=[glue]", f"study.name={name}", f"output_dir={self.work.resolve()}"),
            *self.trainer,
            f"fine_tuning.learning_rates={list(self.learning_rates)}",
            f"fine_tuning.batch_sizes={list(self.batch_sizes)}",
            f"fine_tuning.epochs={self._epochs(task) or 'null'}",
            f"fine_tuning.seeds={self.seeds or 'null'}",
            *self.more,
        ]

    def outcome(self, name: str) -> dict[str, Any] | None:
        """What `finish` wrote into a folder; None before."""
        path = self.work / name / OUTCOME
        found: dict[str, Any] | None = json.loads(path.read_text()) if path.is_file() else None
        return found


@cache
def _protocol(setup: FineTuningSetup, task: str) -> Protocol:
    """The same for all models, so it is read once."""
    return read_protocol(autodistill.compose(setup.overrides("any", None, task)).fine_tuning, f"glue/{task}")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What every benchmark with fine-tuning has on its command line."""
    parser.add_argument("--work", type=Path, required=True, help="folder of all runs; outside the repository")
    parser.add_argument("--learning-rates", nargs="+", type=float, default=[5e-5, 1e-4, 2e-4])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[32])
    parser.add_argument("--epochs", nargs="+", type=float, help="of all tasks; else 1, and 5 for small ones")
    parser.add_argument("--seeds", type=int, help="of all tasks; else 3, and 5 for small ones")
    parser.add_argument("--train-limit", type=int, help="training examples of a task; for trying")
    parser.add_argument("--max-length", type=int, default=128, help="tokens per example")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each process")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", default="32-true", help="of Lightning's trainer, e.g. bf16-mixed")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the work")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing after so many")
    parser.add_argument("--set", nargs="+", default=[], help="more overrides of the fine-tuning, KEY=VALUE")


def setup_of(given: argparse.Namespace, glue: Path, work: Path) -> FineTuningSetup:
    """The setup that a command line says."""
    return FineTuningSetup(
        glue,
        work,
        tuple(given.learning_rates),
        tuple(given.batch_sizes),
        tuple(given.epochs) if given.epochs else None,
        given.seeds,
        given.train_limit,
        given.max_length,
        trainer_overrides(given),
        tuple(given.set),
    )


def trainer_overrides(given: argparse.Namespace) -> tuple[str, ...]:
    """Threads, device and precision."""
    device, precision = f"trainer.accelerator={given.device}", f"trainer.precision={given.precision}"
    return f"trainer.threads={given.threads}", device, precision


def jobs_of(setup: FineTuningSetup, name: str, model: Path | None, task: str, after: Sequence[str] = ()) -> list[Job]:
    """The jobs of one model and task: the points of the grid, the seeds of the best, and the outcome.

    Args:
        setup: see there.
        name: of the folder and of the last job.
        model: directory; None for the packaged teacher.
        task: of GLUE.
        after: names of jobs that make the model.
    """
    protocol, what = setup.protocol(task), (setup, name, model, task)
    points = [
        Job(f"{name}, {point.name}", train_point, (*what, place), tuple(after))
        for place, point in enumerate(protocol.points)
    ]
    gridded = tuple(job.name for job in points)
    seeds = [Job(f"{name}, seed {seed}", train_seed, (*what, seed), gridded) for seed in range(1, protocol.seeds)]
    return [*points, *seeds, Job(name, finish, what, (*gridded, *(job.name for job in seeds)))]


def make_tuner(setup: FineTuningSetup, name: str, model: Path | None, task: str) -> FineTuner:
    """The protocol on one task, with everything that was trained before."""
    settings = autodistill.compose(setup.overrides(name, model, task))
    prepare_process(settings.trainer)
    bench = Workbench(settings, default_registry())
    return FineTuner(bench, protocol_of(bench), settings.study_dir / "fine_tuning")


def train_point(setup: FineTuningSetup, name: str, model: Path | None, task: str, place: int) -> None:
    """One point of the grid."""
    make_tuner(setup, name, model, task).train_point(place)


def train_seed(setup: FineTuningSetup, name: str, model: Path | None, task: str, seed: int) -> None:
    """One more seed of the best point."""
    make_tuner(setup, name, model, task).train_seed(seed)


def finish(setup: FineTuningSetup, name: str, model: Path | None, task: str) -> None:
    """Whatever is left, the scores on the dev set, and the outcome's file."""
    found = make_tuner(setup, name, model, task).run()
    write_json(setup.work / name / OUTCOME, found)


def averages(outcomes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Both averages over the tasks that were run, with their intervals and what they cover."""
    tasks = {
        task: {name.removeprefix("glue."): entry for name, entry in found["metrics"].items()}
        for task, found in outcomes.items()
    }
    found = {kind: glue_average(kind, tasks) for kind in AVERAGES}
    return {kind: asdict(average) for kind, average in found.items() if average is not None}


def shown(item: Mapping[str, Any]) -> str:
    """``87.3 [84.0, 90.1]``, in percent."""
    interval = "" if item["low"] is None else f" [{100 * item['low']:.1f}, {100 * item['high']:.1f}]"
    return f"{100 * item['value']:.1f}{interval}"
