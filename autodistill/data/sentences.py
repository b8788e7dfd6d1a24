"""The data source `sentences`: texts without labels, whose sentence embeddings the student learns from the teacher."""

from __future__ import annotations

from autodistill.components.task import DataContext, TaskData, TaskSpec
from autodistill.data.assembling import Carving, Example, assemble
from autodistill.data.examples import RoleFile, check_ids, example_of, files_of, plain_text

#: Part of every fingerprint; raise it when reading or carving changes.
FORMAT = "sentences/1"


class Sentences:
    """One column of texts; the target is the teacher's sentence embedding.

    Args:
        context: not used; files are read anew each time.
        train: path of the training texts.
        select: path of the texts that choose between models; None carves them from ``train``.
        test: path of the texts that are read once at the end, or None.
        text_column: column that holds the text.
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
        text_column: str,
        id_column: str | None,
        select_share: float,
        select_max: int,
        train_limit: int | None,
        max_length: int,
    ) -> None:
        self.max_length = max_length
        self._files = (train, select, test)
        self._text_column = text_column
        self._id_column = id_column
        self._carving = Carving(select_share, select_max, train_limit)

    def load(self) -> TaskData:
        """Read the files and carve ``select`` if there is none.

        Raises:
            DataError: a file is missing or not what its name says.
        """
        files = files_of(*self._files, example="sentences.jsonl")
        splits = {role: self._examples(file) for role, file in files.items()}
        task = TaskSpec("embedding", (), (self._text_column,), "embedding.cosine", label_free=True)
        return assemble(task, splits, self._carving, version=FORMAT, where=files["train"].path)

    def _examples(self, file: RoleFile) -> list[Example]:
        rows = file.rows([self._text_column, self._id_column])
        check_ids(file, rows, self._id_column)
        return [
            example_of(file, index, row, (self._text_column,), self._id_column, plain_text)
            for index, row in enumerate(rows)
        ]
