"""The study's recipe for one architecture: learning rate, phases, cost; and its checks before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from autodistill.components.architecture import Architecture
from autodistill.components.students import Dimensions, NamedArchitecture
from autodistill.components.task import TaskSpec
from autodistill.components.training import Optimisation, Phase
from autodistill.engine.number_scale import check_numbers
from autodistill.errors import ConfigError
from autodistill.training.distil import Distillation, check_phases, teacher_keys
from autodistill.training.fine_tune import TEACHER_SETTINGS
from autodistill.training.parallel import check_processes
from autodistill.training.precision import check_precision
from autodistill.training.run_control import check_interval
from autodistill.training.teacher_features import last_block_run

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from autodistill.engine.workbench import Workbench
    from autodistill.training.stream import IntArray

#: A training step costs a forward pass and a backward pass of twice its operations.
TRAINING_FACTOR = 3

#: A task of which a model is its encoder alone, for families to count.
HEADLESS = TaskSpec("embedding", labels=(), text_columns=("text",), metric="")


def optimisation_for(bench: Workbench, architecture: Architecture) -> Optimisation:
    """How the steps of an architecture are taken: the schedule's way, with the family's rule for the learning rate."""
    optimisation = bench.schedule.optimisation
    if not optimisation.scale_lr:
        return optimisation
    return replace(optimisation, lr=optimisation.lr * bench.family_of(architecture.family).lr_factor(architecture))


def step_flops(bench: Workbench, architecture: Architecture) -> tuple[float, float]:
    """Floating-point operations of a forward pass over one training example of median length: encoder, head.

    The head of a masked language model looks at the tokens alone that it is asked for, in phases without its logits at
    none.
    """
    family = bench.family_of(architecture.family)
    whole = float(family.flops(architecture, bench.task, bench.vocabulary, bench.median_tokens))
    if bench.task.kind != "mlm":
        return whole, 0.0
    encoder = float(family.flops(architecture, HEADLESS, bench.vocabulary, bench.median_tokens))
    return encoder, max(0.0, whole - encoder) * bench.asked_share


def training_flops(
    bench: Workbench, architecture: Architecture, phases: Sequence[Phase], first: int, last: int
) -> float:
    """Floating-point operations of the student in some steps of a run.

    A phase of k layers costs their share of the encoder, one without predictions no head of a masked language model.

    Args:
        bench: the study's shared parts.
        architecture: of the student.
        phases: of the run.
        first: the first of the steps, counted from 0.
        last: the step after the last one.
    """
    encoder, head = step_flops(bench, architecture)
    layers = bench.family_of(architecture.family).dimensions(architecture, bench.task).layers
    forward, start = 0.0, 0
    for phase in phases:
        steps = max(0, min(last, start + phase.steps) - max(first, start))
        run = layers if phase.max_student_layer is None else min(phase.max_student_layer, layers)
        forward += steps * (encoder * run / layers + (head if "prediction" in phase.roles else 0.0))
        start += phase.steps
    return TRAINING_FACTOR * forward * bench.schedule.optimisation.batch_size


def online_teacher(
    bench: Workbench, teacher: PreTrainedModel, training: Distillation, first: int, last: int
) -> tuple[int, float]:
    """What the teacher did in some steps of a run, because its features of their examples were not cached.

    No block above those that a phase's losses ask for runs, and no head of a masked language model without its logits.

    Args:
        bench: the study's shared parts.
        teacher: the model.
        training: the run.
        first: the first of the steps, counted from 0.
        last: the step after the last one.

    Returns:
        Examples that it ran on, and floating-point operations on them: 0 where no family knows the teacher.
    """
    losses = {label: loss for label, (loss, _) in training.losses.items()}
    size = training.optimisation.batch_size
    examples, flops, start = 0, 0.0, 0

    def rows_at(step: int) -> IntArray:
        return training.stream.rows_at(step * size, (step + 1) * size)

    for phase in training.phases:
        steps = range(max(first, start), min(last, start + phase.steps))
        start += phase.steps
        keys = teacher_keys(losses, phase)
        ran = training.teacher.online_steps(rows_at, steps) if keys else 0
        if not ran:
            continue
        examples += ran * size
        own = bench.architecture_of(teacher)
        if own is not None:
            flops += ran * size * _forward_to(bench, own, last_block_run(teacher, keys))
    return examples, flops


def _forward_to(bench: Workbench, architecture: Architecture, last: int | None) -> float:
    """Operations of a forward pass over one example as far as a block; None for all of it, with the head."""
    encoder, head = step_flops(bench, architecture)
    if last is None:
        return encoder + head
    layers = bench.family_of(architecture.family).dimensions(architecture, bench.task).layers
    return encoder * min(last, layers) / layers


def check_recipe(bench: Workbench, teacher: PreTrainedModel, dimensions: Dimensions) -> None:
    """Build the losses of every baseline and the phases of every depth, each of which needs a loss that acts in it.

    Args:
        bench: the study's shared parts.
        teacher: the teacher's model.
        dimensions: its sizes.

    Raises:
        DataError: numbers to predict that the teacher cannot be fine-tuned to.
        ConfigError: a baseline that a loss refuses, a schedule without steps at a fidelity, a phase without a loss, a
            precision in which a model cannot be trained, numbers of the trainer that are out of range, devices that
            cannot share a batch.
    """
    baselines = bench.baselines(teacher)
    architectures = [*bench.some_architectures, *(named.architecture for named in baselines)]
    families = {item.family for item in architectures} | {teacher.config.model_type}
    check_precision(bench.settings.trainer, families)
    for named in baselines:
        _check_baseline(bench, named, dimensions)
    sizes = [bench.family_of(item.family).dimensions(item, bench.task) for item in architectures]
    for size in {size.layers: size for size in sizes}.values():
        losses = bench.make_losses(size, dimensions)
        for fidelity in dict.fromkeys((bench.schedule.flash_fidelity, 1.0)):
            check_phases(bench.schedule.phases(size.layers, dimensions.layers, fidelity), losses)
    check_processes(bench.settings.trainer, bench.schedule.optimisation.batch_size)
    if bench.teacher.needs_fine_tuning(bench.task):
        check_processes(bench.settings.trainer, bench.teacher.fine_tuning.batch_size, TEACHER_SETTINGS.batch_size)
        check_numbers(bench, [bench.teacher.fine_tuning])
    check_interval(bench.settings.trainer["checkpoint_every_steps"])
    accumulate, most = bench.settings.trainer.get("accumulate", 1), bench.schedule.optimisation.batch_size
    if type(accumulate) is not int or not 1 <= accumulate <= most:
        raise ConfigError(
            f"trainer.accumulate must be a whole number from 1 to the {most} examples of a step "
            f"(schedule.batch_size), got {accumulate!r}."
        )
    compiling = bench.settings.trainer.get("compile", False)
    if type(compiling) is not bool:
        raise ConfigError(f"trainer.compile must be true or false, got {compiling!r}.")


def _check_baseline(bench: Workbench, named: NamedArchitecture, teacher: Dimensions) -> None:
    """Build the losses of a baseline; its errors name it, as nothing in the student's space would mend them."""
    try:
        bench.check_losses_of(named.architecture, teacher)
    except ConfigError as error:
        raise ConfigError(
            f"The baseline {named.name!r}, {named.architecture}, cannot be trained by the study's recipe: {error} Or "
            "leave the baseline out, e.g. baseline=[]."
        ) from error
