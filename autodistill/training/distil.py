"""Distillation: the student learns from the teacher's features, phase by phase, and can be interrupted anywhere."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.components.training import DistillationLoss, Optimisation, Phase
from autodistill.errors import ConfigError
from autodistill.training.attention import ATTENTION_FEATURES, recordable
from autodistill.training.features import forward_features
from autodistill.training.lightning import StreamBatches, StreamModule
from autodistill.training.optimisers import learning_rate_course
from autodistill.training.precision import compiled
from autodistill.training.results import RunProgress, TrainingResult
from autodistill.training.runner import Surroundings, Trunk, run
from autodistill.training.softened import features_for, teacher_needs

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from autodistill.components.training import Batch, FeatureKey
    from autodistill.training.replicates import Stream
    from autodistill.training.teacher_features import TeacherFeatures
    from autodistill.training.tokenised import TokenisedSplit


@dataclass
class Distillation:
    """One run of a recipe.

    Args:
        student: trained in place; left in evaluation mode.
        losses: label -> (loss, weight).
        phases: in order; their steps add up to the run.
        optimisation: how steps are taken.
        train: the examples.
        stream: their order.
        teacher: gives what the losses compare with.
        seed: of dropout.
        checkpoint_dir: where the run's checkpoint is; a run goes on from it.
        trainer: arguments of Lightning's Trainer, e.g. ``accelerator``, ``precision``, ``log_every_n_steps``.
        loggers: Lightning loggers.
        callbacks: Lightning callbacks.
        accumulate: in how many parts the examples of a step go through the student, >= 1; the recipe is the same.
        compile: whether torch.compile compiles the student's blocks for the run.
        checkpoint_every_steps: steps between checkpoints; one is written at the end of each phase too.
        keep_trunk: file in which the state at the end of a trunk phase is kept for a longer run; None for none.
        start_from: such a file of a run with the same seed, to go on from when this one has no checkpoint yet; what
            does not fit is left alone.
        rungs: shares of the run in (0, 1), rising.
        on_rung: called with (rung index, share) and the student in evaluation mode; returns True to stop for good.
            After a crash the same rung may be reported again.
        stop_requested: asked after every step; True saves a checkpoint and interrupts.
        may_save: asked before a checkpoint replaces the last one; False leaves that one as it is: another process goes
            on from it.
        progress: called after every step with (steps taken, steps of the run).
        follow: called once, before the first step, with where the run stands: it is kept up to date as the run goes on,
            and tells what a run took that ends in an error.
    """

    student: PreTrainedModel
    losses: Mapping[str, tuple[DistillationLoss, float]]
    phases: Sequence[Phase]
    optimisation: Optimisation
    train: TokenisedSplit
    stream: Stream
    teacher: TeacherFeatures
    seed: int
    checkpoint_dir: Path
    trainer: Mapping[str, Any] = field(default_factory=dict)
    loggers: list[Any] = field(default_factory=list)
    callbacks: list[Any] = field(default_factory=list)
    accumulate: int = 1
    compile: bool = False
    checkpoint_every_steps: int = 500
    keep_trunk: Path | None = None
    start_from: Path | None = None
    rungs: tuple[float, ...] = ()
    on_rung: Callable[[int, float], bool] | None = None
    stop_requested: Callable[[], bool] | None = None
    may_save: Callable[[], bool] | None = None
    progress: Callable[[int, int], None] | None = None
    follow: Callable[[RunProgress], None] | None = None


def distil(request: Distillation) -> TrainingResult:
    """Run a distillation, or go on with it; the weights are those of an uninterrupted run.

    Raises:
        ConfigError: a phase without a loss, or trainer settings that the schedule decides.
        StudyError: ``checkpoint_dir`` holds another run's checkpoint.
        TrialError: a loss is not finite; names step, loss and learning rate.
    """
    check_phases(request.phases, request.losses)
    size = request.optimisation.batch_size
    ends = list(itertools.accumulate(phase.steps for phase in request.phases))
    trunks = [(end, phase.keep) for phase, end in zip(request.phases, ends, strict=True) if phase.trunk]
    around = Surroundings(
        seed=request.seed,
        checkpoint_dir=request.checkpoint_dir,
        trainer=request.trainer,
        loggers=request.loggers,
        callbacks=request.callbacks,
        accumulate=request.accumulate,
        checkpoint_every_steps=request.checkpoint_every_steps,
        borders=frozenset(ends),
        rungs=request.rungs,
        on_rung=request.on_rung,
        stop_requested=request.stop_requested,
        may_save=request.may_save,
        progress=request.progress,
        follow=request.follow,
        identity=_identity(request),
        work=functools.partial(distil, _for_helpers(request)),
        trunk=_trunk(request, *trunks[-1]) if trunks else None,
    )
    batches = StreamBatches(request.train, request.stream, size, ends[-1])
    with _attention_ready(request), compiled(request.student) if request.compile else contextlib.nullcontext():
        return run(lambda: DistillationModule(request), batches, size, request.optimisation.clip_norm, around)


def _trunk(request: Distillation, end: int, keep: bool) -> Trunk:
    """The trunk that ends after some step."""
    return Trunk(end, _trunk_identity(request), request.keep_trunk if keep else None, request.start_from)


def _for_helpers(request: Distillation) -> Distillation:
    """The request without what only the first process of a run in several has."""
    return replace(
        request,
        loggers=[],
        keep_trunk=None,
        on_rung=None,
        stop_requested=None,
        may_save=None,
        progress=None,
        follow=None,
    )


def check_phases(phases: Sequence[Phase], losses: Mapping[str, tuple[DistillationLoss, float]]) -> None:
    """Raise `ConfigError` unless every phase has a loss that acts in it, with a weight above 0.

    Args:
        phases: of a run.
        losses: label -> (loss, weight).
    """
    if not phases:
        raise ConfigError("A schedule needs at least one phase.")
    weighty = {label: loss for label, (loss, weight) in losses.items() if weight > 0}
    for phase in phases:
        if acting(weighty, phase):
            continue
        given = ", ".join(
            f"{label} ({loss.role}{'' if weight > 0 else ', of weight 0'})" for label, (loss, weight) in losses.items()
        )
        limit = phase.max_student_layer
        what = "" if limit is None else f" that compares something up to the student's layer {limit}"
        raise ConfigError(
            f"Phase {phase.name!r} of the schedule needs a loss of role {' or '.join(sorted(phase.roles))}{what}, but "
            f"the losses are: {given or 'none'}. Add such a loss, or choose another schedule."
        )


def acting(losses: Mapping[str, DistillationLoss], phase: Phase) -> dict[str, DistillationLoss]:
    """The losses of a phase, by label: of its roles, and not only about layers that it does not run."""
    limit = phase.max_student_layer
    return {
        label: loss
        for label, loss in losses.items()
        if loss.role in phase.roles
        and (limit is None or _deepest(loss.student_features) is None or _reached(loss, limit))
    }


def _deepest(keys: Iterable[FeatureKey]) -> int | None:
    """The uppermost block among features; None when no block is."""
    return max((layer for _, layer in keys if layer), default=None)


def _reached(loss: DistillationLoss, limit: int) -> bool:
    """Whether a loss compares a block among the first ``limit``."""
    return any(layer and layer <= limit for _, layer in loss.student_features)


def _identity(request: Distillation) -> dict[str, Any]:
    """What must be the same for a run to go on from its checkpoint."""
    return {
        "phases": [{**asdict(phase), "roles": sorted(phase.roles)} for phase in request.phases],
        "losses": {label: weight for label, (_, weight) in request.losses.items()},
        "optimisation": asdict(request.optimisation),
        "train": request.train.fingerprint,
        "stream": [request.stream.rows, request.stream.seed],
        "parameters": sum(parameter.numel() for parameter in request.student.parameters()),
    }


def _trunk_identity(request: Distillation) -> dict[str, Any]:
    """What runs of different length on one trunk have in common."""
    (first, *_), whole = request.phases, _identity(request)
    course = None if first.course is None else first.course.warmup_steps
    return {**whole, "phases": [sorted(first.roles), first.max_student_layer, course]}


def _attention_ready(request: Distillation) -> contextlib.AbstractContextManager[None]:
    """Switch the student's attention once for the run, if a loss needs what it computes."""
    names = {name for loss, _ in request.losses.values() for name, _ in loss.student_features}
    return recordable(request.student) if names & ATTENTION_FEATURES else contextlib.nullcontext()


