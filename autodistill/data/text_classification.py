"""The data source `text_classification`: the user's own texts, with labels or without.

Reading files is in `autodistill.data.tables`, checking rows in `.examples`, carving a select split in `.assembling`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autodistill.components.task import DataContext, TaskData, TaskSpec
from autodistill.data.assembling import Example, assemble
from autodistill.data.examples import (
    OwnFiles,
    RoleFile,
    check_ids,
    class_id,
    class_name,
    class_names,
    example_of,
    notes_of,
    plain_text,
    sorted_classes,
)
from autodistill.data.tables import Row
from autodistill.errors import DataError

#: Part of every fingerprint; raise it when reading or carving changes.
FORMAT = "text_classification/1"


class TextClassification:
    """One or two text columns and, unless label-free, a column of class names or ids.

    Classes are those of the training file, sorted (numerically when all are whole numbers), unless ``labels`` names
    them; of a test file alone, those of the model that is scored.

    Args:
        context: its model's classes are used; files are read anew each time.
        text_columns: one or two columns that hold the text.
        label_column: column of the classes; None makes the task label-free.
        test_label_column: of a label-free task: column of the classes in ``test``, or None.
        labels: class names in the order of their ids, or None.
        multi_label: whether an example may have any number of classes.
        label_separator: between the classes of an example, where a file does not have lists.
        files: see `autodistill.data.examples.OwnFiles`.
    """

    def __init__(
        self,
        context: DataContext,
        *,
        text_columns: Sequence[str],
        label_column: str | None,
        test_label_column: str | None,
        labels: Sequence[str] | None,
        multi_label: bool,
        label_separator: str,
        **files: Any,
    ) -> None:
        self._files = OwnFiles(**files)
        self.max_length = self._files.max_length
        self._text_columns = tuple(text_columns)
        self._label_column = label_column
        self._test_label_column = test_label_column
        self._labels = None if labels is None else tuple(map(str, labels))
        self._model_classes = context.model_classes
        self._multi_label, self._separator = multi_label, label_separator

    def load(self) -> TaskData:
        """Read the files, carve ``select`` if there is none, and number the classes.

        Raises:
            DataError: a file is missing or not what its name says, a column is missing, there are no examples, fewer
                than two classes, or a label that the training file does not have.
        """
        advice = "Set data.text_columns and data.label_column (null if the texts have no labels)."
        files = self._files.by_role("reviews.tsv", advice, scored=self._model_classes is not None)
        rows = {role: self._read(file) for role, file in files.items()}
        labels = self._labels
        if labels is None:
            labels = self._found_labels(files["train"], rows["train"]) if "train" in files else self._taught_labels()
        splits = {role: self._examples(files[role], rows[role], labels) for role in rows}
        metric = "classification.accuracy" if self._label_column else "agreement.accuracy"
        task = TaskSpec(
            "classification",
            labels,
            self._text_columns,
            metric,
            label_free=self._label_column is None,
            test_labels=self._label_column is None and self._test_label_column is not None and "test" in files,
            multi_label=self._multi_label,
        )
        notes: dict[str, Any] = notes_of(files)
        if self._multi_label and self._label_column and "train" in splits:
            notes["train_without_label"] = sum(not example["label"] for example in splits["train"])
        return assemble(task, splits, self._files.carving, version=FORMAT, where=str(self._files.train), notes=notes)

    def _column(self, role: str) -> str | None:
        """The column of the labels in a role's file."""
        return self._test_label_column if self._label_column is None and role == "test" else self._label_column

    def _read(self, file: RoleFile) -> list[Row]:
        rows = file.rows([*self._text_columns, self._column(file.role), self._files.id_column])
        check_ids(file, rows, self._files.id_column)
        return rows

    def _found_labels(self, file: RoleFile, rows: Sequence[Row]) -> tuple[str, ...]:
        """The class names of the training rows, sorted; none when label-free."""
        if self._label_column is None:
            return ()
        names = {name for row in rows for name in self._names(file, row, self._label_column)}
        if len(names) < 2:
            only = f"only one class in column {self._label_column!r}: {names.pop()!r}" if names else "no class at all"
            raise DataError(
                f"data.train: {file.path} has {only}. "
                "Expected at least two; set data.label_column=null to distil without labels."
            )
        return sorted_classes(names)

    def _taught_labels(self) -> tuple[str, ...]:
        """The class names of the model that is scored; none when label-free."""
        return (self._model_classes or ()) if self._label_column else ()

    def _names(self, file: RoleFile, row: Row, column: str) -> list[str]:
        if self._multi_label:
            return class_names(file, row, column, self._separator)
        return [class_name(file, row, column)]

    def _examples(self, file: RoleFile, rows: Sequence[Row], labels: Sequence[str]) -> list[Example]:
        numbers = {name: place for place, name in enumerate(labels)}
        return [self._example(file, index, row, numbers) for index, row in enumerate(rows)]

    def _example(self, file: RoleFile, index: int, row: Row, numbers: Mapping[str, int]) -> Example:
        example = example_of(file, index, row, self._text_columns, self._files.id_column, plain_text)
        column = self._column(file.role)
        if column is None:
            return example
        source = self._files.source_of_labels(self._labels is not None)
        found = [class_id(file, row, name, numbers, source) for name in self._names(file, row, column)]
        return example | {"label": sorted(set(found)) if self._multi_label else found[0]}
