"""One run of one trial: build the student, distil it, score it, commit the result.

A run is resumed from its last checkpoint when it was cut off. What goes wrong inside a run fails the trial and is
recorded with it; the study goes on. `Runner.work` is what executors call.
"""

from __future__ import annotations

import logging
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from autodistill.components.outcome import Job, JobResult, Score
from autodistill.components.pruning import Pruner, PrunerContext
from autodistill.components.students import Dimensions, Initialisation
from autodistill.components.training import DistillationLoss, Phase
from autodistill.configs.targets import instantiate
from autodistill.engine.features import StudyFeatures
from autodistill.engine.lease import Lease, held
from autodistill.engine.machine import check_disk
from autodistill.engine.places import final_folder, is_compared
from autodistill.engine.pruning import judge
from autodistill.engine.recipe import online_teacher, optimisation_for, training_flops
from autodistill.engine.records import FINAL_RUN_STATES, StudyRecord, TrialRecord, TrialState
from autodistill.engine.scores import predictions_of, score_all, stored_metrics, write_predictions
from autodistill.engine.storage import Storage
from autodistill.engine.teacher import PreparedTeacher, trainer_arguments
from autodistill.engine.workbench import Workbench
from autodistill.errors import MachineError, PluginError, StudyInterruptedError, TeacherFeaturesError, TrialError
from autodistill.schedules.layer_mapping import mapping_table
from autodistill.training.distil import Distillation, distil
from autodistill.training.parallel import processes
from autodistill.training.replicates import stream_of
from autodistill.training.results import RunProgress, TrainingResult
from autodistill.training.seeds import derive_seed
from autodistill.training.softened import teacher_needs_of
from autodistill.training.teacher_cache import PassWatch
from autodistill.training.teacher_features import TeacherFeatures

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from autodistill.report.progress import Progress

logger = logging.getLogger(__name__)

#: Folder of a trial in which its runs keep their checkpoints.
_CHECKPOINTS = "checkpoint"

#: Seconds between two looks at a run that another process holds.
_WAIT_SECONDS = 1.0


@dataclass(frozen=True)
class RunnerContext:
    """What a runner works with; one per process.

    Args:
        bench: shared parts of the study.
        storage: where results go.
        study: the study's record.
        teacher: ready to teach.
        progress: told about steps.
        stop_requested: asked between steps.
    """

    bench: Workbench
    storage: Storage
    study: StudyRecord
    teacher: PreparedTeacher
    progress: Progress
    stop_requested: Callable[[], bool]

    def notify(self, hook: str, **arguments: Any) -> None:
        """Tell the observers."""
        self.bench.registry.manager.notify(hook, study=self.study.name, **arguments)


@dataclass
class _Attempt:
    """A run in this process, and how far it has come.

    Args:
        job: what is asked for.
        trial: the trial.
        lease: of the run.
        started: when, on the monotonic clock.
        prepared: seconds until the student was made.
        training: what it does; None before that is known.
        reached: where its training stands, changed as it goes on; None before it began.
        trained: when training ended, on the monotonic clock; None before.
    """

    job: Job
    trial: TrialRecord
    lease: Lease
    started: float = field(default_factory=time.monotonic)
    prepared: float = 0.0
    training: Distillation | None = None
    reached: RunProgress | None = None
    trained: float | None = None

    def follow(self, reached: RunProgress) -> None:
        """Keep where the training stands."""
        self.reached = reached

    @property
    def scoring(self) -> float:
        """Seconds since training ended."""
        return 0.0 if self.trained is None else time.monotonic() - self.trained


def remove_ended_checkpoints(storage: Storage, study_id: int, study_dir: Path) -> None:
    """Remove checkpoints of runs that have their result: of one that was killed just after it had written that.

    Those of failed runs stay, as such a run may be tried again by another process at this moment.
    """
    for run in storage.runs(study_id):
        if run.state in ("complete", "stopped"):
            shutil.rmtree(study_dir / "trials" / str(run.trial) / _CHECKPOINTS / run.kind, ignore_errors=True)


