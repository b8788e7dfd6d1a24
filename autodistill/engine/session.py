"""An open study: its record, teacher, latency backends and known metrics, checked in the order of their cost.

`open_session` first checks everything that can be wrong without training (data, teacher, space, objectives, losses,
identity), then makes or finds the study's record, and only then prepares the teacher.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from autodistill.components.latency import LatencyBackend, LatencySubject
from autodistill.components.search import Constraint, EarlierStudy, SearchContext
from autodistill.configs.paths import overrides_with_paths
from autodistill.configs.settings import Settings
from autodistill.engine.checks import check_baselines, check_components, check_trainer
from autodistill.engine.earlier import earlier_studies, remember
from autodistill.engine.environment import describe_environment, prepare_process
from autodistill.engine.environments import remember_environment
from autodistill.engine.explore_clock import INSIDE
from autodistill.engine.features import StudyFeatures
from autodistill.engine.going_on import command_to_go_on
from autodistill.engine.guards import data_notes
from autodistill.engine.identity import check_identity, study_identity
from autodistill.engine.known import KnownMetrics
from autodistill.engine.random_starts import random_starts
from autodistill.engine.recipe import check_recipe
from autodistill.engine.records import StudyRecord, TrialRecord
from autodistill.engine.relative import useful_reference
from autodistill.engine.runner import Runner, RunnerContext
from autodistill.engine.scores import score_all, stored_metrics
from autodistill.engine.secret_overrides import without_secret
from autodistill.engine.space_config import LARGEST_INTEGER
from autodistill.engine.stop import StopSignal
from autodistill.engine.storage import Storage
from autodistill.engine.storage_connection import missing_file
from autodistill.engine.task_bench import check_tasks
from autodistill.engine.teacher import PreparedTeacher, check_learnt, features_key, prepare_teacher, teacher_directory
from autodistill.engine.timed_on import TimedOn, calibrations, check_timed_on, timed_on
from autodistill.engine.trivial import trivial_scores
from autodistill.engine.workbench import Workbench, model_dimensions
from autodistill.errors import StudyError, StudyExistsError
from autodistill.folders import ending_uses, private_directory, write_json
from autodistill.report.formats import without_secrets

if TYPE_CHECKING:
    from autodistill.registry import Registry
    from autodistill.report.progress import Progress

logger = logging.getLogger(__name__)

#: The first stage of `run`, and of `plan`.
CHECKING = "checking configuration, data and teacher"


@dataclass
class Session:
    """A study that is being worked on; see `open_session`."""

    settings: Settings
    bench: Workbench
    storage: Storage
    study: StudyRecord
    teacher: PreparedTeacher
    backends: Mapping[str, LatencyBackend]
    known: KnownMetrics
    progress: Progress
    stop: StopSignal
    earlier: tuple[EarlierStudy, ...] = ()

    def search_context(self, constraints: tuple[Constraint, ...] | None = None) -> SearchContext:
        """What the search strategy is built from; other constraints than the study's where they are given."""
        bench, teacher = self.bench, self.step("teacher")
        reference = useful_reference(bench.objectives, bench.constraints, teacher)
        return replace(
            bench.search_context(self.known, self.earlier),
            constraints=bench.constraints if constraints is None else constraints,
            reference={metric: value for metric, value in reference.items() if np.isfinite(value)},
        )

    def runner(self, retry_failed: bool = False) -> Runner:
        """What executes this study's jobs in this process."""
        context = RunnerContext(
            self.bench, self.storage, self.study, self.teacher, self.progress, lambda: self.stop.requested
        )
        return Runner(context, retry_failed)

    def step(self, name: str) -> Any:
        """The outcome of a step that has been done.

        Raises:
            StudyError: it has not.
        """
        stored = self.storage.step(self.study.id, name)
        if stored is None:
            raise StudyError(f"The study {self.study.name!r} has not done {name!r} yet. The same command does it.")
        return stored

    def check_stop(self) -> None:
        """Raise `StudyInterruptedError` when the user asked to stop."""
        self.stop.check()

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Account the block's wall-clock seconds to a stage, also when it is interrupted."""
        started, before = time.monotonic(), self._inside(stage)
        try:
            yield
        finally:
            passed = time.monotonic() - started
            self.storage.add_seconds(self.study.id, stage, passed - (self._inside(stage) - before))

    def _inside(self, stage: str) -> float:
        return self.storage.added_here(self.study.id, INSIDE.get(stage, ()))


