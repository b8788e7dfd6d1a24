"""What follows training: evaluators, exporters and executors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from autodistill.components.architecture import Architecture
from autodistill.components.search import Direction
from autodistill.components.students import StudentFamily, Vocabulary
from autodistill.components.task import TaskSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    FloatArray = NDArray[np.floating[Any]]

    #: Weights of examples (draws x examples, each row with a positive sum) -> the metric of each draw.
    WeightedMetric = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Predictions:
    """A model's answers on one split.

    What the rows are depends on the kind of task:

    ====================  =========================  =======================================================
    kind                  rows                       columns of ``logits``
    ====================  =========================  =======================================================
    classification        examples                   classes
    regression            examples                   1
    token_classification  labelled words             classes
    mlm                   masked tokens              loss in nats; 1 where the most probable token is right
    question_answering    questions                  first character, last (excluded), score, no-answer score
    embedding             examples                   width of the model
    ====================  =========================  =======================================================

    Args:
        ids: one per example.
        logits: see the table, float32.
        labels: one per row: int64 classes, float32 numbers, rows x classes 0/1 for several labels, accepted answers
            (sequence of texts, empty = unanswerable) of questions; None when the split has none.
        teacher_logits: the same of the teacher, or None (then the model is the teacher).
        task: what was learnt.
        owners: rows, int64: the example that a row belongs to; None when rows are examples.
        texts: the contexts of questions, which answers are cut out of; None elsewhere.
        groups: examples, int64 from 0: what an example belongs to with others that are not independent of it, as rows
            of text do to a document; None where each stands for itself.
    """

    ids: Sequence[str]
    logits: FloatArray
    labels: Any | None
    teacher_logits: FloatArray | None
    task: TaskSpec
    owners: Any | None = None
    texts: Sequence[str] | None = None
    groups: Any | None = None


@dataclass(frozen=True)
class Score:
    """One metric on one split.

    What is given beside ``value`` and ``variance`` says what kind of metric it is:

    ========================================  =====================================================================
    a mean of contributions                   ``per_example``, and ``bounds``; without these, one of zeros and ones
                                              alone is taken for a share
    another metric of the examples            ``weighted`` and ``n``, ``bounds`` where it has some, and ``worth``
                                              where it is of right and wrong answers
    the least of several shares               the same and ``least_of``, which its interval is made of
    a number of which no more is known        nothing: it has no interval, and differences from it have none
    ========================================  =====================================================================

    Args:
        value: the metric.
        variance: variance of the estimate (sampling of the examples).
        per_example: examples, float64: contributions whose mean is the metric, for paired comparison; None where
            the metric is not a mean.
        weighted: of a metric that is no mean of independent contributions (F1, a correlation, a mean over questions
            that share paragraphs, ...): the metric when each unit counts with a weight, from which a bootstrap makes
            intervals and paired comparisons. None for means, and where neither is known.
        n: units that have a weight: examples, or groups of examples that belong together.
        counted: examples that the value rests on, where they are not as many as the units: those of a part of the
            split, of a class, of all groups.
        least_of: of a value that is the least of several shares: these shares, and the numbers of independent examples
            each rests on. A least share is too low by chance, and a bootstrap of it twice so; its interval is made of
            theirs.
        bounds: least and largest value that the metric can have, which no interval leaves; None where it has none.
        worth: of a metric of right and wrong answers that is no mean: what one wrong answer of a model that is right
            otherwise takes from it, times the units; 1 for a share of right answers, less where a unit holds several.
            Intervals are then no surer than those of as many answers. None for other metrics.
    """

    value: float
    variance: float | None = None
    per_example: FloatArray | None = None
    weighted: WeightedMetric | None = None
    n: int | None = None
    counted: int | None = None
    least_of: tuple[FloatArray, FloatArray] | None = None
    bounds: tuple[float, float] | None = None
    worth: float | None = None


@dataclass(frozen=True)
class Described:
    """An architecture before training, for evaluators that need no weights."""

    architecture: Architecture
    family: StudentFamily
    task: TaskSpec
    vocabulary: Vocabulary
    tokens: int


class Evaluator(Protocol):
    """An evaluator; built as ``target(**parameters)``.

    ``before_training`` evaluators implement `describe` (their metrics are *known*), the others `score`. One whose
    metrics depend on the task also has ``metrics_of(task)``, a part of ``metrics``; see `metrics_of`. One with metrics
    that only the final split has names them in ``final_metrics``: nothing can be chosen by them. One that never reads
    the teacher's answers says ``needs_teacher = False``, which spares a command the teacher.
    """

    #: Metric name -> direction; names in the study are ``<label>.<metric>``.
    metrics: Mapping[str, Direction]
    before_training: bool

    def supports(self, task: TaskSpec) -> str | None:
        """None when it can score this task, else the reason why not."""
        ...

    def describe(self, subject: Described) -> Mapping[str, float]:
        """Metrics of an untrained architecture, exact."""
        ...

    def score(self, predictions: Predictions) -> Mapping[str, Score]:
        """Metrics of predictions."""
        ...


def metrics_of(evaluator: Evaluator, task: TaskSpec) -> Mapping[str, Direction]:
    """The metrics of an evaluator on a task: those that its own ``metrics_of`` says, if it has one, else all."""
    own: Callable[[TaskSpec], Mapping[str, Direction]] | None = getattr(evaluator, "metrics_of", None)
    return evaluator.metrics if own is None else own(task)


def compares_with_teacher(evaluator: Evaluator) -> bool:
    """Whether it reads the teacher's answers: what its ``needs_teacher`` says, else whatever scores predictions."""
    return not evaluator.before_training and bool(getattr(evaluator, "needs_teacher", True))


