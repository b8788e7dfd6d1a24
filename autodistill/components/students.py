"""Student families, teachers and baselines: the models of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from autodistill.components.architecture import Architecture
from autodistill.components.task import TaskSpec

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from autodistill.components.training import Batch


@dataclass(frozen=True, slots=True)
class Dimensions:
    """Sizes that losses and layer mappings need.

    Args:
        layers: transformer blocks.
        hidden: width of the residual stream, i.e. of ``hidden_states``.
        heads: attention heads per block.
        classes: width of the logits.
        attention_width: width of all queries of a block together; 0 where it is that of ``hidden_states``.
    """

    layers: int
    hidden: int
    heads: int
    classes: int
    attention_width: int = 0

    @property
    def attention(self) -> int:
        """Width of all queries, keys or values of a block together."""
        return self.attention_width or self.hidden


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a student's embedding must fit: it is the teacher's.

    Args:
        size: rows of the word embedding.
        max_positions: longest sequence that models of the study take, in tokens.
        type_size: segments (token types).
        pad_token_id: id of the padding token.
    """

    size: int
    max_positions: int
    type_size: int
    pad_token_id: int


InitialisationKind = Literal["exact", "reduced", "random"]


@dataclass(frozen=True)
class Initialisation:
    """How a student's weights started, per tensor group (e.g. ``"word_embeddings"``, ``"layer.0.attention"``).

    ``exact`` is copied, ``reduced`` is computed from the teacher's tensor (units chosen or projected), ``random``
    is the family's documented random start.
    """

    groups: Mapping[str, InitialisationKind]
    layer_map: tuple[int, ...] = ()

    @property
    def summary(self) -> str:
        """One line: the share of groups of each kind, e.g. ``"exact 5, reduced 12, random 1"``."""
        counts = {
            kind: sum(1 for value in self.groups.values() if value == kind) for kind in ("exact", "reduced", "random")
        }
        return ", ".join(f"{kind} {count}" for kind, count in counts.items() if count)


class StudentFamily(Protocol):
    """A parametrised architecture; built as ``target(**parameters)``.

    Every family has the parameters ``space`` (mapping: name -> list of ordinal choices, or mapping with ``type``)
    and ``rules`` (mapping: label -> expression over the names of the space that must hold).
    """

    #: Feature names (see `autodistill.components.training.FEATURES`) that its models can give.
    features: frozenset[str]

    def validate(self, architecture: Architecture) -> None:
        """Raise `ConfigError` when no model can be built from these choices (missing, unknown, contradictory)."""
        ...

    def build(self, architecture: Architecture, task: TaskSpec, vocabulary: Vocabulary) -> PreTrainedModel:
        """A stock transformers model with random weights from torch's global generator, in eval mode on the CPU."""
        ...

    def parameters(self, architecture: Architecture, task: TaskSpec, vocabulary: Vocabulary) -> int:
        """Number of parameters of `build`'s model, in closed form (no model is made)."""
        ...

    def flops(self, architecture: Architecture, task: TaskSpec, vocabulary: Vocabulary, tokens: int) -> int:
        """Floating-point operations (2 per multiply-add) of one forward pass over one sequence of ``tokens``."""
        ...

    def dimensions(self, architecture: Architecture, task: TaskSpec) -> Dimensions:
        """Sizes of the architecture."""
        ...

    def lr_factor(self, architecture: Architecture) -> float:
        """Factor on the schedule's learning rate, > 0, by one rule for every architecture; 1 where there is no rule.

        It applies where the schedule says so (``schedule.scale_lr``).
        """
        ...

    def initialise(
        self, student: PreTrainedModel, teacher: PreTrainedModel, examples: Sequence[Batch] = ()
    ) -> Initialisation:
        """Start ``student`` from ``teacher`` in place, by one rule for every architecture; tell what was done.

        A teacher of another family or width gives what it can; the rest keeps its random start.

        Args:
            student: freshly built.
            teacher: knows the task.
            examples: batches of training text, the same for all students of a study, on which it may be measured what
                a smaller student should keep; none: by the weights alone.
        """
        ...

    def architecture_of(self, model: PreTrainedModel) -> Architecture | None:
        """The architecture of a stock model (e.g. the teacher), or None when it is not of this family."""
        ...


@dataclass(frozen=True, slots=True)
class TeacherContext:
    """What a teacher is built from: a folder for caches, shared between studies."""

    cache_dir: Path