class DistillationModule(StreamModule):
    """Lightning module of a distillation: the losses of the phase that a step belongs to.

    Args:
        request: the run.
    """

    def __init__(self, request: Distillation) -> None:
        extra = [parameter for _, (loss, _) in sorted(request.losses.items()) for parameter in loss.parameters()]
        weights = {label: weight for label, (_, weight) in request.losses.items()}
        course = learning_rate_course(request.phases, request.optimisation.warmup_share)
        super().__init__(request.student, extra, request.optimisation, course, weights)
        losses = {label: loss for label, (loss, _) in request.losses.items()}
        self._teacher = request.teacher
        self._phases = [_ActingPhase(phase, acting(losses, phase)) for phase in request.phases]
        self._ends = list(itertools.accumulate(phase.steps for phase in request.phases))

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The losses of this step's phase."""
        phase = self._phase(step)
        teacher = self._teacher.get(batch, phase.teacher_keys)
        student = forward_features(self.model, batch, phase.student_keys, max_layer=phase.max_layer)
        return {label: loss(student, features_for(loss, teacher), batch) for label, loss in phase.losses.items()}

    def items(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """What the losses of this step's phase are means over; examples where a loss does not say."""
        return {label: _items(loss, batch) for label, loss in self._phase(step).losses.items()}

    def _phase(self, step: int) -> _ActingPhase:
        return next(phase for phase, end in zip(self._phases, self._ends, strict=True) if step < end)


def _items(loss: DistillationLoss, batch: Batch) -> Tensor:
    count = getattr(loss, "items", None)
    items: Tensor = batch.input_ids.new_tensor(len(batch.input_ids)).float() if count is None else count(batch)
    return items


class _ActingPhase:
    """A phase with its losses and what they need."""

    def __init__(self, phase: Phase, losses: Mapping[str, DistillationLoss]) -> None:
        self.losses = losses
        self.max_layer = phase.max_student_layer
        self.student_keys: frozenset[FeatureKey] = _union(loss.student_features for loss in losses.values())
        self.teacher_keys = _union(_teacher_keys(loss, phase) for loss in losses.values())


def teacher_keys(losses: Mapping[str, DistillationLoss], phase: Phase) -> frozenset[FeatureKey]:
    """What the losses of a run ask the teacher for in the steps of a phase.

    Args:
        losses: of the run, by label.
        phase: of the run.
    """
    return _ActingPhase(phase, acting(losses, phase)).teacher_keys


def _teacher_keys(loss: DistillationLoss, phase: Phase) -> frozenset[FeatureKey]:
    """What a loss needs of the teacher in a phase: of a loss that acts in part, no layer above the phase's."""
    deepest, student, teacher = _deepest(loss.student_features), phase.max_student_layer, phase.max_teacher_layer
    if student is None or teacher is None or deepest is None or deepest <= student:
        return teacher_needs(loss)
    return frozenset(key for key in teacher_needs(loss) if key[1] is None or key[1] <= teacher)


def _union(sets: Iterable[frozenset[FeatureKey]]) -> frozenset[FeatureKey]:
    return frozenset().union(*sets)
