"""How well the score of a flash run predicts that of the full recipe.

    python -m benchmarks.distillation.flash_fidelity --step latency --task sst2 --data DATA --work WORK
    python -m benchmarks.distillation.flash_fidelity --step train   --task sst2 --data DATA --work WORK [--shard 0/2]
    python -m benchmarks.distillation.flash_fidelity --step report  --task sst2 --data DATA --work WORK

Four times as many random architectures as wanted are timed (onnxruntime or the calibrated roofline, one thread); one
is drawn from each of
``--architectures`` equal bands of latency, before anything is scored. Each gets, with two seeds, a flash run at every
fidelity of ``--fidelities`` and the full recipe; all are compared by the task's metric on the select split.

The report has Spearman's and Kendall's correlations of flash with full with bootstrap intervals, the ceiling (full with
full between seeds), the same for FLOPs, parameters and latency as predictors, what is left given latency, and the
regret: the share of the hypervolume (score, log latency) lost when the front of the flash scores is trained in full
instead of everything.

Results are the engine's own, in one study per fidelity: a step that is cut off goes on with the same command, and
disjoint shards may run at the same time. ``--seconds`` begins no run after so many; ``--every N`` and ``--seeds 1``
take every Nth architecture, by latency, and one seed. ``--full-seeds 1`` spares the second full run, and with it the
ceiling. ``--variant`` judges another recipe of `fidelity_setup.VARIANTS` on the architectures of the default.
``--task tiny --output FILE`` with an empty folder as DATA tries the script in minutes.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autodistill.components.architecture import Architecture
from autodistill.components.outcome import Job
from autodistill.engine.explore import trial_seed
from autodistill.engine.records import FINAL_RUN_STATES, RunKind, TrialRecord
from autodistill.engine.session import Session
from autodistill.engine.trial_latency import measure_architecture
from autodistill.errors import StudyError, StudyInterruptedError
from autodistill.testing.tiny import write_tiny_task, write_tiny_teacher
from benchmarks.distillation.fidelity_setup import (
    CANDIDATES,
    SEEDS,
    SPACE,
    VARIANTS,
    fidelity_task,
    over_bands,
    study_overrides,
)
from benchmarks.distillation.fidelity_statistics import judge
from benchmarks.distillation.results import output_of, write_section
from benchmarks.quiet_study import quiet_session
from benchmarks.sections import script_parser

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

#: The tiny task's space.
TINY_SPACE = "{num_layers: [1, 2], hidden_size: [16, 32], num_heads: [4], intermediate_size: [16, 32, 64]}"

#: Key of the step in which a study keeps the architectures that were drawn.
DRAWN = "fidelity_architectures"

#: What a report prints of a fidelity; the rest is in its file.
PRINTED = ("flash_with_full", "flash_minus_predictors", "regret", "regret_of_log_flops")


@contextmanager
def open_study(given: argparse.Namespace, variant: str, share: float) -> Iterator[Session]:
    """Open (and make) the study of one variant and fidelity."""
    task = fidelity_task(given.task, given.data, given.examples)
    name = f"{given.task}_{variant}_{share:g}"
    space = TINY_SPACE if given.task == "tiny" else SPACE
    overrides = [*study_overrides(task, name, variant, share, given.work, space, given.backend), *given.set]
    with quiet_session(overrides) as session:
        yield session


def add(session: Session, architecture: Architecture, replicate: int) -> TrialRecord:
    """The trial of an architecture and a seed, made if need be."""
    storage, study = session.storage, session.study.id
    found = storage.find_trial(study, architecture, replicate=replicate, origin="manual")
    if found is None:
        with suppress(StudyError):  # another shard was faster
            storage.add_trial(
                study,
                architecture,
                replicate=replicate,
                origin="manual",
                label=None,
                in_space=True,
                note=None,
                seed=trial_seed(session, architecture, replicate),
            )
        found = storage.find_trial(study, architecture, replicate=replicate, origin="manual")
    if found is None:
        raise SystemExit(f"{architecture} cannot be added to the study {session.study.name}.")
    return found


def time_candidates(session: Session, count: int, until: float) -> int:
    """Time what is not timed yet, and freeze the draw when all are; returns how many are left."""
    storage, study = session.storage, session.study.id
    candidates = list(dict.fromkeys(session.bench.space.sample(20 * CANDIDATES * count, seed=0)))[: CANDIDATES * count]
    trials = [add(session, architecture, SEEDS[0]) for architecture in candidates]
    left = [trial for trial in trials if not trial.latencies]
    for done, trial in enumerate(left):
        session.check_stop()
        if time.monotonic() > until:
            return len(left) - done
        storage.update_trial(study, trial.number, latencies=measure_architecture(session, trial))
    timed = [add(session, architecture, SEEDS[0]) for architecture in candidates]
    latencies = {trial.architecture: _median(trial) for trial in timed}
    drawn = over_bands(latencies, min(count, len(latencies)))
    storage.set_step(study, DRAWN, {item.canonical: latencies[item] for item in drawn})
    # Its full runs are scored on the select split only: what is compared here is no pick.
    storage.set_step(study, "picks_frozen", {"trials": []})
    return 0


def _median(trial: TrialRecord) -> float:
    report: Any = next(iter(trial.latencies.values()))
    return float(report["median"])


def drawn_architectures(session: Session, every: int = 1) -> dict[Architecture, float]:
    """Architecture -> latency in milliseconds, as frozen by the step ``latency``; every so many-th by it."""
    stored = session.storage.step(session.study.id, DRAWN)
    if stored is None:
        raise SystemExit("Nothing is drawn yet: run --step latency first.")
    drawn = {Architecture.from_canonical(text): float(value) for text, value in stored.items()}
    ranked = sorted(drawn, key=lambda item: (drawn[item], item.canonical))
    kept = set(ranked[every // 2 :: every])
    return {item: value for item, value in drawn.items() if item in kept}


def train(
    session: Session,
    architectures: Sequence[Architecture],
    kinds: Sequence[RunKind],
    shard: tuple[int, int],
    until: float,
    seeds: Sequence[int] = SEEDS,
) -> int:
    """Run what is left of this shard; returns how many runs are left."""
    storage, study, runner = session.storage, session.study.id, session.runner()
    storage.set_step(study, "picks_frozen", {"trials": []})
    trials = [add(session, architecture, seed) for seed in seeds for architecture in architectures]
    over = {(run.trial, run.kind) for run in storage.runs(study) if run.state in FINAL_RUN_STATES}
    # Dealt before what is over is left out, or shards that begin at different moments would not be disjoint.
    mine = [job for index, job in enumerate(itertools.product(kinds, trials)) if index % shard[1] == shard[0]]
    jobs = [(kind, trial) for kind, trial in mine if (trial.number, kind) not in over]
    for done, (kind, trial) in enumerate(jobs):
        session.check_stop()
        if time.monotonic() > until:
            return len(jobs) - done
        started = time.monotonic()
        result = runner.work(Job(session.study.name, trial.number, kind))
        if kind == "full":  # figures are kept, weights are not
            shutil.rmtree(runner.final_dir(trial), ignore_errors=True)
        seconds = time.monotonic() - started
        print(f"{session.study.name} {kind} {trial.number} {result.state} {seconds:.1f} s", flush=True)
    return 0


def scores(
    session: Session, architectures: Sequence[Architecture], kind: RunKind, metric: str, seeds: Sequence[int] = SEEDS
) -> FloatArray:
    """``seeds x architectures``: the metric on the select split, NaN where a run failed or is missing."""
    storage, study = session.storage, session.study.id
    runs = {run.trial: run for run in storage.runs(study) if run.kind == kind and run.state == "complete"}
    name = metric if kind == "flash" else f"select/{metric}"
    table = np.full((len(seeds), len(architectures)), np.nan)
    for row, seed in enumerate(seeds):
        for column, architecture in enumerate(architectures):
            trial = storage.find_trial(study, architecture, replicate=seed, origin="manual")
            run = runs.get(trial.number) if trial is not None else None
            if run is not None and name in run.metrics:
                table[row, column] = float(run.metrics[name]["value"])
    return table


def report(given: argparse.Namespace) -> dict[str, Any]:
    """Statistics of every fidelity against the full recipe."""
    if len(given.seeds) < 2:
        raise SystemExit("--seeds: the report holds flash runs against full runs of another seed, so it needs both.")
    metric = fidelity_task(given.task, given.data, given.examples).metric
    found: dict[str, Any] = {}
    with open_study(given, "default", given.fidelities[0]) as session:
        latencies = drawn_architectures(session, given.every)
        architectures = list(latencies)
    with open_study(given, given.variant, given.fidelities[0]) as session:
        full = scores(session, architectures, "full", metric, given.full_seeds)
        known = [session.known.exact(item) for item in architectures]
        floor = float(session.step("teacher")["trivial"][metric])
        teacher = float(session.step("teacher")["values"][metric])
    latency = np.array([latencies[item] for item in architectures])
    sizes = {name: np.array([item[f"size.{name}"] for item in known]) for name in ("flops", "parameters")}
    for share in given.fidelities:
        with open_study(given, given.variant, share) as session:
            flash = scores(session, architectures, "flash", metric, given.seeds)
        whole = np.isfinite(flash).all(axis=0) & np.isfinite(full).all(axis=0)
        if whole.sum() < 4:
            raise SystemExit(
                f"At fidelity {share:g} only {whole.sum()} architectures have all their runs: go on with --step train."
            )
        chosen = {name: values[whole] for name, values in sizes.items()} | {"latency": latency[whole]}
        found[f"{share:g}"] = judge(flash[:, whole], full[:, whole], chosen, latency[whole], floor)
        found[f"{share:g}"]["scores"] = {"flash": _rounded(flash[:, whole]), "full": _rounded(full[:, whole])}
    return {
        "teacher": teacher,
        "trivial": floor,
        "metric": metric,
        "latency_ms": _rounded(latency),
        "fidelities": found,
    }


def _rounded(values: FloatArray) -> Any:
    return np.round(values, 5).tolist()


def arguments(description: str | None) -> argparse.ArgumentParser:
    """What this script and the ablations have in common."""
    parser = script_parser(description)
    parser.add_argument("--step", choices=("latency", "train", "report"), required=True)
    parser.add_argument("--task", choices=("sst2", "corpus", "python_docs", "tiny"), required=True)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("AUTODISTILL_DATA", "data")))
    parser.add_argument("--work", type=Path, required=True, help="folder of the studies; not in the repository")
    parser.add_argument("--architectures", type=int, default=24)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="of those drawn, every Nth")
    parser.add_argument("--seeds", type=lambda text: SEEDS[: int(text)], default=SEEDS, metavar="N", help="default: 2")
    parser.add_argument("--fidelities", type=float, nargs="+", default=[0.05, 0.1])
    parser.add_argument("--examples", type=int, help="of the full recipe; default: the task's own")
    parser.add_argument("--shard", type=shard, default=(0, 1), help="I/N: every Nth run, from the Ith")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no run after so many")
    parser.add_argument(
        "--backend", choices=("onnxruntime", "roofline"), default="onnxruntime", help="of the step latency"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. trainer.accelerator=cuda")
    return parser


#: Overrides that decide how a machine does it, and not what comes out.
HOW = (
    *(f"trainer.{key}=" for key in ("accelerator", "devices", "threads", "strategy", "compile", "accumulate")),
    "cache_",
)


def common_settings(given: argparse.Namespace) -> dict[str, Any]:
    """What the results of this script and of the ablations depend on.

    Of the overrides, those that say how a machine does it are left out: they may change within a study, too.
    """
    chosen = sorted(item for item in given.set if not item.startswith(HOW))
    names = ("task", "every", "examples", "backend")
    return {**{name: vars(given)[name] for name in names}, "seeds": len(given.seeds), "set": chosen}


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """What the results depend on."""
    own = {name: vars(given)[name] for name in ("variant", "architectures", "fidelities")}
    return {**common_settings(given), **own, "full_seeds": len(given.full_seeds or given.seeds)}


def shard(text: str) -> tuple[int, int]:
    """Read ``I/N``."""
    index, _, count = text.partition("/")
    return int(index), int(count)


def prepare(given: argparse.Namespace) -> None:
    """Make the folders, and the tiny task where it is asked for."""
    given.work.mkdir(parents=True, exist_ok=True)
    if given.task == "tiny" and not (given.data / "teacher").exists():
        write_tiny_task(given.data / "data", train=2000, test=120)
        write_tiny_teacher(given.data / "teacher")


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = arguments(__doc__)
    parser.add_argument("--full-seeds", type=lambda text: SEEDS[: int(text)], metavar="N", help="default: as --seeds")
    parser.add_argument("--variant", choices=sorted(VARIANTS), default="default", help="of the recipe")
    return parser


def main() -> int:
    """Do one step."""
    parser = make_parser()
    given = parser.parse_args()
    suffix = "" if given.variant == "default" else f"_{given.variant}"
    section = f"flash_fidelity_{given.task}{suffix}"
    output = output_of(parser, given, section, settings_of) if given.step == "report" else None
    given.full_seeds = given.seeds if given.full_seeds is None else given.full_seeds
    prepare(given)
    until = time.monotonic() + given.seconds
    try:
        if output is not None:
            found = report(given)
            for share, item in found["fidelities"].items():
                print(share, {key: item[key] for key in PRINTED})
            write_section(output, section, settings_of(given), found)
            return 0
        left = 0
        with open_study(given, "default", given.fidelities[0]) as session:
            if given.step == "latency":
                left = time_candidates(session, given.architectures, until)
            else:
                architectures = list(drawn_architectures(session, given.every))
        if given.step == "train":  # the cheap runs first, so that an interrupted benchmark has whole columns
            for share in given.fidelities:
                with open_study(given, given.variant, share) as session:
                    left += train(session, architectures, ("flash",), given.shard, until, given.seeds)
            with open_study(given, given.variant, given.fidelities[0]) as session:
                left += train(session, architectures, ("full",), given.shard, until, given.full_seeds)
    except StudyInterruptedError as error:
        print(error, file=sys.stderr)
        return 130
    print(f"{left} runs are left")
    return 0


if __name__ == "__main__":
    sys.exit(main())
