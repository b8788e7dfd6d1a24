"""The framework's own time: starting the program, and per trial of a search.

**Start.** `autodistill --help` and `autodistill plugins` are started as processes; the table has the median wall time.
What is loaded then is looked up in `sys.modules` of a process of its own.

**Per trial.** A tiny study (a BERT of two layers of width 32, latency replayed from a file, nothing exported) is
explored twice, with short and with long flash runs. A strategy registered by this script notes when it is asked and
when it has answered. With one trial at a time, everything between an answer and the next question is that trial::

    between trials = next question - answer - (prepare + train + evaluate, as the run stored them)

Proposals, building and initialising the student, training and evaluation are left out by that; nothing is exported.
Reading the replayed latency and writing `latency.json` is left in, as part of the framework's work on a trial.

The stored `train` seconds include what one run costs whatever its length: losses, Lightning's trainer, the logger, the
checkpoint folder. That part is the intercept of a line through the two lengths::

    inside a run = train(short) - steps(short) * (train(long) - train(short)) / (steps(long) - steps(short))

Both are medians over trials. The first trial of a study is left out (it fills the cache of teacher features and imports
libraries), and so is the last, which no question follows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import autodistill
from autodistill import ComponentSpec, hookimpl
from autodistill.components.search import History, Proposal, SearchContext
from autodistill.engine.environment import describe_environment
from autodistill.engine.storage import Storage
from autodistill.plugin_manager import PluginManager, Provider
from autodistill.registry import Registry
from autodistill.search.configs import RandomConfig
from autodistill.search.random import RandomSearch
from autodistill.testing.tiny import tiny_overrides

RESULTS = Path(__file__).parent / "results"

#: What `autodistill --help` and `autodistill plugins` must not load.
HEAVY = ("torch", "hydra", "omegaconf", "transformers", "pytorch_lightning", "numpy", "sqlalchemy")

#: Steps of the short and of the long flash runs: far enough apart for a slope, short enough for minutes.
SHORT_STEPS, LONG_STEPS = 10, 60

BATCH_SIZE = 32
FLASH_FIDELITY = 0.25

#: (question, answer) of every call of the strategy, in seconds of the monotonic clock.
ASKED: list[tuple[float, float]] = []


class NotingRandom(RandomSearch):
    """Random search that notes when it is asked and when it has answered."""

    def propose(self, history: History, n: int) -> list[Proposal]:
        """As random search."""
        question = time.monotonic()
        proposals = super().propose(history, n)
        ASKED.append((question, time.monotonic()))
        return proposals


def make_noting_random(context: SearchContext) -> NotingRandom:
    """What the spec names."""
    return NotingRandom(context)


class NotingPlugin:
    """Registers the strategy."""

    @hookimpl
    def autodistill_search_strategies(self) -> list[ComponentSpec]:
        """The strategy."""
        return [ComponentSpec("noting_random", f"{__name__}:make_noting_random", RandomConfig, "Random, with a clock.")]


def measure_start(arguments: Sequence[str], runs: int) -> dict[str, Any]:
    """Wall time of the installed program, in seconds, and what of `HEAVY` it loads."""
    program = Path(sys.executable).parent / "autodistill"
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        subprocess.run([program, *arguments], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - started)
    return {
        "command": " ".join(["autodistill", *arguments]),
        "n": runs,
        "median_s": statistics.median(seconds),
        "min_s": min(seconds),
        "max_s": max(seconds),
        "heavy_modules_loaded": loaded_by(arguments),
    }


def loaded_by(arguments: Sequence[str]) -> list[str]:
    """Which of `HEAVY` a process has loaded after it ran the command."""
    probe = (
        "import sys; from autodistill.cli import main; main(sys.argv[1:]); "
        f"print('LOADED', *(name for name in {HEAVY!r} if name in sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", probe, *arguments], check=True, capture_output=True, text=True)
    return result.stdout.splitlines()[-1].split()[1:]


def explore(directory: Path, steps: int, trials: int, registry: Registry) -> dict[str, list[float]]:
    """Explore a tiny study; returns seconds of each trial but the first and the last.

    Args:
        directory: task, teacher and studies; shared between calls, so that the teacher is fine-tuned once.
        steps: optimiser steps of a flash run.
        trials: budget, at least 4.
        registry: has ``noting_random``.
    """
    (directory / "replay.json").write_text(json.dumps({"default": {"median": 2.0}, "named": {"teacher": 5.0}}))
    widths = list(range(8, 8 * (trials + 1), 8))  # enough architectures of nearly the same cost
    overrides = [
        *(item for item in tiny_overrides(directory) if not item.startswith(("student.space=", "search="))),
        f"student.space={{num_layers: [2], hidden_size: [32], num_heads: [4], intermediate_size: {widths}}}",
        "search=noting_random",
        "latency=[replay]",
        f"latency.replay.path={directory / 'replay.json'}",
        "trainer.threads=1",
        f"schedule.batch_size={BATCH_SIZE}",
        f"schedule.flash_fidelity={FLASH_FIDELITY}",
        f"schedule.examples={round(steps * BATCH_SIZE / FLASH_FIDELITY)}",
        f"budget.trials={trials}",
        f"study.name=steps{steps}",
    ]
    ASKED.clear()
    settings = autodistill.compose(overrides, registry)
    autodistill.run(settings, registry=registry, explore_only=True)
    with Storage(settings.storage_url) as storage:
        study = storage.get_study(settings.study_name)
        runs = sorted(storage.runs(study.id), key=lambda run: run.trial)
    return trial_seconds([dict(run.seconds) for run in runs], ASKED)


def trial_seconds(runs: Sequence[dict[str, float]], asked: Sequence[tuple[float, float]]) -> dict[str, list[float]]:
    """Split each trial's wall time; the first and the last trial are left out."""
    found: dict[str, list[float]] = {name: [] for name in ("propose", "prepare", "train", "evaluate", "between")}
    for number in range(1, len(runs) - 1):
        question, answer = asked[number]
        wall = asked[number + 1][0] - answer
        found["propose"].append(answer - question)
        for stage in ("prepare", "train", "evaluate"):
            found[stage].append(runs[number][stage])
        found["between"].append(wall - sum(runs[number].values()))
    return found


