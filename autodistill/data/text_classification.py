"""The data source `text_classification`: the user's own texts, with labels or without.

Reading files is in `autodistill.data.tables`, carving a select split in `autodistill.data.splits`; here rows become
labelled splits with stable ids and a fingerprint.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets

from autodistill.components.task import DataContext, TaskData, TaskSpec
from autodistill.data.splits import carve, normalised, stable_hash
from autodistill.data.tables import Row, read_table
from autodistill.errors import DataError

#: Part of every fingerprint; raise it when reading or carving changes.
FORMAT = "text_classification/1"


class TextClassification:
    """One or two text columns and, unless label-free, a column of class names or ids.

    Classes are those of the training file, sorted (numerically when all are whole numbers).

    Args:
        context: not used; files are read anew each time.
        train: path of the training examples.
        select: path of the examples that choose between models; None carves them from ``train``.
        test: path of the examples that are read once at the end, or None.
        text_columns: one or two columns that hold the text.
        label_column: column of the classes; None makes the task label-free.
        select_share: share of ``train`` that is carved off when ``select`` is None.
        select_max: carved examples at most.
        train_limit: training examples at most, chosen by a stable hash after carving; None keeps all.
        max_length: tokens per example at most.
    """

    def __init__(
        self,
        context: DataContext,
        *,
        train: str | None,
        select: str | None,
        test: str | None,
        text_columns: Sequence[str],
        label_column: str | None,
        select_share: float,
        select_max: int,
        train_limit: int | None,
        max_length: int,
    ) -> None:
        self.max_length = max_length
        self._paths = {"train": train, "select": select, "test": test}
        self._text_columns = tuple(text_columns)
        self._label_column = label_column
        self._select_share, self._select_max, self._train_limit = select_share, select_max, train_limit

    def load(self) -> TaskData:
        """Read the files, carve ``select`` if there is none, and number the classes.

        Raises:
            DataError: a file is missing or not what its name says, a column is missing, there are no examples, fewer
                than two classes, or a label that the training file does not have.
        """
        rows = {role: self._read(role, path) for role, path in self._paths.items() if path is not None}
        if "train" not in rows:
            raise DataError("data.train must name a file of training examples, e.g. data.train=reviews.tsv, got null.")
        labels = self._labels(rows["train"])
        splits = {role: self._examples(role, rows[role], labels) for role in rows}
        notes: dict[str, Any] = {}
        if "select" not in splits:
            splits["train"], splits["select"] = self._carved(splits["train"])
            notes["carved_select"] = len(splits["select"])
        splits["train"] = self._limited(splits["train"])
        notes |= {f"{role}_examples": len(examples) for role, examples in splits.items()} | self._overlaps(splits)
        metric = "classification.accuracy" if self._label_column else "agreement.accuracy"
        task = TaskSpec("classification", labels, self._text_columns, metric, label_free=self._label_column is None)
        data = {role: datasets.Dataset.from_list(splits[role]) for role in splits}
        return TaskData(task, data, _fingerprint(labels, splits), notes)

    def _read(self, role: str, path: str) -> list[Row]:
        columns = [*self._text_columns, *([self._label_column] if self._label_column else [])]
        return read_table(Path(path).expanduser(), columns, f"data.{role}")

    def _labels(self, rows: Sequence[Row]) -> tuple[str, ...]:
        """Return the class names of the training rows, sorted; none when label-free."""
        if self._label_column is None:
            return ()
        names = {self._label("train", row) for row in rows}
        if len(names) < 2:
            raise DataError(
                f"data.train: {self._paths['train']} has only one class in column {self._label_column!r}: "
                f"{names.pop()!r}. Expected at least two; set data.label_column=null to distil without labels."
            )
        whole = all(name.removeprefix("-").isdecimal() for name in names)
        return tuple(sorted(names, key=lambda name: (int(name) if whole else 0, name)))

    def _label(self, role: str, row: Row) -> str:
        value = row.values[str(self._label_column)]
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        name = "" if value is None else str(value).strip()
        if not name:
            raise DataError(f"{self._where(role, row)}: the label (column {self._label_column!r}) is empty.")
        return name

    def _where(self, role: str, row: Row) -> str:
        unit = "row" if str(self._paths[role]).endswith(".parquet") else "line"
        return f"data.{role}: {self._paths[role]}, {unit} {row.line}"

    def _examples(self, role: str, rows: Sequence[Row], labels: Sequence[str]) -> list[dict[str, Any]]:
        numbers = {name: number for number, name in enumerate(labels)}
        return [self._example(role, index, row, numbers) for index, row in enumerate(rows)]

    def _example(self, role: str, index: int, row: Row, numbers: Mapping[str, int]) -> dict[str, Any]:
        example: dict[str, Any] = {"id": f"{role}-{index}"}
        for column in self._text_columns:
            text = row.values[column]
            if not isinstance(text, str):
                raise DataError(f"{self._where(role, row)}: expected text in column {column!r}, got {text!r}.")
            example[column] = text
        if self._label_column is None:
            return example
        name = self._label(role, row)
        if name not in numbers:
            known = ", ".join(map(repr, list(numbers)[:20]))
            raise DataError(
                f"{self._where(role, row)}: label {name!r} does not occur in the training file {self._paths['train']}, "
                f"whose labels are {known}."
            )
        return example | {"label": numbers[name]}

    def _text(self, example: Mapping[str, Any]) -> str:
        return "\n".join(example[column] for column in self._text_columns)

    def _carved(self, examples: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return what stays in train, and the select split with ids of its own."""
        target = min(self._select_max, round(self._select_share * len(examples)))
        chosen = carve([self._text(example) for example in examples], target)
        train = [example for example, taken in zip(examples, chosen, strict=True) if not taken]
        select = [example for example, taken in zip(examples, chosen, strict=True) if taken]
        if not train or not select:
            raise DataError(
                f"data.train: {self._paths['train']} with {len(examples)} examples cannot be split into train and "
                f"select with data.select_share={self._select_share:g}. Give more examples or a file as data.select."
            )
        return train, [example | {"id": example["id"].replace("train", "select")} for example in select]

    def _limited(self, examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if self._train_limit is None or len(examples) <= self._train_limit:
            return examples
        kept = heapq.nsmallest(self._train_limit, examples, key=lambda example: stable_hash(example["id"]))
        ids = {example["id"] for example in kept}
        return [example for example in examples if example["id"] in ids]

    def _overlaps(self, splits: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, int]:
        """Return how many examples of the other splits have the same text as a training example."""
        seen = {normalised(self._text(example)) for example in splits["train"]}
        others = [role for role in splits if role != "train"]
        return {
            f"{role}_texts_in_train": sum(normalised(self._text(example)) in seen for example in splits[role])
            for role in others
        }


def _fingerprint(labels: Sequence[str], splits: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return a digest of every example of every split, whatever file it came from."""
    digest = hashlib.sha256(json.dumps([FORMAT, *labels]).encode())
    for role in sorted(splits):
        for example in splits[role]:
            digest.update(json.dumps([role, *example.items()]).encode())
    return digest.hexdigest()[:32]