def how_to_go_on(settings: Settings, verb: str) -> str:
    """What to type to go on with a study."""
    command = command_to_go_on(settings.study_name, str(settings.output_dir), settings.storage_url, verb)
    return f"Go on with: {command}"


@dataclass(frozen=True)
class Checked:
    """What has been checked without training.

    Args:
        bench: parts of the study.
        identity: the study's.
        features: of the teacher, before it is fine-tuned.
        earlier: studies that the search learns from.
        storage: where the study lives; None where it has not been made.
        known: the study as it is stored; None where there is none yet.
        random_starts: in words which students cannot start from the teacher; see `random_starts`.
    """

    bench: Workbench
    identity: dict[str, Any]
    features: StudyFeatures
    earlier: tuple[EarlierStudy, ...]
    storage: Storage | None
    known: StudyRecord | None
    random_starts: str | None


def check_study(
    settings: Settings, registry: Registry, stack: ExitStack, stop_requested: Callable[[], bool] | None = None
) -> Checked:
    """Check whether a study can begin, or go on; nothing is written.

    Args:
        settings: checked configuration.
        registry: what exists.
        stack: closes the storage.
        stop_requested: asked while another process makes what this one needs.

    Raises:
        UserError: anything the user can mend.
        StudyInterruptedError: a stop was requested.
    """
    storage, known = _existing(settings, stack)
    snapshot = str(known.identity["data"]["fingerprint"]) if known else None
    teacher = storage.step(known.id, "teacher") if storage is not None and known is not None else None
    precision = None if teacher is None else str(teacher.get("precision", ""))
    timed = _timed_on(teacher)
    bench = Workbench(
        settings,
        registry,
        snapshot,
        stop_requested=stop_requested,
        teacher_precision=precision,
        calibrations=calibrations(timed),
    )
    earlier = earlier_studies(settings, storage, known.id if known else None)
    trials = storage.trials(known.id) if storage is not None and known is not None else []
    identity, features, random = check_workbench(bench, earlier, known, trials, timed)
    return Checked(bench, identity, features, earlier, storage, known, random)


def check_workbench(
    bench: Workbench,
    earlier: tuple[EarlierStudy, ...] = (),
    known: StudyRecord | None = None,
    trials: Sequence[TrialRecord] = (),
    timed: TimedOn = MappingProxyType({}),
) -> tuple[dict[str, Any], StudyFeatures, str | None]:
    """Everything that can be wrong without training.

    Args:
        bench: parts of the study.
        earlier: studies that the search learns from.
        known: the study that goes on; None for a new one.
        trials: of that study.
        timed: how and where that study times.

    Returns:
        The study's identity, the teacher's features, and in words which students cannot start from the teacher.
    """
    bench.data, bench.task, bench.vocabulary  # noqa: B018 (each raises what is wrong with it)
    bench.space, bench.evaluators, bench.objectives, bench.constraints, bench.train  # noqa: B018
    for architecture in (*bench.first_architectures, *bench.some_architectures):
        bench.check_architecture(architecture)
    model = bench.teacher.load(bench.task)
    bench.check_losses(model_dimensions(model))
    times = check_components(bench, model, earlier)
    check_recipe(bench, model, model_dimensions(model))
    check_tasks(bench)
    check_trainer(bench.settings)
    # Their size does not depend on what the teacher has learnt: a disk that is too small shows before it learns.
    features = StudyFeatures(bench, model, model_dimensions(model), features_key(bench))
    features.check(_entries(bench))
    identity = study_identity(bench)
    if known is not None:
        check_identity(known.name, known.identity, identity, timed)
        check_timed_on(known.name, timed, times)
        check_baselines(bench.baselines(model), trials)
    return identity, features, random_starts(bench, model, bench.baselines(model))


