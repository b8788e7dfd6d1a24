"""Tasks and data: what a data source gives to everything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

#: Roles of a split. ``train`` and ``select`` always exist, but where a model is scored alone; ``test`` is absent when
#: the user has none.
ROLES = ("train", "select", "test")

#: Kinds of task known to the vocabulary of the project.
TASK_KINDS = ("classification", "regression", "token_classification", "question_answering", "mlm", "embedding")

#: Label of a token that does not count: padding, special tokens, further pieces of a word, tokens that are not masked.
IGNORED = -100


#: End of the name of a note that says of how many something was left out: ``blank_lines_left_out_of`` beside
#: ``blank_lines_left_out``. A share above 1 % raises an alarm.
OF = "_of"


@dataclass(frozen=True, slots=True)
class Masking:
    """How a masked language model's examples are made; a pure function of (fingerprint of the split, seed, index).

    Args:
        share: of the tokens that are to be predicted, in (0, 1).
        whole_word: whether all pieces of a word are predicted together.
        copies: different maskings of each training example; the stream goes through all examples with one of them
            before it takes the next, and after the last begins again with the first. Held-out splits have one.
        pairs: rows are two consecutive pieces of a document, with token types 0 and 1; else documents are packed into
            rows of full length.
    """

    share: float = 0.15
    whole_word: bool = False
    copies: int = 10
    pairs: bool = False


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """What is to be learnt.

    What the kinds mean for the columns of a split, for ``Batch.labels`` and for a model's logits:

    ====================  ==================================  ============================  ====================
    kind                  columns beside ``id`` and texts     ``Batch.labels``              ``logits``
    ====================  ==================================  ============================  ====================
    classification        ``label``: class id                 batch, int64                  batch x classes
    ... ``multi_label``   ``label``: list of class ids        batch x classes, float32 0/1  batch x classes
    regression            ``label``: number                   batch, float32                batch x 1
    token_classification  ``label``: list of class ids, one   batch x tokens, int64;        batch x tokens
                          per word; the text column is a      `IGNORED` but for the first   x classes
                          list of words                       piece of each word
    question_answering    ``answers``: ``{"text": [...],      batch x 2, int64: first and   batch x tokens x 2
                          "start": [...]}`` (characters of    last token of the answer in   (start, end)
                          the context); none = unanswerable   the window; 0, 0 = not there
    mlm                   the split is a `TextStream`         batch x tokens, int64: the    batch x tokens
                                                              token that was there, else    x vocabulary; 0
                                                              `IGNORED`                     where `IGNORED`
    embedding             none                                None                          batch x width
    ====================  ==================================  ============================  ====================

    The text columns of a question answering task are the question and the context, in this order.

    Args:
        kind: one of `TASK_KINDS`.
        labels: names of the classes, index = class id; empty when the task has none or they come from the teacher.
        text_columns: one or two columns of the splits that hold text.
        metric: default metric as ``"<evaluator>.<metric>"``, e.g. ``"classification.accuracy"``.
        label_free: true when no reference labels exist and the teacher's answers are the target.
        test_labels: of a label-free task: whether the test split has reference labels all the same, so that what is
            final is scored against them too.
        multi_label: of a classification: an example may have any number of classes, also none.
        benchmark: name of the published task, e.g. ``"glue/mrpc"`` or ``"squad/1.1"``, so that its official metrics
            can be computed; empty for one's own data.
        stride: of question answering: tokens of the context that neighbouring windows share.
        masking: of an mlm task.
    """

    kind: str
    labels: tuple[str, ...]
    text_columns: tuple[str, ...]
    metric: str
    label_free: bool = False
    test_labels: bool = False
    multi_label: bool = False
    benchmark: str = ""
    stride: int = 0
    masking: Masking | None = None

    @property
    def num_labels(self) -> int:
        """Number of classes (1 for regression)."""
        return max(1, len(self.labels))


class Continued(str):
    """A piece of a long document that is not its first."""

    __slots__ = ()


class TextStream(Protocol):
    """A split that is too large for the memory: documents, read in parts by several processes. Small to pickle."""

    @property
    def parts(self) -> int:
        """How many parts it is read in, each by one process; the same for the same data, whoever reads it."""
        ...

    @property
    def workers(self) -> int | None:
        """Processes that read it at once; None for as many as there are cores."""
        ...

    def documents(self, part: int) -> Iterator[str]:
        """The documents of a part, in order; each at most some megabytes, longer ones in pieces, see `Continued`.

        Raises:
            DataError: the data cannot be read; names file and line.
        """
        ...


@dataclass(frozen=True)
class TaskData:
    """Named splits with a fingerprint and a task.

    Args:
        task: what is to be learnt.
        splits: role -> data set with the columns ``id`` (string, unique within the split, stable between runs),
            the task's text columns (strings), and what the table in `TaskSpec` says (no ``label`` when label-free);
            a `TextStream` for mlm.
        fingerprint: hexadecimal digest that changes when any example of any split changes.
        notes: counts and facts worth a line in the report, e.g. ``{"dropped_near_duplicates": 12}``. Of what is
            left out in reading see `OF`.
        split_fingerprints: role -> digest that changes when an example of that split changes, so that what is made of
            one split (its tokens, the teacher, the order of training examples) outlives a change of another; of a role
            that is missing, ``fingerprint`` is taken.
    """

    task: TaskSpec
    splits: Mapping[str, Any]
    fingerprint: str
    notes: Mapping[str, Any] = field(default_factory=dict)
    split_fingerprints: Mapping[str, str] = field(default_factory=dict)

    def fingerprint_of(self, role: str) -> str:
        """Digest of all that decides the examples of a split."""
        return self.split_fingerprints.get(role, self.fingerprint)


@dataclass(frozen=True, slots=True)
class DataContext:
    """What a data source may use.

    Args:
        cache_dir: for what it builds, shared between studies and processes.
        model_classes: where a trained model is scored and nothing is trained: the names of its classes, index = class
            id. A source that is given no training data may then give the test split alone. None everywhere else.
    """

    cache_dir: Path
    model_classes: tuple[str, ...] | None = None


class DataSource(Protocol):
    """A data source; built as ``target(context: DataContext, **parameters)``.

    Every data source has the parameter ``max_length``: tokens per example at most, truncation is counted.
    """

    max_length: int

    def load(self) -> TaskData:
        """Return the splits; called once per process, after the configuration was checked.

        Raises:
            DataError: the data is not what the configuration says; names file, line or column.
        """
        ...