def measure_trials(trials: int) -> dict[str, Any]:
    """Medians over trials of what the framework adds to a trial, in seconds."""
    manager = PluginManager()
    manager.load_builtins()
    manager.register(NotingPlugin(), Provider("benchmark", "0", "noting"))
    registry = Registry(manager)
    with tempfile.TemporaryDirectory() as folder:
        found = {steps: explore(Path(folder), steps, trials, registry) for steps in (SHORT_STEPS, LONG_STEPS)}
    medians = {
        steps: {stage: statistics.median(values) for stage, values in stages.items()} for steps, stages in found.items()
    }
    step = (medians[LONG_STEPS]["train"] - medians[SHORT_STEPS]["train"]) / (LONG_STEPS - SHORT_STEPS)
    between = [value for stages in found.values() for value in stages["between"]]
    return {
        "n": len(between),
        "between_trials_median_s": statistics.median(between),
        "between_trials_max_s": max(between),
        "inside_a_run_s": medians[SHORT_STEPS]["train"] - SHORT_STEPS * step,
        "training_step_s": step,
        "medians_by_steps_s": {str(steps): stages for steps, stages in medians.items()},
    }


def main() -> None:
    """Measure, print a table and write the JSON file."""
    parser = argparse.ArgumentParser(description="Measures AutoDistill's own time.")
    parser.add_argument("--output", type=Path, default=RESULTS / "overhead.json")
    parser.add_argument("--starts", type=int, default=20, help="processes started per command")
    parser.add_argument("--trials", type=int, default=12, help="trials per study, at least 4")
    given = parser.parse_args()
    starts = [measure_start(arguments, given.starts) for arguments in (["--help"], ["plugins"])]
    trial = measure_trials(given.trials)
    content = {
        "benchmark": "overhead",
        "command": f"python benchmarks/overhead.py --starts {given.starts} --trials {given.trials}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_environment(),
        "settings": {"steps": [SHORT_STEPS, LONG_STEPS], "batch_size": BATCH_SIZE, "threads": 1},
        "results": {"start": starts, "trial": trial},
    }
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(content, indent=2) + "\n")
    for row in starts:
        loaded = ", ".join(row["heavy_modules_loaded"]) or "nothing heavy"
        print(f"{row['command']:<24} median {row['median_s']:.3f} s (n = {row['n']}), loads {loaded}")
    print(f"{'per trial, outside runs':<24} median {trial['between_trials_median_s']:.3f} s (n = {trial['n']})")
    print(
        f"{'per run, fixed cost':<24} {trial['inside_a_run_s']:.3f} s beside {trial['training_step_s']:.4f} s per step"
    )
    print(f"written: {given.output}")


if __name__ == "__main__":
    main()