def _entries(bench: Workbench) -> list[Path]:
    """Entries of the cache that the study reads, besides the teacher's features."""
    return [teacher_directory(bench), *(split.directory for split in bench.splits.values())]


@contextmanager
def open_session(
    settings: Settings,
    registry: Registry,
    *,
    overrides: Sequence[str] = (),
    progress: Progress,
    stop: StopSignal,
    record: bool = True,
) -> Iterator[Session]:
    """Open a study for work, making it when it does not exist.

    With ``record`` the configuration becomes the study's own; a verb that does a part of the job leaves it alone.

    Raises:
        UserError: anything the user can mend; nothing but the log has been written then.
        StudyInterruptedError: a stop was requested while data and teacher were being prepared.
    """
    prepare_process(settings.trainer)
    with ExitStack() as stack:
        stack.enter_context(ending_uses())  # another study of this process may need the room in the cache
        progress.stage(CHECKING)
        checked = check_study(settings, registry, stack, lambda: stop.requested)
        bench, features, earlier = checked.bench, checked.features, checked.earlier
        storage = checked.storage or stack.enter_context(Storage(settings.storage_url))
        environment, last = describe_environment(), None if checked.known is None else checked.known.environment
        study = _study_record(settings, bench, storage, checked.identity, environment, overrides, record)
        if changed := remember_environment(storage, study.id, environment, last):
            progress.message(changed)
        if checked.random_starts is not None:
            progress.message(checked.random_starts)
        remember(storage, study.id, earlier)
        registry.manager.notify("autodistill_before_study_run", study=study.name, config=deepcopy(settings.raw))
        progress.stage("teacher")
        features.make_room(_entries(bench))
        teacher = prepare_teacher(bench, progress.step, lambda: stop.requested)
        storage.add_seconds(study.id, "teacher", teacher.seconds)
        reference = LatencySubject("teacher", None, _builder(teacher), {"huggingface": teacher.directory})
        backends = bench.make_backends(reference)
        for backend in backends.values():
            stack.callback(backend.close)
        known_metrics = bench.known(backends)
        session = Session(settings, bench, storage, study, teacher, backends, known_metrics, progress, stop, earlier)
        _record_teacher(session, reference)
        StudyFeatures.of(bench, teacher).make_room(_entries(bench))
        yield session


def _existing(settings: Settings, stack: ExitStack) -> tuple[Storage | None, StudyRecord | None]:
    """The storage and study when there are any; a new SQLite file is not made before the checks have passed."""
    url = settings.storage_url
    if missing_file(url) is not None:
        return None, None
    storage = stack.enter_context(Storage(url))
    return storage, storage.find_study(settings.study_name)


def _builder(teacher: PreparedTeacher) -> Callable[[], Any]:
    return lambda: teacher.model


def _study_record(
    settings: Settings,
    bench: Workbench,
    storage: Storage,
    identity: dict[str, Any],
    environment: dict[str, Any],
    overrides: Sequence[str],
    record: bool,
) -> StudyRecord:
    components = {
        "components": _components(settings),
        "overrides": _lasting(overrides or settings.overrides, settings.paths),
    }
    config = without_secrets(_jsonable(settings.raw))
    study = storage.find_study(settings.study_name)
    if study is None:
        try:
            study = storage.create_study(settings.study_name, identity, config, components, environment)
        except StudyExistsError:  # another process made it at the same moment: go on with that one
            return _study_record(settings, bench, storage, identity, environment, overrides, record)
    else:
        # Another process may have made it meanwhile.
        check_identity(study.name, study.identity, identity, _timed_on(storage.step(study.id, "teacher")))
        if not record:
            return study
        storage.update_study(study.id, config=config, components=components, environment=environment)
    # Written once; also for a study whose first process was killed between its record and these.
    storage.set_step(study.id, "task", {"kind": bench.task.kind, **asdict(bench.task)})
    storage.set_step(study.id, "splits", {role: len(split) for role, split in bench.splits.items()})
    storage.set_step(study.id, "notes", data_notes(bench))
    storage.set_step(study.id, "space", _space_facts(bench))
    _write_study_files(private_directory(settings.study_dir), config, components, environment)
    return study


