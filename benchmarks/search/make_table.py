"""Make the real tables, step by step; every step can be interrupted and goes on when it is started again.

    python -m benchmarks.search.make_table --family bert --step flash --data DATA --work WORK [--shard 0/2]

Steps: ``flash`` (every architecture, scored at three rungs), ``repeat`` (another replicate of each, scored at the end
only: the scores cost more than the training), ``full`` (the full recipe for a part of them), ``latency`` (onnxruntime,
fp32 and int8; the machine must be idle) and ``write`` (the files in ``tables/``).
One study per family, so results are the engine's own and safe against a kill; processes on disjoint shards may run at
the same time.
``--seconds`` ends a step after the trial during which they pass.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from autodistill.components.architecture import Architecture
from autodistill.components.outcome import Job
from autodistill.engine.environment import describe_environment
from autodistill.engine.explore import trial_seed
from autodistill.engine.records import FINAL_RUN_STATES, RunKind, TrialRecord
from autodistill.engine.session import Session
from autodistill.engine.trial_latency import measure_architecture
from autodistill.errors import StudyError, StudyInterruptedError
from benchmarks.quiet_study import quiet_session
from benchmarks.search.table_files import STEPS, TRAINED_ON, write_table
from benchmarks.search.table_setup import (
    FAMILIES,
    REPLICATES,
    RUNGS,
    full_recipe,
    table_architectures,
    table_overrides,
)


@contextmanager
def open_table(
    family: str, data: Path, work: Path, rungs: Sequence[float], more: Sequence[str] = ()
) -> Iterator[Session]:
    """Open the family's study with all its trials in it."""
    overrides = table_overrides(family, data, work, rungs, more)
    with quiet_session(overrides) as session:
        add_trials(session, family)
        yield session


def add_trials(session: Session, family: str) -> None:
    """Add what is missing, and freeze which architectures get the full recipe before anything is scored."""
    architectures = table_architectures(family)
    for replicate in REPLICATES:
        for architecture in architectures:
            _add(session, architecture, replicate)
    flops = {item: session.known.exact(item)["size.flops"] for item in architectures}
    chosen = full_recipe(flops, FAMILIES[family].full)
    members = frozenset(chosen)
    # Only frozen picks are scored on the test split.
    picks = [item.number for item in session.storage.trials(session.study.id) if item.architecture in members]
    frozen = {"trials": picks, "full_recipe": [item.canonical for item in chosen]}
    session.storage.set_step(session.study.id, "picks_frozen", frozen)


def _add(session: Session, architecture: Architecture, replicate: int) -> None:
    storage, study = session.storage, session.study.id
    if storage.find_trial(study, architecture, replicate=replicate, origin="manual") is not None:
        return
    try:
        storage.add_trial(
            study,
            architecture,
            replicate=replicate,
            origin="manual",
            label=None,
            in_space=architecture in session.bench.space,
            note=None,
            seed=trial_seed(session, architecture, replicate),
        )
    except StudyError:  # another shard was faster
        if storage.find_trial(study, architecture, replicate=replicate, origin="manual") is None:
            raise


def chosen_for_full(session: Session) -> set[Architecture]:
    """The architectures that get the full recipe."""
    return {Architecture.from_canonical(text) for text in session.step("picks_frozen")["full_recipe"]}


def open_jobs(session: Session, kind: RunKind, replicate: int) -> list[TrialRecord]:
    """Trials of the replicate whose run of this kind is not over."""
    storage, study = session.storage, session.study.id
    over = {run.trial for run in storage.runs(study) if run.kind == kind and run.state in FINAL_RUN_STATES}
    trials = [trial for trial in storage.trials(study) if trial.number not in over and trial.replicate == replicate]
    wanted = chosen_for_full(session)
    return [trial for trial in trials if kind == "flash" or trial.architecture in wanted]


def train(session: Session, kind: RunKind, shard: tuple[int, int], replicate: int, until: float) -> int:
    """Run what is left of this shard; returns how many trials are left."""
    runner = session.runner()
    left = [trial for trial in open_jobs(session, kind, replicate) if trial.number % shard[1] == shard[0]]
    for done, trial in enumerate(left):
        session.check_stop()
        if time.monotonic() > until:
            return len(left) - done
        started = time.monotonic()
        result = runner.work(Job(session.study.name, trial.number, kind))
        if kind == "full":  # the table keeps figures only, and weights take 50 MB each
            shutil.rmtree(runner.final_dir(trial), ignore_errors=True)
        print(
            f"{kind} {trial.number} {result.state} {time.monotonic() - started:.1f} s {trial.architecture}", flush=True
        )
    return 0


def time_all(session: Session, until: float) -> int:
    """Time every architecture once; returns how many are left."""
    storage, study = session.storage, session.study.id
    left = [trial for trial in storage.trials(study) if trial.replicate == 0 and not trial.latencies]
    for done, trial in enumerate(left):
        session.check_stop()
        if time.monotonic() > until:
            return len(left) - done
        started = time.monotonic()
        latencies = measure_architecture(session, trial)
        storage.update_trial(study, trial.number, latencies=latencies)
        shown = {label: round(float(str(report["median"])), 3) for label, report in latencies.items()}
        print(f"latency {trial.number} {time.monotonic() - started:.1f} s {shown} {trial.architecture}", flush=True)
    return 0


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    return int(index), int(count)


def main() -> int:
    """Do one step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=sorted(FAMILIES), required=True)
    parser.add_argument("--step", choices=STEPS, required=True, nargs="+")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. trainer.accelerator=cuda")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("AUTODISTILL_DATA", "data")))
    parser.add_argument("--work", type=Path, required=True, help="folder of the studies; not in the repository")
    parser.add_argument("--shard", type=_shard, default=(0, 1), help="I/N: trials whose number is I modulo N")
    parser.add_argument("--replicate", type=int, choices=REPLICATES, default=0, help="of the step `full`")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no trial after so many")
    given = parser.parse_args()
    until = time.monotonic() + given.seconds
    try:
        for step in given.step:
            rungs = () if step == "repeat" else RUNGS
            with open_table(given.family, given.data, given.work, rungs, given.set) as session:
                print(f"{step}: {take(step, session, given, until)}", flush=True)
    except StudyInterruptedError as error:
        print(error, file=sys.stderr)
        return 130
    return 0


def take(step: str, session: Session, given: argparse.Namespace, until: float) -> str:
    """Take one step, or what time there is for; returns what is left to do."""
    if step == "write":
        return write_table(session, given.family)
    if step == "latency":
        return f"{time_all(session, until)} trials are left"
    session.storage.set_step(session.study.id, TRAINED_ON, describe_environment())
    kind: RunKind = "full" if step == "full" else "flash"
    replicate = REPLICATES[1] if step == "repeat" else given.replicate
    return f"{train(session, kind, given.shard, replicate, until)} trials are left"


if __name__ == "__main__":
    sys.exit(main())
