"""What a task-agnostic study is for: its picks, baselines and teacher, fine-tuned on tasks and compared there.

Every model gets the protocol of `autodistill.engine.fine_tuning` on every data source of ``fine_tuning.tasks``, after
the picks are frozen. Gains are paired on the task's final split, over all seeds. The outcome is the stored step
``tasks``; what is complete is not done again, what was interrupted goes on. Answers are kept, weights are not: the verb
``evaluate`` fine-tunes a pick for use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.engine.cache import cache_key
from autodistill.engine.finals import complete_full_runs, model_directory
from autodistill.engine.fine_tuning import TRY_AGAIN, FineTuner
from autodistill.engine.guards import data_notes
from autodistill.engine.places import final_name, frozen_picks
from autodistill.engine.recipe import TRAINING_FACTOR
from autodistill.engine.score_statistics import difference_over_seeds
from autodistill.engine.task_bench import forward_flops, protocol_of, task_bench
from autodistill.engine.verdict import entry_of
from autodistill.errors import OutOfMemoryTrialError, TrialError
from autodistill.evaluators.glue_tasks import AVERAGES, averaged_metrics, glue_average, task_of
from autodistill.training.precision import precision_of

if TYPE_CHECKING:
    from autodistill.components.architecture import Architecture
    from autodistill.components.outcome import Score
    from autodistill.engine.session import Session
    from autodistill.engine.workbench import Workbench

#: Name of the stored step.
STEP = "tasks"


@dataclass(frozen=True)
class Model:
    """What is fine-tuned.

    Args:
        name: what the report calls it.
        role: ``"teacher"``, ``"baseline"`` or ``"pick"``.
        directory: of the model.
        architecture: for its cost; None for a teacher that no student family knows.
    """

    name: str
    role: str
    directory: Path
    architecture: Architecture | None


def fine_tune_models(session: Session) -> None:
    """Fine-tune picks, baselines and teacher on every task, compare them, and store the outcome."""
    settings, storage, study = session.settings, session.storage, session.study
    if not settings.tasks:
        return
    models = _models(session)
    benches = {label: task_bench(session.bench, label) for label in settings.tasks}
    made_of = {
        "models": {model.name: str(model.directory) for model in models},
        "tasks": {label: chosen.identity for label, chosen in settings.tasks.items()},
        "data": {label: bench.data.fingerprint for label, bench in benches.items()},
        "protocol": settings.fine_tuning,
        "precision": precision_of(settings.trainer),
    }
    key, stored = cache_key(made_of), storage.step(study.id, STEP)
    if stored is not None and stored["key"] == key and not stored.get(TRY_AGAIN):
        return
    session.progress.stage("fine-tuning on tasks", len(models) * len(settings.tasks))
    with session.timed("fine_tune"):
        found = [_tuned(session, label, bench, models) for label, bench in benches.items()]
    storage.replace_step(study.id, STEP, {"key": key, **_content(models, found)})


def _models(session: Session) -> list[Model]:
    """The teacher, then baselines and frozen picks whose full run is complete."""
    teacher = session.teacher
    found = [Model("teacher", "teacher", teacher.directory, session.bench.architecture_of(teacher.model))]
    complete, frozen = complete_full_runs(session), frozen_picks(session.storage, session.study) or []
    trials = {trial.number: trial for trial in session.storage.trials(session.study.id)}
    baselines = [number for number, trial in trials.items() if trial.origin == "baseline"]
    for role, numbers in (("baseline", baselines), ("pick", frozen)):
        for trial in (trials[number] for number in numbers if number in complete):
            name = final_name(session.storage, session.study, trial)
            found.append(Model(name, role, model_directory(session, trial), trial.architecture))
    return found


@dataclass
class _Tuned:
    """What came of one task.

    Args:
        label: of the task.
        facts: kind, benchmark, metric, its direction, the final split, and what is worth knowing of the data.
        outcomes: model -> the protocol's outcome, or ``error``.
        scores: model -> scores of each seed.
        flops: of all training.
        try_again: whether memory ran out in some run, so that another call may come to another outcome.
    """

    label: str
    facts: dict[str, Any]
    outcomes: dict[str, dict[str, Any]]
    scores: dict[str, list[dict[str, Score]]]
    flops: float = 0.0
    try_again: bool = False


def _tuned(session: Session, label: str, first: Workbench, models: Sequence[Model]) -> _Tuned:
    """Every model on one task, whose workbench for the study's own teacher is ``first``."""
    metric = first.task.metric
    facts = {
        "kind": first.task.kind,
        "benchmark": first.task.benchmark,
        "metric": metric,
        "direction": first.directions[metric],
        "split": first.final_role,
        "notes": data_notes(first),
    }
    found = _Tuned(label, facts, {}, {})
    for model in models:
        session.check_stop()
        bench = task_bench(session.bench, label, model.directory, first.data)
        tuner = FineTuner(
            bench,
            protocol_of(bench),
            session.settings.study_dir / "fine_tuning" / label,
            session.progress.step,
            lambda: session.stop.requested,
            model.name,
        )
        try:
            found.outcomes[model.name] = tuner.run()
            found.scores[model.name] = tuner.scores
            tuner.forget_models()
            found.flops += (
                TRAINING_FACTOR
                * forward_flops(session.bench, bench, model.architecture)
                * float(found.outcomes[model.name]["cost"]["examples"])
            )
        except TrialError as error:
            session.progress.message(f"{model.name} could not be fine-tuned on {label}: {error}")
            found.outcomes[model.name] = {"error": str(error)}
            found.try_again |= isinstance(error, OutOfMemoryTrialError)
        found.try_again |= tuner.out_of_memory
        session.progress.advance()
    return found