def _space_facts(bench: Workbench) -> dict[str, Any]:
    """How large the search space is; numbers beyond 2**53 as floats, which is how JSON readers take them."""
    space, size = bench.space, bench.space.estimated_size
    number, error = (item if item < LARGEST_INTEGER else float(item) for item in (size.value, size.standard_error))
    facts = {"parameters": len(space.parameters), "feasible_architectures": number, "standard_error": error}
    return {**facts, "derived": sorted(space.derived)} if space.derived else facts


def _lasting(overrides: Sequence[str], paths: Mapping[str, str]) -> list[str]:
    """Overrides that belong to the study, with absolute paths; where it lies and what a verb works on do not.

    Secrets are masked, and such an override is left out when the study goes on.
    """
    passing = ("trial=", "architecture=", "model=", "study.name=", "output_dir=", "storage=", "storage.url=")
    lasting = [override for override in overrides if not override.lstrip("+").startswith(passing)]
    return [without_secret(override) for override in overrides_with_paths(lasting, paths)]


def _write_study_files(folder: Path, config: Any, components: Any, environment: Any) -> None:
    from omegaconf import OmegaConf

    OmegaConf.save(OmegaConf.create(config), folder / "resolved_config.yaml")
    write_json(folder / "components.json", components)
    write_json(folder / "environment.json", environment)


def _components(settings: Settings) -> list[dict[str, str]]:
    chosen = [*settings.components.values(), *(item for group in settings.several.values() for item in group.values())]
    return [
        {
            "kind": item.registered.kind.name,
            "label": item.label,
            "name": item.name,
            "distribution": item.registered.provider.distribution,
            "version": item.registered.provider.version,
        }
        for item in chosen
    ]


def _jsonable(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _timed_on(teacher: Mapping[str, Any] | None) -> TimedOn:
    """How and where a study times, by its step ``teacher``; empty where that does not say."""
    found: TimedOn = (teacher or {}).get("timed_on", {})
    return found


def _record_teacher(session: Session, subject: LatencySubject) -> None:
    """Score and time the teacher once per study, and fix the reference point of the hypervolume.

    Raises:
        StudyError: another process has begun to time the study, otherwise than this one would.
    """
    storage, study = session.storage, session.study
    times = timed_on(session.backends)
    stored = storage.step(study.id, "teacher")
    if stored is None:
        stored = storage.set_step(study.id, "teacher", {**_teacher_facts(session, subject), "timed_on": times})
    check_timed_on(study.name, _timed_on(stored), times)


def _teacher_facts(session: Session, subject: LatencySubject) -> dict[str, Any]:
    """The teacher's scores and latencies."""
    bench = session.bench
    session.progress.stage("scoring and timing the teacher")
    with session.timed("evaluate"):
        predictions = session.teacher.predictions(bench, "select")
        scores = score_all(bench, predictions)
        trivial = trivial_scores(bench, predictions)
    check_learnt(bench, scores, trivial)
    with session.timed("latency"):
        latencies = {label: backend.measure(subject) for label, backend in session.backends.items()}
    point = {name: score.value for name, score in scores.items()}
    point |= {
        f"{label}.{name}": value for label, report in latencies.items() for name, value in report.metrics().items()
    }
    return {
        "name": bench.teacher.name,
        "parameters": session.teacher.parameters,
        "precision": bench.teacher_precision,
        "metrics": stored_metrics(scores, "select"),
        "latencies": {label: report.as_dict() for label, report in latencies.items()},
        "values": point,
        "trivial": trivial,
        "alarms": [],
    }