class Teacher(Protocol):
    """A teacher; built as ``target(context: TeacherContext, **parameters)``.

    Building checks what can be checked without reading weights; `load` reads them.

    A teacher whose feed-forward networks students may copy has the attribute ``activation``, the name of theirs:
    baselines of another family than the study's then have it too, if that family has the parameter.
    """

    #: Where it comes from, for messages and reports (a package, directory or hub name; never a secret).
    name: str
    #: Feature names that it can give.
    features: frozenset[str]

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokeniser, which is also every student's."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """What a student's embedding must fit."""
        ...

    @property
    def fingerprint(self) -> str:
        """Digest of weights, configuration and tokeniser."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names of the checkpoint's own classification head; empty when it has none."""
        ...

    def load(self, task: TaskSpec) -> PreTrainedModel:
        """The model with a head for ``task``, float32, eval mode; a new head is random.

        Raises:
            TeacherError: no weights, weights that do not fit the configuration or the tokeniser, ...
        """
        ...

    def needs_fine_tuning(self, task: TaskSpec) -> bool:
        """Whether the head of `load` is new, so that the teacher knows nothing of the task yet."""
        ...

    @property
    def fine_tuning(self) -> FineTuning:
        """How to fine-tune it."""
        ...


@dataclass(frozen=True, slots=True)
class FineTuning:
    """Recipe of a teacher's fine-tuning: AdamW, linear warm-up and decay.

    Args:
        epochs: passes over the train split; a fraction is fine.
        batch_size: examples per step.
        lr: peak learning rate.
        warmup_share: share of the steps with rising learning rate, in [0, 1].
        weight_decay: AdamW's.
        head_lr_factor: the learning rate of everything after the encoder (pooler, classifier), which starts untrained,
            is this many times the encoder's.
        freeze_embeddings: leave the word embeddings as they are; saves time where the vocabulary is large.
        dropout: of hidden states and attentions while fine-tuning; None is the checkpoint's own.
        max_examples: examples read at most, whatever ``epochs`` says; None: no limit.
    """

    epochs: float
    batch_size: int
    lr: float
    warmup_share: float
    weight_decay: float
    head_lr_factor: float = 1.0
    freeze_embeddings: bool = False
    dropout: float | None = None
    max_examples: int | None = None

    def examples(self, rows: int) -> int:
        """Examples that are read of a split of ``rows``."""
        wanted = round(self.epochs * rows)
        return wanted if self.max_examples is None else min(wanted, self.max_examples)

    def steps(self, examples: int) -> int:
        """Optimiser steps in which so many examples are read; at least one."""
        return max(1, round(examples / self.batch_size))


@dataclass(frozen=True, slots=True)
class NamedArchitecture:
    """A baseline's architecture and the name the report gives it."""

    name: str
    architecture: Architecture


@dataclass(frozen=True)
class BaselineContext:
    """What a baseline is built from.

    Args:
        label: the key it has in the configuration.
        teacher: the teacher as an architecture of any family, the study's before others; None when it is of none.
        family: registry name of the study's student family.
    """

    label: str
    teacher: Architecture | None
    family: str


class Baseline(Protocol):
    """A named architecture trained with the same recipe as the picks.

    Built as ``target(context: BaselineContext, **parameters)``.
    """

    def architectures(self) -> Sequence[NamedArchitecture]:
        """One or several architectures; their family may differ from the study's.

        Raises:
            ConfigError: the baseline cannot be made from this teacher.
        """
        ...


@dataclass(frozen=True)
class ReferenceContext:
    """What a reference is measured with.

    Args:
        label: the key it has in the configuration.
        task: what is to be learnt.
        splits: role -> `datasets.Dataset` as in `TaskData.splits`.
        teacher_dir: the fine-tuned teacher as a Hugging Face directory.
        max_length: tokens per example.
        work_dir: where it may write.
    """

    label: str
    task: TaskSpec
    splits: Mapping[str, Any]
    teacher_dir: Path
    max_length: int
    work_dir: Path


@dataclass(frozen=True)
class ReferenceResult:
    """A row that is not distilled.

    Args:
        name: what the report calls it.
        logits: role (``"select"``, ``"test"``) -> ``examples x classes`` float array, in the split's order.
        parameters: number of parameters, or None where the word has no meaning.
        onnx_path: a model that latency backends can time, or None.
    """

    name: str
    logits: Mapping[str, Any]
    parameters: int | None = None
    onnx_path: Path | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


class Reference(Protocol):
    """A reference; built as ``target(context: ReferenceContext, **parameters)``."""

    def available(self) -> str | None:
        """None when it can be measured for this task, else the reason why not."""
        ...

    def measure(self) -> ReferenceResult:
        """Train or convert it and predict; called once per study, after the picks are frozen."""
        ...