class Runner:
    """Executes jobs of one study in this process."""

    def __init__(self, context: RunnerContext, retry_failed: bool = False) -> None:
        self.context = context
        self.retry_failed = retry_failed
        self._features = StudyFeatures.of(context.bench, context.teacher)
        bench = context.bench
        pruning = PrunerContext(bench.objectives, bench.constraints)
        self._pruner: Pruner = bench.create(bench.settings.one("pruner"), pruning)

    def work(self, job: Job) -> JobResult:
        """Run one job; a failed trial is recorded and returned, never raised.

        Raises:
            StudyInterruptedError: a stop was requested; the run's checkpoint is kept.
            PluginError: an observer failed.
            TeacherFeaturesError: the teacher's features cannot be computed, which concerns every run.
            MachineError: a disk is full or broken, or the storage is; the run can go on.
        """
        context, retry_failed = self.context, self.retry_failed
        while True:
            trial = context.storage.trial(context.study.id, job.trial)
            with held(context.storage, context.study.id, job.trial, job.run, retry_failed) as lease:
                result = None if lease is None else self._guarded(_Attempt(job, trial, lease))
            if result is not None and result.state != "elsewhere":  # that one, whose process took the run, counts
                return result
            ended = self._ended(job)
            if ended is not None:
                return ended
            if context.stop_requested():
                raise StudyInterruptedError("Interrupted while waiting for a run that another process holds.")
            retry_failed = False  # what fails there meanwhile is not tried here once more
            time.sleep(_WAIT_SECONDS)  # until the other process ends the run, or its lease expires

    def _ended(self, job: Job) -> JobResult | None:
        """The result that another process gave the run; None while it is held."""
        for run in self.context.storage.runs(self.context.study.id):
            if (run.trial, run.kind) == (job.trial, job.run) and run.state in FINAL_RUN_STATES:
                return JobResult(job, run.state, run.error)
        return None

    def _guarded(self, attempt: _Attempt) -> JobResult:
        try:
            return self._run(attempt)
        except (StudyInterruptedError, PluginError, TeacherFeaturesError, MachineError, KeyboardInterrupt):
            raise
        except Exception as error:
            check_disk(error, f"trial {attempt.job.trial} ({attempt.job.run})")
            return self._failed(attempt, error)

    def _failed(self, attempt: _Attempt, error: Exception) -> JobResult:
        """Record what went wrong: foreign code may raise anything, and one trial must not end the study."""
        job, trial, run = attempt.job, attempt.trial, attempt.lease.run
        kind = "" if isinstance(error, TrialError) else f"{type(error).__name__}: "
        text = f"{kind}{error}"
        logger.error("trial %d (%s) failed: %s\n%s", job.trial, job.run, text, traceback.format_exc())
        failed: TrialState | None = "failed" if job.run == "flash" else None
        cost = self._cost(attempt, attempt.scoring)
        committed = self.context.storage.finish_run(run, state="failed", error=text, cost=cost, trial_state=failed)
        if not committed:  # another process has the run, and it is not known how that ends
            return JobResult(job, "elsewhere", text)
        if job.run == "flash":  # a full run is tried again by the next session
            shutil.rmtree(self._checkpoint_dir(job, trial), ignore_errors=True)
            shutil.rmtree(self.trunk_file(trial).parent, ignore_errors=True)
        self.context.notify("autodistill_on_trial_error", trial=job.trial, run=job.run, error=error)
        return JobResult(job, "failed", text)

    def _run(self, attempt: _Attempt) -> JobResult:
        context, job, trial = self.context, attempt.job, attempt.trial
        context.notify("autodistill_before_trial_run", trial=trial.number, run=job.run, architecture=trial.architecture)
        if job.run == "flash":  # what the budget counts
            context.storage.update_trial(context.study.id, trial.number, began_training=True)
        student, initialisation = self.build_student(trial)
        attempt.prepared = time.monotonic() - attempt.started
        training = attempt.training = self._distillation(attempt, student)
        result = self._trained(attempt, training)
        if result is None:
            return JobResult(job, "elsewhere")
        attempt.trained = time.monotonic()
        metrics = self._scores(job, trial, student)
        seconds = {
            "prepare": attempt.prepared,
            "train": result.seconds,  # over all sessions, without the pass of the teacher
            "evaluate": attempt.scoring,
        }
        state: Literal["complete", "stopped"] = "stopped" if result.state == "stopped" else "complete"
        committed = context.storage.finish_run(
            attempt.lease.run,
            state=state,
            metrics=metrics,
            seconds=seconds,
            cost=self._cost(attempt, seconds["evaluate"]),
            initialisation={
                "groups": dict(initialisation.groups),
                "summary": initialisation.summary,
                "layer_map": list(initialisation.layer_map),
            },
            artifacts=self._artifacts(job, trial),
            trial_state=state if job.run == "flash" or trial.origin != "search" else None,
        )
        if not committed:
            return JobResult(job, "elsewhere")
        shutil.rmtree(training.checkpoint_dir, ignore_errors=True)
        if job.run == "full" or state == "stopped":  # nothing will go on from it
            shutil.rmtree(self.trunk_file(trial).parent, ignore_errors=True)
        values = {
            name if "/" in name else f"{item['split']}/{name}": float(item["value"]) for name, item in metrics.items()
        }
        context.notify("autodistill_after_trial_run", trial=trial.number, run=job.run, state=state, metrics=values)
        return JobResult(job, state)

    def _trained(self, attempt: _Attempt, training: Distillation) -> TrainingResult | None:
        """Train; None when another process has taken the run over in the meantime."""
        job = attempt.job
        try:
            result = distil(training)
        finally:
            self.context.teacher.model.to("cpu")  # where it ran in every step it is on the students' device
        # A heartbeat may be missed for a while; asked now, lest the files of whoever took the run over are replaced.
        if not attempt.lease.renew():
            logger.warning("trial %d (%s): another process took this run over; its result counts", job.trial, job.run)
            return None
        if result.state == "interrupted":
            raise StudyInterruptedError("Interrupted in the middle of a run; its checkpoint is kept.")
        if result.state == "stopped" and job.run == "full":
            shutil.rmtree(training.checkpoint_dir, ignore_errors=True)  # it says stopped, and would say so again
            raise TrialError(
                f"A callback (trainer.callbacks) stopped the full run after step {result.steps} of "
                f"{sum(phase.steps for phase in training.phases)}. Full runs are compared with each other, so all take "
                "the same steps: take that callback out, or choose fewer schedule.examples."
            )
        return result

    # -- parts ---------------------------------------------------------------------------------------------------

    def build_student(self, trial: TrialRecord) -> tuple[PreTrainedModel, Initialisation]:
        """The trial's model, started from the teacher; its random part follows the trial's seed."""
        import torch

        bench = self.context.bench
        family = bench.family_of(trial.architecture.family)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(trial.seed)
            student = family.build(trial.architecture, bench.task, bench.vocabulary)
            initialisation = family.initialise(student, self.context.teacher.model, bench.some_text)
        logger.info("trial %d starts %s; %s", trial.number, initialisation.summary, dict(initialisation.groups))
        return student, initialisation

    def _distillation(self, attempt: _Attempt, student: PreTrainedModel) -> Distillation:
        job, trial, lease = attempt.job, attempt.trial, attempt.lease
        bench, settings = self.context.bench, self.context.bench.settings
        family = bench.family_of(trial.architecture.family)
        dimensions = family.dimensions(trial.architecture, bench.task)
        losses = self._losses(trial, dimensions)
        logger.info("trial %d (%s) compares layers:\n%s", trial.number, job.run, self._mapping(dimensions))
        folder = self.trial_dir(trial)
        phases = self._phases(job, dimensions)
        on_trunk = any(phase.trunk for phase in phases)
        return Distillation(
            student=student,
            losses=losses,
            phases=phases,
            optimisation=optimisation_for(bench, trial.architecture),
            train=bench.train,
            stream=stream_of(bench.stream, self._parts(dimensions), trial.replicate),
            teacher=self._teacher_features(losses),
            seed=derive_seed(trial.seed, "trunk" if on_trunk else job.run),  # runs on one trunk draw alike
            checkpoint_dir=self._checkpoint_dir(job, trial),
            trainer=trainer_arguments(settings.trainer),
            loggers=self._loggers(folder / "log" / job.run),
            callbacks=self._callbacks(),
            accumulate=int(settings.trainer.get("accumulate", 1)),
            compile=bool(settings.trainer.get("compile")),
            checkpoint_every_steps=int(settings.trainer["checkpoint_every_steps"]),
            keep_trunk=self.trunk_file(trial) if job.run == "flash" and self._may_be_promoted(trial) else None,
            start_from=self.trunk_file(trial) if job.run == "full" else None,
            rungs=self._pruner.rungs if job.run == "flash" else (),
            on_rung=self._on_rung(trial, student) if job.run == "flash" else None,
            stop_requested=lambda: lease.lost or self.context.stop_requested(),
            may_save=lease.renew,
            progress=self.context.progress.step,
            follow=attempt.follow,
        )

    def _may_be_promoted(self, trial: TrialRecord) -> bool:
        """Whether a trial may become a pick, and so go on from its trunk: those after the picks were frozen do not."""
        context = self.context
        return trial.origin == "search" and context.storage.step(context.study.id, "picks_frozen") is None

    def _losses(self, trial: TrialRecord, dimensions: Dimensions) -> Mapping[str, tuple[DistillationLoss, float]]:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(trial.seed, "projections"))
            return self.context.bench.make_losses(dimensions, self.context.teacher.dimensions)

    def _mapping(self, student: Dimensions) -> str:
        """Which layers are compared, as a table."""
        teacher = self.context.teacher.dimensions
        pairs = self.context.bench.schedule.layer_pairs(student.layers, teacher.layers)
        return mapping_table(pairs, student.layers, teacher.layers)

    def _parts(self, dimensions: Dimensions) -> tuple[int, int]:
        """Examples of a flash run and of a full run: a replicate of either reads what replicate 0 reads."""
        schedule, depth = self.context.bench.schedule, self.context.teacher.dimensions.layers
        flash, full = (
            sum(phase.steps for phase in schedule.phases(dimensions.layers, depth, fidelity))
            * schedule.optimisation.batch_size
            for fidelity in (schedule.flash_fidelity, 1.0)
        )
        return flash, max(flash, full)

    def _phases(self, job: Job, dimensions: Dimensions) -> list[Phase]:
        schedule = self.context.bench.schedule
        fidelity = schedule.flash_fidelity if job.run == "flash" else 1.0
        phases = list(schedule.phases(dimensions.layers, self.context.teacher.dimensions.layers, fidelity))
        read = sum(phase.steps for phase in phases) * schedule.optimisation.batch_size
        if read > schedule.total_examples:  # the teacher's features of the rest would be missing, at the very end
            chosen = self.context.bench.settings.one("schedule").registered
            raise PluginError(
                f"The schedule {chosen.spec.name!r} of {chosen.provider} has phases of {read:,} examples at fidelity "
                f"{fidelity:g}, more than its total of {schedule.total_examples:,}: it must round down."
            )
        return phases

    def _teacher_features(self, losses: Mapping[str, tuple[DistillationLoss, float]]) -> TeacherFeatures:
        keys = teacher_needs_of(loss for loss, _ in losses.values())
        started = time.monotonic()
        features = self._features.get(keys, PassWatch(self.context.progress.step, self.context.stop_requested))
        self.context.storage.add_seconds(self.context.study.id, "teacher_cache", time.monotonic() - started)
        return features

    def _on_rung(self, trial: TrialRecord, student: PreTrainedModel) -> Callable[[int, float], bool]:
        context = self.context

        def on_rung(rung: int, share: float) -> bool:
            scores = self._score(student, "select")
            values = {name: score.value for name, score in scores.items()}
            context.storage.report_rung(context.study.id, trial.number, "flash", rung, share, values)
            if trial.origin != "search":  # baselines and what is trained by hand are recorded, never stopped
                return False
            return judge(self._pruner, context.storage, context.study.id, trial.number, rung)

        return on_rung

    def _score(self, student: PreTrainedModel, role: str, predictions_file: Path | None = None) -> dict[str, Score]:
        from autodistill.training.predict import predict

        bench, teacher = self.context.bench, self.context.teacher
        answers = predict(student, bench.splits[role], device=bench.device)
        predictions = predictions_of(bench, role, answers, teacher.logits(bench, role))
        if predictions_file is not None:
            write_predictions(predictions_file, predictions, role)
        return score_all(bench, predictions)

    def _scores(self, job: Job, trial: TrialRecord, student: PreTrainedModel) -> dict[str, dict[str, Any]]:
        """Metrics on select; a full run is also saved, and read once on test."""
        if job.run == "flash":
            return stored_metrics(self._score(student, "select"), "select")
        folder = self.final_dir(trial)
        student.save_pretrained(folder / "hf")
        self.context.bench.tokenizer.save_pretrained(folder / "hf")
        file = folder / "predictions.parquet"
        compared = is_compared(self.context.storage, self.context.study, trial)
        compared = compared and "test" in self.context.bench.splits
        scores = self._score(student, "select", None if compared else file)
        found = {f"select/{name}": value for name, value in stored_metrics(scores, "select").items()}
        if compared:
            scores = self._score(student, "test", file)
            found |= {f"test/{name}": value for name, value in stored_metrics(scores, "test").items()}
        return found

    def _artifacts(self, job: Job, trial: TrialRecord) -> dict[str, str]:
        if job.run == "flash":
            return {}
        root = self.context.bench.settings.study_dir
        folder = self.final_dir(trial)
        return {
            "hf": str((folder / "hf").relative_to(root)),
            "predictions": str((folder / "predictions.parquet").relative_to(root)),
        }

    def _cost(self, attempt: _Attempt, scoring: float) -> dict[str, float] | None:
        """What a run has cost, also one that ended in an error; None for one whose training did not begin.

        Sessions before this one belong to the run; the trunk of another run, and the teacher's pass, do not.

        Args:
            attempt: the run.
            scoring: seconds after its training.
        """
        training, reached = attempt.training, attempt.reached
        if training is None or reached is None:
            return None
        first, last = reached.taken_over, reached.step
        training_seconds = reached.seconds * processes(training.trainer)  # one device prepares and scores, all train
        return {
            "examples": float((last - first) * training.optimisation.batch_size),
            **self._arithmetic(attempt.trial, training, first, last),
            "device_seconds": training_seconds + attempt.prepared + scoring,
        }

    def _arithmetic(self, trial: TrialRecord, training: Distillation, first: int, last: int) -> dict[str, float]:
        """Floating-point operations of some steps of a run: the student's, and the teacher's where it ran in them."""
        bench = self.context.bench
        flops = training_flops(bench, trial.architecture, training.phases, first, last)
        examples, taught = online_teacher(bench, self.context.teacher.model, training, first, last)
        if not examples:
            return {"flops": flops}
        return {"flops": flops + taught, "teacher_examples": float(examples), "teacher_flops": taught}

    def _loggers(self, folder: Path) -> list[Any]:
        nodes = self.context.bench.settings.logger
        return [instantiate(node, f"logger.{label}", save_dir=str(folder)) for label, node in nodes.items() if node]

    def _callbacks(self) -> list[Any]:
        nodes = self.context.bench.settings.trainer.get("callbacks") or {}
        return [instantiate(node, f"trainer.callbacks.{label}") for label, node in nodes.items() if node]

    # -- places --------------------------------------------------------------------------------------------------

    def trial_dir(self, trial: TrialRecord) -> Path:
        """Folder of a trial: checkpoints, training log, latency."""
        return self.context.bench.settings.study_dir / "trials" / str(trial.number)

    def _checkpoint_dir(self, job: Job, trial: TrialRecord) -> Path:
        """Where a run of a trial keeps its checkpoint until it ends."""
        return self.trial_dir(trial) / _CHECKPOINTS / job.run

    def trunk_file(self, trial: TrialRecord) -> Path:
        """Where the state at the end of the trunk of a trial's flash run is kept, under schedules that have one."""
        return self.trial_dir(trial) / "trunk" / "trunk.ckpt"

    def final_dir(self, trial: TrialRecord) -> Path:
        """Folder of a trial that got the full recipe."""
        folder = final_folder(self.context.storage, self.context.study, trial)
        return self.context.bench.settings.study_dir / folder
