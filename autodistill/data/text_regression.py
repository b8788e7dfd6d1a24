"""The data source `text_regression`: the user's own texts or pairs of texts, each with a number."""

from __future__ import annotations

from collections.abc import Sequence

from autodistill.components.task import DataContext, TaskData, TaskSpec
from autodistill.data.assembling import Carving, Example, assemble
from autodistill.data.examples import RoleFile, check_ids, example_of, files_of, number, plain_text

#: Part of every fingerprint; raise it when reading or carving changes.
FORMAT = "text_regression/1"


class TextRegression:
    """One or two text columns and a column of numbers.

    Args:
        context: not used; files are read anew each time.
        train: path of the training examples.
        select: path of the examples that choose between models; None carves them from ``train``.
        test: path of the examples that are read once at the end, or None.
        text_columns: one or two columns that hold the text.
        label_column: column of the numbers.
        id_column: column of the ids, or None.
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
        label_column: str,
        id_column: str | None,
        select_share: float,
        select_max: int,
        train_limit: int | None,
        max_length: int,
    ) -> None:
        self.max_length = max_length
        self._files = (train, select, test)
        self._text_columns = tuple(text_columns)
        self._label_column = label_column
        self._id_column = id_column
        self._carving = Carving(select_share, select_max, train_limit)

    def load(self) -> TaskData:
        """Read the files and carve ``select`` if there is none.

        Raises:
            DataError: a file is missing or not what its name says, or a label is no finite number.
        """
        files = files_of(*self._files, example="scores.tsv")
        splits = {role: self._examples(file) for role, file in files.items()}
        task = TaskSpec("regression", (), self._text_columns, "regression.spearman")
        return assemble(task, splits, self._carving, version=FORMAT, where=files["train"].path)

    def _examples(self, file: RoleFile) -> list[Example]:
        rows = file.rows([*self._text_columns, self._label_column, self._id_column])
        check_ids(file, rows, self._id_column)
        return [
            example_of(file, index, row, self._text_columns, self._id_column, plain_text)
            | {"label": number(file, row, self._label_column)}
            for index, row in enumerate(rows)
        ]
