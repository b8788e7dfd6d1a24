"""Distillation: the student learns from the teacher's features, phase by phase, and can be interrupted anywhere."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistill.components.training import DistillationLoss, Optimisation, Phase
from autodistill.errors import ConfigError
from autodistill.training.attention import ATTENTION_FEATURES, recordable
from autodistill.training.features import forward_features
from autodistill.training.lightning import StreamBatches, StreamModule
from autodistill.training.results import TrainingResult
from autodistill.training.runner import Surroundings, run

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
        checkpoint_every_steps: steps between checkpoints; one is written at the end of each phase too.
        rungs: shares of the run in (0, 1), rising.
        on_rung: called with (rung index, share) and the student in evaluation mode; returns True to stop for good.
            After a crash the same rung may be reported again.
        stop_requested: asked after every step; True saves a checkpoint and interrupts.
        progress: called after every step with (steps taken, steps of the run).
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
    checkpoint_every_steps: int = 500
    rungs: tuple[float, ...] = ()
    on_rung: Callable[[int, float], bool] | None = None
    stop_requested: Callable[[], bool] | None = None
    progress: Callable[[int, int], None] | None = None


def distil(request: Distillation) -> TrainingResult:
    """Run a distillation, or go on with it; the weights are those of an uninterrupted run.

    Raises:
        ConfigError: a phase without a loss, or trainer settings that the schedule decides.
        StudyError: ``checkpoint_dir`` holds another run's checkpoint.
        TrialError: a loss is not finite; names step, loss and learning rate.
    """
    check_phases(request)
    size = request.optimisation.batch_size
    ends = list(itertools.accumulate(phase.steps for phase in request.phases))
    around = Surroundings(
        seed=request.seed,
        checkpoint_dir=request.checkpoint_dir,
        trainer=request.trainer,
        loggers=request.loggers,
        callbacks=request.callbacks,
        checkpoint_every_steps=request.checkpoint_every_steps,
        borders=frozenset(ends),
        rungs=request.rungs,
        on_rung=request.on_rung,
        stop_requested=request.stop_requested,
        progress=request.progress,
        identity=_identity(request),
    )
    batches = StreamBatches(request.train, request.stream, size, ends[-1])
    with _attention_ready(request):
        return run(lambda: DistillationModule(request), batches, size, request.optimisation.clip_norm, around)


def check_phases(request: Distillation) -> None:
    """Raise `ConfigError` unless every phase has a loss that acts in it."""
    if not request.phases:
        raise ConfigError("A schedule needs at least one phase.")
    for phase in request.phases:
        if not _acting(request, phase):
            given = ", ".join(f"{label} ({loss.role})" for label, (loss, _) in request.losses.items()) or "none"
            raise ConfigError(
                f"Phase {phase.name!r} of the schedule needs a loss of role {' or '.join(sorted(phase.roles))}, but "
                f"the losses are: {given}. Add such a loss, or choose another schedule."
            )


def _acting(request: Distillation, phase: Phase) -> dict[str, DistillationLoss]:
    """The losses of a phase, by label."""
    return {label: loss for label, (loss, _) in request.losses.items() if loss.role in phase.roles}


def _identity(request: Distillation) -> dict[str, Any]:
    """What must be the same for a run to go on from its checkpoint."""
    return {
        "phases": [[phase.name, sorted(phase.roles), phase.steps, phase.max_student_layer] for phase in request.phases],
        "losses": {label: weight for label, (_, weight) in request.losses.items()},
        "optimisation": asdict(request.optimisation),
        "train": request.train.fingerprint,
        "stream": [request.stream.rows, request.stream.seed],
        "parameters": sum(parameter.numel() for parameter in request.student.parameters()),
    }


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
        steps = sum(phase.steps for phase in request.phases)
        super().__init__(request.student, extra, request.optimisation, steps, weights)
        self._teacher = request.teacher
        self._phases = [_ActingPhase(phase, _acting(request, phase)) for phase in request.phases]
        self._ends = list(itertools.accumulate(phase.steps for phase in request.phases))

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The losses of this step's phase."""
        phase = next(phase for phase, end in zip(self._phases, self._ends, strict=True) if step < end)
        teacher = self._teacher.get(batch)
        student = forward_features(self.model, batch, phase.keys, max_layer=phase.max_layer)
        return {label: loss(student, teacher, batch) for label, loss in phase.losses.items()}


class _ActingPhase:
    """A phase with its losses and what they need."""

    def __init__(self, phase: Phase, losses: Mapping[str, DistillationLoss]) -> None:
        self.losses = losses
        self.max_layer = phase.max_student_layer
        self.keys: frozenset[FeatureKey] = frozenset().union(*(loss.student_features for loss in losses.values()))