def of_test_alone(evaluator: Evaluator, task: TaskSpec) -> bool:
    """Whether it needs labels, and the task is a label-free one of which only the test split has some."""
    return task.test_labels and evaluator.supports(replace(task, test_labels=False)) is not None


@dataclass(frozen=True)
class ExportSubject:
    """A trained model to be exported.

    Args:
        name: for messages, e.g. ``"pick 3"``.
        model: trained, eval mode, CPU.
        tokenizer: saved beside the model.
        task: what was learnt.
        sample: column (``input_ids``, ``attention_mask``, ``token_type_ids``) -> batch x tokens int64 arrays of real
            examples for the parity check; several batches of different lengths.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    task: TaskSpec
    sample: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class ExportReport:
    """What an exporter wrote.

    Args:
        format: registry name of the exporter.
        path: what to load (a directory or a file).
        sha256: of the weights file.
        parity: ``max_abs_difference``, ``max_relative_difference`` (of logits, against the trained model),
            ``same_prediction`` (share of examples), ``n`` and ``tolerance``.
        bytes: size on disk.
    """

    format: str
    path: Path
    sha256: str
    parity: Mapping[str, float]
    bytes: int
    versions: Mapping[str, str] = field(default_factory=dict)


class Exporter(Protocol):
    """Writes a deployable format and checks it; built as ``target(**parameters)``."""

    def export(self, subject: ExportSubject, directory: Path) -> ExportReport:
        """Write into ``directory`` (made if need be), load it again and compare.

        Raises:
            ExportError: it cannot be written, or the outputs differ by more than the tolerance.
        """
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """A run to be executed, as data: it can travel to another process."""

    study: str
    trial: int
    run: Literal["flash", "full"]


@dataclass(frozen=True)
class JobResult:
    """How a job ended: ``state`` is complete, stopped or failed; ``error`` is one paragraph when failed."""

    job: Job
    state: str
    error: str | None = None


@dataclass(frozen=True)
class ExecutorContext:
    """What an executor is built from: ``work`` runs one job in this process and never raises for a failed trial."""

    work: Callable[[Job], JobResult]


class Executor(Protocol):
    """Runs trials; built as ``target(context: ExecutorContext, **parameters)``."""

    #: Jobs that may be under way at once.
    capacity: int

    def submit(self, job: Job) -> None:
        """Take a job; at most `capacity` may be under way."""
        ...

    def wait(self) -> JobResult:
        """Block until a job has ended and return it."""
        ...

    def close(self) -> None:
        """Stop workers; may be called twice."""
        ...
