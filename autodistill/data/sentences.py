"""The data source `sentences`: texts without labels, whose sentence embeddings the student learns from the teacher."""

from __future__ import annotations

from typing import Any

from autodistill.components.task import DataContext, TaskData, TaskSpec
from autodistill.data.assembling import Example, assemble
from autodistill.data.examples import OwnFiles, RoleFile, check_ids, example_of, notes_of, plain_text

#: Part of every fingerprint; raise it when reading or carving changes.
FORMAT = "sentences/1"


class Sentences:
    """One column of texts; the target is the teacher's sentence embedding.

    Args:
        context: not used; files are read anew each time.
        text_column: column that holds the text.
        files: see `autodistill.data.examples.OwnFiles`.
    """

    def __init__(
        self,
        context: DataContext,
        *,
        text_column: str,
        **files: Any,
    ) -> None:
        self._files = OwnFiles(**files)
        self.max_length = self._files.max_length
        self._text_column = text_column

    def load(self) -> TaskData:
        """Read the files and carve ``select`` if there is none.

        Raises:
            DataError: a file is missing or not what its name says.
        """
        files = self._files.by_role("sentences.jsonl", "Set data.text_column.")
        splits = {role: self._examples(file) for role, file in files.items()}
        task = TaskSpec("embedding", (), (self._text_column,), "embedding.retrieval", label_free=True)
        where, notes = files["train"].path, notes_of(files)
        return assemble(task, splits, self._files.carving, version=FORMAT, where=where, notes=notes)

    def _examples(self, file: RoleFile) -> list[Example]:
        rows = file.rows([self._text_column, self._files.id_column])
        check_ids(file, rows, self._files.id_column)
        return [
            example_of(file, index, row, (self._text_column,), self._files.id_column, plain_text)
            for index, row in enumerate(rows)
        ]