# -- the stored outcome ------------------------------------------------------------------------------------------


def _content(models: Sequence[Model], found: Sequence[_Tuned]) -> dict[str, Any]:
    rows = []
    for model in models:
        outcomes = {one.label: one.outcomes[model.name] for one in found}
        estimates = {one.label: one.outcomes[model.name].get("metrics", {}) for one in found}
        row = {"name": model.name, "role": model.role, "tasks": outcomes, "averages": _averages(found, estimates)}
        if model.role == "pick":
            others = [other.name for other in models if other.role != "pick"]
            row["versus"] = {name: _versus(found, model.name, name) for name in others}
        rows.append(row)
    costs = [one.outcomes[model.name].get("cost", {}) for one in found for model in models]
    return {
        "tasks": {one.label: one.facts for one in found},
        "models": rows,
        TRY_AGAIN: any(one.try_again for one in found),
        "cost": {
            "examples": sum(float(cost.get("examples", 0.0)) for cost in costs),
            "flops": sum(one.flops for one in found),
            "device_seconds": sum(float(cost.get("device_seconds", 0.0)) for cost in costs),
        },
    }


def _versus(found: Sequence[_Tuned], ours: str, theirs: str) -> dict[str, Any]:
    """Paired gains of a pick over another model: of every task's metric, and of both averages over GLUE."""
    gains: dict[str, dict[str, Any]] = {}
    for one in found:
        if ours in one.scores and theirs in one.scores:
            gains[one.label] = {
                metric: entry_of(
                    difference_over_seeds(
                        [seed[metric] for seed in one.scores[ours]], [seed[metric] for seed in one.scores[theirs]]
                    ),
                    one.facts["split"],
                )
                for metric in _compared(one.facts)
            }
    metrics = {one.label: one.facts["metric"] for one in found}
    return {
        "gains": {label: entries[metrics[label]] for label, entries in gains.items()},
        "averages": _averages(found, gains),
    }


def _compared(facts: Mapping[str, Any]) -> list[str]:
    """The task's metric, and those that stand for it in the averages over GLUE."""
    task = task_of(facts["benchmark"])
    more = [f"glue.{name}" for kind in AVERAGES for name in averaged_metrics(kind, task)] if task else []
    return list(dict.fromkeys([facts["metric"], *more]))


def _averages(found: Sequence[_Tuned], estimates: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Both averages over those tasks that are GLUE's; empty where none is, or where one failed that others have.

    Averages over different tasks do not compare, and would stand in one column. Of a task that stands under two labels
    neither is the one that counts, so there is no average either.
    """
    entries = [
        (task, {name.removeprefix("glue."): entry for name, entry in estimates.get(one.label, {}).items()})
        for one in found
        if one.scores and (task := task_of(one.facts["benchmark"]))
    ]
    tasks = dict(entries)
    if len(tasks) < len(entries) or not all(tasks.values()):
        return {}
    averages = {kind: glue_average(kind, tasks) for kind in AVERAGES}
    return {kind: asdict(average) for kind, average in averages.items() if average is not None}
