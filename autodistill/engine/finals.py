"""After the search, part by part: train picks and baselines in full, export, time.

Every part is a stored step, so that a killed run goes on where it was and nothing on the test split is measured
twice. Picks and baselines get the same recipe from the same start; baselines are exempt from constraints.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autodistill.components.latency import LatencySubject
from autodistill.components.outcome import Executor, ExecutorContext, ExportSubject, Job
from autodistill.configs.settings import noted
from autodistill.engine.cache import cache_key
from autodistill.engine.explore import add_beside_search
from autodistill.engine.lease import release_dead
from autodistill.engine.places import final_folder, final_name
from autodistill.engine.promotion import Promoter
from autodistill.engine.records import RunRecord, TrialRecord
from autodistill.engine.session import Session
from autodistill.engine.workbench import Workbench
from autodistill.errors import AutoDistillError, ExportError, LatencyError, StudyError, TrialError, UserError
from autodistill.training.batches import columns_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

#: Examples per batch of the export's parity check, and how many batches: shortest, median and longest examples.
_PARITY_BATCH = 8


def train_picks(session: Session) -> list[int]:
    """Train the picks in full and write them down, the best first; from then on they do not change.

    Until then nothing has been read of the test split: they are chosen, and put in order, by the select split.
    """
    storage, study = session.storage, session.study
    frozen = storage.step(study.id, "picks_frozen")
    searched = sum(trial.origin == "search" for trial in storage.trials(study.id))
    settings = session.settings
    asked = {"max": settings.picks_max, "margin": settings.picks_margin}
    if frozen is not None:
        later = searched - int(frozen.get("searched", 0))
        before = frozen.get("asked") or study.config.get("picks") or {}  # earlier versions did not store it here
        how = [f"before the last {later} trials"] if later > 0 else []
        how += [f"with picks.{k}={before[k]:g} (now {v:g})" for k, v in asked.items() if before.get(k, v) != v]
        if how:
            session.progress.message(
                f"The picks were frozen {' and '.join(how)} and stay as they are: the test split has been "
                "read. A new study.name chooses anew; `autodistill distill trial=N` trains another one in full."
            )
        return [int(number) for number in frozen["trials"]]
    promoter = Promoter(session)
    numbers = promoter.run()
    if not numbers:  # not written down: a larger budget may find some
        return []
    step: dict[str, Any] = {"trials": numbers, "searched": searched, "asked": asked}
    if promoter.fewer:
        step["fewer"] = promoter.fewer
    stored = storage.set_step(study.id, "picks_frozen", step)
    for trunk in settings.study_dir.glob("trials/*/trunk"):  # no other trial will be promoted
        shutil.rmtree(trunk, ignore_errors=True)
    return [int(number) for number in stored["trials"]]


def baseline_trials(session: Session) -> list[int]:
    """The trials of the configured baselines, added when they are new."""
    found = []
    trials = session.storage.trials(session.study.id)
    known = {trial.architecture: trial for trial in trials if trial.origin == "baseline"}
    for named in session.bench.baselines(session.teacher.model):
        trial = known.get(named.architecture)
        if trial is None:
            trial = add_beside_search(session, named.architecture, "baseline", label=named.name)
        found.append(trial.number)
    return found


def train_in_full(session: Session, trials: Iterable[TrialRecord], stage: str = "training baselines in full") -> None:
    """Run the full recipe for trials that have not had it.

    Args:
        session: of the study.
        trials: those to be trained; picks have been.
        stage: what people are told of it.
    """
    release_dead(session.storage, session.study.id)
    complete = complete_full_runs(session)
    waiting = [trial for trial in trials if trial.number not in complete]
    session.progress.stage(stage, len(waiting))
    runner = session.runner(retry_failed=True)
    executor: Executor = session.bench.create(session.settings.one("executor"), ExecutorContext(runner.work))
    failures: list[str] = []

    def wait() -> None:
        result = executor.wait()
        session.progress.advance()
        if result.state == "failed":
            failures.append(f"trial {result.job.trial}: {result.error}")
            session.progress.message(f"full run of {failures[-1]}")

    under_way = 0
    try:
        with session.timed("distill"):
            for trial in waiting:
                session.check_stop()
                if under_way >= executor.capacity:
                    wait()
                    under_way -= 1
                executor.submit(Job(session.study.name, trial.number, "full"))
                under_way += 1
            for _ in range(under_way):
                wait()
    finally:
        executor.close()
    if failures and not complete and len(failures) == len(waiting):
        raise TrialError(f"Every full run failed. The first was {failures[0]}")


def complete_full_runs(session: Session) -> dict[int, RunRecord]:
    """Trial number -> its full run, of those that are complete."""
    runs = session.storage.runs(session.study.id)
    return {run.trial: run for run in runs if run.kind == "full" and run.state == "complete"}


def complete_trials(session: Session, trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Those whose full run is complete."""
    complete = complete_full_runs(session)
    return [trial for trial in trials if trial.number in complete]


