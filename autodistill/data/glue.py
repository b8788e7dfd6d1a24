"""The data source `glue`: one of the nine tasks, from files in the official layout or from the hub.

What the tasks look like is in `autodistill.data.glue_tasks`. The published dev sets are ``test``; ``select`` is carved
from train, so that nothing is chosen by the numbers that are reported.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from autodistill.components.task import OF, DataContext, TaskData, TaskSpec
from autodistill.data.assembling import Carving, Example, assemble
from autodistill.data.glue_tasks import STSB_RANGE, TASKS, GlueTask
from autodistill.data.hub import load_from_hub
from autodistill.data.tables import (
    BLANK_LINES,
    FIELD_LIMIT,
    Row,
    count_one,
    finite_number,
    opened_text,
    place_of,
    reading_errors,
)
from autodistill.errors import DataError

#: Part of every fingerprint; raise it when reading or carving changes.
FORMAT = "glue/1"

#: What is counted of rows that lack columns.
SHORT_ROWS = "dropped_short_rows"

#: Where the hub keeps GLUE.
HUB_NAME = "nyu-mll/glue"


class Glue:
    """One task of GLUE.

    Args:
        context: says whether a model is scored, for which the dev sets alone will do.
        task: name of the task, e.g. ``"mrpc"``.
        root: folder of the official files, which holds a folder per task; None reads from the hub.
        allow_hub: whether the hub may be asked.
        revision: of the data set on the hub.
        select_share: share of train that becomes select.
        select_max: examples of select at most.
        train_limit: training examples at most; None keeps all.
        max_length: tokens per example at most.
    """

    def __init__(
        self,
        context: DataContext,
        *,
        task: str,
        root: str | None,
        allow_hub: bool,
        revision: str | None,
        select_share: float,
        select_max: int,
        train_limit: int | None,
        max_length: int,
    ) -> None:
        self.max_length = max_length
        self._task = TASKS[task]
        self._root = root
        self._is_scored = context.model_classes is not None
        self._allow_hub, self._revision = allow_hub, revision
        self._carving = Carving(select_share, select_max, train_limit)
        self._notes = {SHORT_ROWS: 0} if self._task.skips_short_rows and root is not None else {}
        self._lines = 0

    def load(self) -> TaskData:
        """Read train and the dev sets, and carve select.

        Raises:
            DataError: a file is missing or not what the layout says; names file and line.
        """
        task = self._task
        read = self._from_hub if self._root is None else self._from_files
        splits = {} if self._is_scored and self._lacks_train else {"train": read("train")}
        splits["test"] = [item for name, _ in task.tests for item in read(name)]
        kind = "classification" if task.classes else "regression"
        spec = TaskSpec(kind, task.classes, self._columns, "glue.score", benchmark=f"glue/{task.name}")
        where = f"{task.folder} below {self._root}" if self._root else f"{HUB_NAME}/{task.name}"
        notes = self._notes | {f"{name}{OF}": self._lines for name in self._notes}
        return assemble(spec, splits, self._carving, version=FORMAT, where=where, notes=notes)

    @property
    def _columns(self) -> tuple[str, ...]:
        """The text columns of the splits: those of the hub, whatever a file calls them."""
        return self._task.hub_texts

    # -- official files ------------------------------------------------------------------------------------------

    def _from_files(self, name: str) -> list[Example]:
        path = self._path(name)
        examples = []
        for index, row in enumerate(self._rows(path)):
            values = row.values
            texts = dict(zip(self._columns, (values[column] for column in self._task.texts), strict=True))
            label = self._label(f"data.root: {path}, line {row.line}", values[self._task.label])
            examples.append({"id": f"{name}-{index}", **texts, "label": label})
        if not examples:
            raise DataError(f"data.root: {path} has no examples.")
        return examples

    @property
    def _folder(self) -> Path:
        root = Path(str(self._root)).expanduser()
        if not root.is_dir():
            raise DataError(f"data.root: the folder {str(self._root)!r} does not exist (looked in {Path.cwd()}).")
        return task_folder(root, self._task)

    @property
    def _lacks_train(self) -> bool:
        """Whether there are official files, but not that of train."""
        return self._root is not None and _official_file(self._folder, "train") is None

    def _path(self, name: str) -> Path:
        folder, stem = self._folder, dict(self._task.tests).get(name, name)
        if (path := _official_file(folder, stem)) is not None:
            return path
        given = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise DataError(
            f"data.root: {folder} has no {stem}.tsv (or {stem}.tsv.gz), which {self._task.name} needs; it has {given}. "
            "Get the official files, or set data.root=null data.allow_hub=true to read them from the hub."
        )

    def _rows(self, path: Path) -> Iterator[Row]:
        """Rows of an official file: tabs between columns, quotes are plain characters."""
        csv.field_size_limit(FIELD_LIMIT)
        wanted = (*self._task.texts, self._task.label)
        with reading_errors(path, "data.root"), opened_text(path, "data.root") as file:
            reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            header = list(self._task.header) or next(reader, [])
            places = [place_of(column, header, path, "data.root") for column in wanted]
            for fields in reader:
                self._lines += 1
                if self._skipped(fields, header, path, reader.line_num):
                    continue
                yield Row(
                    reader.line_num, {column: fields[place] for column, place in zip(wanted, places, strict=True)}
                )

    def _skipped(self, fields: Sequence[str], header: Sequence[str], path: Path, line: int) -> bool:
        """Whether a row is left out, and counted; another wrong number of columns is an error."""
        if len(fields) == len(header):
            return False
        if not fields or (self._task.skips_short_rows and len(fields) < len(header)):
            count_one(self._notes, SHORT_ROWS if fields else BLANK_LINES)
            return True
        raise DataError(
            f"data.root: {path}, line {line} has {len(fields)} fields, but {self._task.name} has {len(header)} columns "
            f"({', '.join(header)})."
        )

    # -- the hub -------------------------------------------------------------------------------------------------

    def _from_hub(self, name: str) -> list[Example]:
        split = {"train": "train", "test": "validation"}.get(name, f"validation_{name}")
        rows = load_from_hub(HUB_NAME, self._task.name, split, self._allow_hub, self._revision, "data.root")
        return [self._hub_example(name, index, row) for index, row in enumerate(rows)]

    def _hub_example(self, name: str, index: int, row: Mapping[str, Any]) -> Example:
        where = f"{HUB_NAME}/{self._task.name}, {name}, row {index + 1}"
        texts = {column: row[column] for column in self._columns}
        for column, text in texts.items():
            if not isinstance(text, str):
                raise DataError(
                    f"{where}, column {column!r}: expected text, got {text!r:.80}. Give data.revision of a version "
                    "without it, or data.root of the official files."
                )
        label = row["label"]
        if self._task.classes:
            if label not in range(len(self._task.classes)):
                raise DataError(f"{where}: the label {label!r} is none of 0 ... {len(self._task.classes) - 1}.")
            return {"id": f"{name}-{index}", **texts, "label": int(label)}
        return {"id": f"{name}-{index}", **texts, "label": self._label(where, str(label))}

    def _label(self, where: str, value: str) -> int | float:
        """A class id, or a score."""
        if not self._task.classes:
            return _score(where, value)
        values = self._task.values or self._task.classes
        if value not in values:
            raise DataError(f"{where}: the label {value!r} is none of {', '.join(map(repr, values))}.")
        return values.index(value)


def _official_file(folder: Path, stem: str) -> Path | None:
    """The file of that name in a task's folder, if there is one."""
    files = (folder / f"{stem}.tsv", folder / f"{stem}.tsv.gz")
    return next((path for path in files if path.is_file()), None)


def _score(where: str, value: str) -> float:
    number = finite_number(value)
    low, high = STSB_RANGE
    if not low <= number <= high:
        raise DataError(f"{where}: the score {value!r} is no number from {low:g} to {high:g}.")
    return number


def task_folder(root: Path, task: GlueTask) -> Path:
    """The folder of a task below ``root``, or ``root`` itself when the files lie there.

    Raises:
        DataError: there is none; lists the folders.
    """
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    for folder in folders:
        if folder.name.lower().replace("-", "") in (task.name, task.folder.lower().replace("-", "")):
            return folder
    if any(_official_file(root, stem) for stem in ("train", *(stem for _, stem in task.tests))):
        return root
    given = ", ".join(folder.name for folder in folders) or "none"
    raise DataError(f"data.root: {root} has no folder {task.folder} for {task.name}; its folders: {given}.")
