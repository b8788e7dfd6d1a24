"""Tasks and data: what a data source gives to everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import datasets

#: Roles of a split. ``train`` and ``select`` always exist; ``test`` is absent when the user has none.
ROLES = ("train", "select", "test")

#: Kinds of task known to the vocabulary of the project.
TASK_KINDS = ("classification", "regression", "token_classification", "question_answering", "mlm", "embedding")


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """What is to be learnt.

    Args:
        kind: one of `TASK_KINDS`.
        labels: names of the classes, index = class id; empty when the task has none or they come from the teacher.
        text_columns: one or two columns of the splits that hold text.
        metric: default metric as ``"<evaluator>.<metric>"``, e.g. ``"classification.accuracy"``.
        label_free: true when no reference labels exist and the teacher's answers are the target.
    """

    kind: str
    labels: tuple[str, ...]
    text_columns: tuple[str, ...]
    metric: str
    label_free: bool = False

    @property
    def num_labels(self) -> int:
        """Number of classes (1 for regression)."""
        return max(1, len(self.labels))


@dataclass(frozen=True)
class TaskData:
    """Named splits with a fingerprint and a task.

    Args:
        task: what is to be learnt.
        splits: role -> data set with the columns ``id`` (string, unique within the split, stable between runs),
            the task's text columns (strings), and ``label`` (class id; absent when label-free).
        fingerprint: hexadecimal digest that changes when any example of any split changes.
        notes: counts and facts worth a line in the report, e.g. ``{"dropped_near_duplicates": 12}``.
    """

    task: TaskSpec
    splits: Mapping[str, datasets.Dataset]
    fingerprint: str
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DataContext:
    """What a data source may use: ``cache_dir`` for what it builds, shared between studies and processes."""

    cache_dir: Path


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