def model_directory(session: Session, trial: TrialRecord) -> Path:
    """The trained model of a trial's full run, as a Hugging Face directory.

    Raises:
        StudyError: the trial has no complete full run.
    """
    run = complete_full_runs(session).get(trial.number)
    if run is not None:
        return session.settings.study_dir / str(run.artifacts["hf"])
    raise StudyError(
        f"Trial {trial.number} of {session.study.name!r} has no complete full run. "
        f"Train it: autodistill distill study.name={session.study.name} trial={trial.number}"
    )


def load_model(directory: Path) -> PreTrainedModel:
    """Load a model from a directory: safetensors only, no remote code, eval mode.

    Raises:
        UserError: there is no such model in it, or it is damaged.
    """
    from safetensors import SafetensorError

    from autodistill.exporters.auto_classes import load_pretrained

    if not any(directory.glob("model*.safetensors")):
        raise UserError(
            f"{directory} holds no model.safetensors, so there is no model to load. Give a directory that "
            "AutoDistill or transformers' save_pretrained wrote; pickled weights are not read."
        )
    try:
        return load_pretrained(directory)
    except (OSError, ValueError, SafetensorError) as error:  # JSON's errors are ValueErrors
        raise UserError(
            f"{directory} cannot be loaded as a model ({type(error).__name__}: {str(error)[:200]}). A file of it is "
            "damaged or missing: copy or export the model again."
        ) from error


# -- exports -----------------------------------------------------------------------------------------------------


def export_trial(session: Session, trial: TrialRecord) -> list[dict[str, Any]]:
    """Write a trained trial in every chosen format; an export that fails is recorded, and tried again next time."""
    model = load_model(model_directory(session, trial))
    folder = session.settings.study_dir / final_folder(session.storage, session.study, trial)
    found = []
    for label, chosen in session.settings.several["export"].items():
        name, key = f"export:{trial.number}:{label}", cache_key(chosen.identity)
        stored = session.storage.step(session.study.id, name)
        if stored is None or "error" in stored or stored.get("chosen", key) != key:
            session.check_stop()
            before = stored
            with session.timed("export"):
                stored = {**_export(session, trial, label, chosen, model, folder), "chosen": key}
            # Before the export is stored, so that a process that is killed between them leaves it to be made again.
            if before is not None and (_is_run(stored) or _is_run(before)):
                _forget_what_ran(session, trial)
            session.storage.replace_step(session.study.id, name, stored)
        found.append(stored)
    return found


def _is_run(export: Mapping[str, Any]) -> bool:
    """Whether backends run the file of a stored export."""
    return "path" in export and export["format"] == "onnx"


def _forget_what_ran(session: Session, trial: TrialRecord) -> None:
    """Let a model that was exported again be timed and asked again: another file was, or none."""
    storage, study = session.storage, session.study
    storage.replace_step(study.id, f"latency:{trial.number}", {})
    for label in session.backends:
        name = f"answers:{trial.number}:{label}"
        if (stored := storage.step(study.id, name)) is not None:
            left_out = {"precision": stored["precision"], "left_out": "the model was exported again"}
            storage.replace_step(study.id, name, left_out)


