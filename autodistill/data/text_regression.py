"""The data source `text_regression`: the user's own texts or pairs of texts, each with a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autodistill.components.task import DataContext, TaskData, TaskSpec
from autodistill.data.assembling import Example, assemble
from autodistill.data.examples import OwnFiles, RoleFile, check_ids, example_of, notes_of, number, plain_text

#: Part of every fingerprint; raise it when reading or carving changes.
FORMAT = "text_regression/1"


class TextRegression:
    """One or two text columns and a column of numbers.

    Args:
        context: says whether a model is scored; files are read anew each time.
        text_columns: one or two columns that hold the text.
        label_column: column of the numbers.
        files: see `autodistill.data.examples.OwnFiles`.
    """

    def __init__(
        self,
        context: DataContext,
        *,
        text_columns: Sequence[str],
        label_column: str,
        **files: Any,
    ) -> None:
        self._files = OwnFiles(**files)
        self.max_length = self._files.max_length
        self._text_columns = tuple(text_columns)
        self._label_column = label_column
        self._is_scored = context.model_classes is not None

    def load(self) -> TaskData:
        """Read the files and carve ``select`` if there is none.

        Raises:
            DataError: a file is missing or not what its name says, or a label is no finite number.
        """
        advice = "Set data.text_columns and data.label_column."
        files = self._files.by_role("scores.tsv", advice, scored=self._is_scored)
        splits = {role: self._examples(file) for role, file in files.items()}
        task = TaskSpec("regression", (), self._text_columns, "regression.spearman")
        where, notes = str(self._files.train), notes_of(files)
        return assemble(task, splits, self._files.carving, version=FORMAT, where=where, notes=notes)

    def _examples(self, file: RoleFile) -> list[Example]:
        rows = file.rows([*self._text_columns, self._label_column, self._files.id_column])
        check_ids(file, rows, self._files.id_column)
        return [
            example_of(file, index, row, self._text_columns, self._files.id_column, plain_text)
            | {"label": number(file, row, self._label_column)}
            for index, row in enumerate(rows)
        ]
