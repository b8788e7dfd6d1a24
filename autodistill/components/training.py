"""Distillation: features, losses, schedules and the batches they work on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from autodistill.components.students import Dimensions
from autodistill.components.task import TaskSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor
    from torch.nn import Parameter as TorchParameter

#: What a loss may need from a model.
FEATURES = (
    *("logits", "masked_logits", "hidden_states", "embeddings"),
    *("attention_scores", "attentions", "queries", "keys", "values"),
)

#: (feature, layer). ``layer`` is None for logits and ``embeddings``; 0..L for ``hidden_states`` (0 = output of the
#: embedding block, k = output of block k); 1..L for the features of a block.
FeatureKey: TypeAlias = "tuple[str, int | None]"

#: Feature key -> tensor. ``logits``: batch x classes, or see `autodistill.components.task.TaskSpec`; ``masked_logits``:
#: those of the tokens that count alone, masked x vocabulary, row by row, without a vocabulary of zeros for every other
#: token; whatever gives logits gives them; ``hidden_states``: batch x tokens x hidden; ``embeddings``: what
#: the embedding block puts out, the same; ``queries``, ``keys``, ``values``: batch x heads x tokens x size;
#: ``attention_scores``: batch x heads x tokens x tokens, before mask and softmax; ``attentions``: the same shape after
#: them, rows sum to 1 over unmasked keys.
Features: TypeAlias = "Mapping[FeatureKey, Tensor]"

LossRole: TypeAlias = Literal["transfer", "prediction"]


@dataclass(frozen=True)
class Batch:
    """One batch of the example stream.

    Args:
        input_ids: batch x tokens, int64.
        attention_mask: batch x tokens, bool, true where the token counts.
        token_type_ids: batch x tokens, int64.
        labels: see the table in `autodistill.components.task.TaskSpec`; None when label-free.
        rows: batch, int64: the examples' rows in the tokenised split (keys of cached teacher features).
    """

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor
    labels: Tensor | None
    rows: Tensor


@dataclass(frozen=True, slots=True)
class LossContext:
    """What a distillation loss is built from.

    Args:
        student: sizes of the student.
        teacher: sizes of the teacher.
        layer_pairs: (student layer, teacher layer), each 1-based, in rising order.
        task: what is to be learnt.
    """

    student: Dimensions
    teacher: Dimensions
    layer_pairs: tuple[tuple[int, int], ...]
    task: TaskSpec


class DistillationLoss(Protocol):
    """A distillation loss; built as ``target(context: LossContext, **parameters)``.

    Every loss has the parameter ``weight`` (>= 0), which the trainer applies. Building checks that the context can
    work and raises `ConfigError` that names a loss which can.

    A loss that divides the outputs by a temperature has it as the attribute ``temperature``: of large vocabularies the
    cache keeps the likeliest outputs and the mass of the others, and that mass is kept for each temperature.

    A loss that learns from the batch's labels has the attribute ``reads_labels`` = True: it is refused where examples
    are changed, since the labels are those of the unchanged ones.

    A loss that is a mean over something else than examples has a method ``items(batch)``: over how many things it is a
    mean (scalar, float32), e.g. the tokens that count. Where a step's examples go through the model in several parts or
    processes, parts are weighed by it, so that their sum is the loss of the whole step.
    """

    #: ``transfer`` (representations) or ``prediction`` (outputs); schedules choose phases by it.
    role: LossRole
    #: What it needs from each model.
    student_features: frozenset[FeatureKey]
    teacher_features: frozenset[FeatureKey]

    def __call__(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Scalar float32 loss, averaged over what counts; no gradient flows into ``teacher``."""
        ...

    def parameters(self) -> Iterable[TorchParameter]:
        """Trained parameters of its own (projections), created when it was built; empty for most."""
        ...


@dataclass(frozen=True, slots=True)
class Course:
    """The learning rate's course over a phase: rising, level, falling, each linear.

    Args:
        warmup_steps: rising steps at its start; the last of them has the peak rate.
        decay_steps: falling steps at its end; the first of them has the peak rate, and 0 would follow the last.
    """

    warmup_steps: int
    decay_steps: int


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of a schedule, already compressed by the fidelity.

    Args:
        name: for logs and ``plan``.
        roles: the losses that act in it, by role.
        steps: optimiser steps, >= 1.
        max_student_layer: run only the first k student layers; None for all. Losses that compare none of them rest.
        max_teacher_layer: the teacher layer that student layer k is compared with: no more of it is run; None for all.
        course: of the learning rate; None in all phases is one course over the whole run, as `Optimisation` says.
        trunk: longer runs begin with these very steps, so that they may go on from its end.
        keep: of a trunk: the state at its end is kept on the disk for them.
    """

    name: str
    roles: frozenset[str]
    steps: int
    max_student_layer: int | None = None
    max_teacher_layer: int | None = None
    course: Course | None = None
    trunk: bool = False
    keep: bool = True


@dataclass(frozen=True, slots=True)
class Optimisation:
    """How the steps of a schedule are taken: optimiser, learning rate, regularisation.

    Where phases have no `Course` of their own, the rate rises linearly and falls linearly to zero over each run.

    Args:
        batch_size: examples per step.
        lr: peak learning rate; multiplied by the family's factor for the architecture if ``scale_lr``.
        warmup_share: share of the steps with rising learning rate, in [0, 1].
        weight_decay: of weights; biases and normalisations do not decay.
        clip_norm: gradient norm is clipped to this; 0 = not at all.
        optimizer: ``_target_`` of `torch.optim` or `autodistill.training.lamb`, and its further arguments; None for
            AdamW.
        scale_lr: whether `autodistill.components.students.StudentFamily.lr_factor` applies.
    """

    batch_size: int
    lr: float
    warmup_share: float
    weight_decay: float
    clip_norm: float
    optimizer: Mapping[str, Any] | None = None
    scale_lr: bool = False


class Schedule(Protocol):
    """A recipe; built as ``target(**parameters)``.

    Every schedule has the parameter ``flash_fidelity`` in (0, 1]: the fidelity of a flash run.
    """

    flash_fidelity: float

    @property
    def optimisation(self) -> Optimisation:
        """How steps are taken; the same for every architecture."""
        ...

    @property
    def total_examples(self) -> int:
        """Examples of the full recipe (fidelity 1)."""
        ...

    def phases(self, student_layers: int, teacher_layers: int, fidelity: float) -> Sequence[Phase]:
        """The phases at ``fidelity`` in (0, 1]; every phase gets its share of fidelity x total examples.

        Together they read no more than that, so that the teacher's features of so many examples suffice.

        Raises:
            ConfigError: no step is left at this fidelity.
        """
        ...

    def layer_pairs(self, student_layers: int, teacher_layers: int) -> tuple[tuple[int, int], ...]:
        """(student layer, teacher layer), 1-based, that transfer losses compare."""
        ...


@dataclass(frozen=True)
class RungReport:
    """A score along a flash run: position (share of the run in (0, 1]) and the metrics on the select split."""

    rung: int
    share: float
    metrics: Mapping[str, float] = field(default_factory=dict)