def _export(
    session: Session, trial: TrialRecord, label: str, chosen: Any, model: PreTrainedModel, folder: Path
) -> dict[str, Any]:
    model_name = final_name(session.storage, session.study, trial)
    subject = ExportSubject(
        model_name,
        model,
        session.bench.tokenizer,
        session.bench.task,
        parity_sample_of(session.bench),
    )
    directory = folder / ("hf" if chosen.name == "huggingface" else label)
    try:
        report = session.bench.create(chosen).export(subject, directory)
    except Exception as error:  # a file beside the comparison must not cost the comparison
        foreign = not isinstance(error, AutoDistillError)
        if not foreign and not isinstance(error, ExportError):
            raise
        failed = f"{chosen.registered.described}: {type(error).__name__}: {error}" if foreign else str(error)
        logger.info("export %s of %s failed", label, model_name, exc_info=True)
        session.progress.message(f"export {label} of {model_name} failed: {failed}")
        return {"format": chosen.name, "label": label, "error": failed}
    return {
        "format": report.format,
        "label": label,
        "path": str(report.path.relative_to(session.settings.study_dir)),
        "sha256": report.sha256,
        "parity": dict(report.parity),
        "bytes": report.bytes,
        "versions": dict(report.versions),
    }


def parity_sample_of(bench: Workbench) -> list[Mapping[str, Any]]:
    """Batches of real examples of the select split: the shortest padded to the longest, the middle and the longest."""
    split = bench.splits["select"]
    order = np.argsort(split.lengths, kind="stable").astype(np.int64)
    middle = max(0, len(order) // 2 - _PARITY_BATCH // 2)
    half = _PARITY_BATCH // 2
    ends = np.concatenate([order[:half], order[-half:]])  # a format that forgets the mask answers otherwise there
    chunks = (ends, order[middle : middle + _PARITY_BATCH], order[-_PARITY_BATCH:])
    return [columns_of(split.batch(rows)) for rows in chunks]


# -- latency -----------------------------------------------------------------------------------------------------


def time_finals(session: Session, trials: Iterable[TrialRecord]) -> None:
    """Time picks and baselines again, with their trained weights and in their exported files.

    What could not be timed is tried again by the next call.
    """
    waiting = list(trials)
    session.progress.stage("timing trained models", len(waiting))
    for trial in waiting:
        name = f"latency:{trial.number}"
        stored = session.storage.step(session.study.id, name) or {}
        labels = [label for label in session.backends if label not in stored]
        if labels:
            session.check_stop()
            timed = time_subject(session, final_subject(session, trial), labels=labels)
            session.storage.replace_step(session.study.id, name, {**stored, **timed})
        session.progress.advance()


def final_subject(session: Session, trial: TrialRecord) -> LatencySubject:
    """A trained model as latency backends take it: its weights, and its ONNX export where there is one."""
    directory = model_directory(session, trial)
    return LatencySubject(
        final_name(session.storage, session.study, trial),
        trial.architecture,
        _loader(directory),
        _artifacts(session, trial, directory),
    )


def _loader(directory: Path) -> Callable[[], PreTrainedModel]:
    return lambda: load_model(directory)


def _artifacts(session: Session, trial: TrialRecord, directory: Path) -> dict[str, Path]:
    found = {"huggingface": directory}
    for label in session.settings.several["export"]:
        stored = session.storage.step(session.study.id, f"export:{trial.number}:{label}")
        if stored and _is_run(stored):
            found["onnx"] = session.settings.study_dir / stored["path"]
    return found


def time_subject(
    session: Session, subject: LatencySubject, precision: str | None = None, labels: Collection[str] | None = None
) -> dict[str, Any]:
    """Label -> report of every backend that can time the model; one that cannot is named and left out.

    Args:
        session: has the backends.
        subject: what is timed.
        precision: of a model that the backends do not know to have another one.
        labels: of the backends; None for all.
    """
    found: dict[str, Any] = {}
    with session.timed("latency"):
        for label, backend in session.backends.items():
            if labels is not None and label not in labels:
                continue
            try:
                with noted(session.settings.several["latency"][label], f"timing {subject.name}"):
                    report = backend.measure(subject)
            except LatencyError as error:
                session.progress.message(f"{subject.name} could not be timed by latency.{label}: {error}")
                continue
            if precision == "int8":
                report = replace(report, precision="int8", workload={**report.workload, "precision": "int8"})
            found[label] = report.as_dict()
    return found
