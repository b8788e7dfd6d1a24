"""From the rows of a user's files to examples: ids, texts and labels, each checked, with file and line in errors.

Reading files is in `autodistill.data.tables`; carving, counting and the fingerprint are in `.assembling`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autodistill.data.assembling import Carving, Example
from autodistill.data.tables import MissingColumnError, Row, finite_number, read_table
from autodistill.errors import DataError

#: Names of classes that an error lists at most.
LISTED = 20

#: Largest number that labels of 32 bits hold.
LARGEST_NUMBER = 3.4e38

#: Digits of a whole number from which a name is only a name: Python refuses to read 4,300.
LONGEST_NUMBER = 1_000


@dataclass(frozen=True, slots=True)
class RoleFile:
    """The file of one role.

    Args:
        role: ``train``, ``select`` or ``test``.
        path: as the configuration gives it.
        advice: what to do when it lacks a column.
        notes: counts of what was left out in reading it.
    """

    role: str
    path: str
    advice: str
    notes: dict[str, int] = field(default_factory=dict, compare=False)

    @property
    def key(self) -> str:
        """The configuration key that named it."""
        return f"data.{self.role}"

    def where(self, row: Row) -> str:
        """Key, file and line of a row, for messages."""
        unit = "row" if self.path.endswith(".parquet") else "line"
        return f"{self.key}: {self.path}, {unit} {row.line}"

    def rows(self, columns: Sequence[str | None]) -> list[Row]:
        """The wanted columns of the file; None among them is no column."""
        wanted = [column for column in columns if column]
        try:
            return read_table(Path(self.path).expanduser(), wanted, self.key, self.notes)
        except MissingColumnError as error:
            raise DataError(f"{error} {self.advice}") from error


@dataclass(frozen=True)
class OwnFiles:
    """The files of a source and what all such sources are told about them.

    Args:
        train: path of the training examples.
        select: path of the examples that choose between models; None carves them from ``train``.
        test: path of the examples that are read once at the end, or None.
        id_column: column of the ids, or None.
        select_share: share of ``train`` that is carved off when ``select`` is None.
        select_max: carved examples at most.
        train_limit: training examples at most, chosen by a stable hash after carving; None keeps all.
        max_length: tokens per example at most.
    """

    train: str | None
    select: str | None
    test: str | None
    id_column: str | None
    select_share: float
    select_max: int
    train_limit: int | None
    max_length: int

    def source_of_labels(self, named: bool) -> str:
        """Where the classes are from, for messages: ``named`` says whether ``data.labels`` gives them."""
        if named:
            return "data.labels"
        return "the model that is scored" if self.train is None else f"the training file {self.train}"

    @property
    def carving(self) -> Carving:
        """How ``select`` and a smaller ``train`` are made."""
        return Carving(self.select_share, self.select_max, self.train_limit)

    def by_role(self, example: str, advice: str, *, scored: bool = False) -> dict[str, RoleFile]:
        """The files that were given.

        Args:
            example: name of such a file, for the error.
            advice: what to do when one lacks a column.
            scored: whether a trained model is scored, for which the test file alone will do.

        Raises:
            DataError: there is no training file, where one is needed.
        """
        if self.train is None and not (scored and self.test is not None):
            alone = " To score a trained model a file of test examples (data.test) will do." if scored else ""
            raise DataError(
                f"data.train must name a file of training examples, e.g. data.train={example}, got null.{alone}"
            )
        paths = {"train": self.train, "select": self.select, "test": self.test}
        return {role: RoleFile(role, path, advice) for role, path in paths.items() if path is not None}


def notes_of(files: Mapping[str, RoleFile]) -> dict[str, int]:
    """What was left out in reading the files, by role."""
    return {f"{role}_{name}": count for role, file in files.items() for name, count in file.notes.items()}


def example_of(
    file: RoleFile, index: int, row: Row, text_columns: Sequence[str], id_column: str | None, text: Callable[..., Any]
) -> Example:
    """The id and the texts of a row.

    Args:
        file: where it is from.
        index: of the row, from 0.
        row: the row.
        text_columns: columns of texts.
        id_column: column of the ids; None numbers them.
        text: called with (file, row, column); returns a checked text.
    """
    example: Example = {"id": f"{file.role}-{index}" if id_column is None else _identity(file, row, id_column)}
    for column in text_columns:
        example[column] = text(file, row, column)
    return example


def check_ids(file: RoleFile, rows: Sequence[Row], id_column: str | None) -> None:
    """Raise `DataError` that names both lines when an id stands twice."""
    lines: dict[str, int] = {}
    for row in rows if id_column else ():
        identity = _identity(file, row, str(id_column))
        if identity in lines:
            raise DataError(
                f"{file.where(row)}: the id {identity!r:.80} (column {id_column!r}) stands in line {lines[identity]} "
                "already. Ids must be unique within a file; leave data.id_column out to have them numbered."
            )
        lines[identity] = row.line


def _identity(file: RoleFile, row: Row, column: str) -> str:
    value = row.values[column]
    if value is None or not str(value).strip():
        raise DataError(f"{file.where(row)}: the id (column {column!r}) is empty.")
    return str(value)


def plain_text(file: RoleFile, row: Row, column: str) -> str:
    """A text as it stands in the file; it may be empty."""
    text = row.values[column]
    if not isinstance(text, str):
        raise DataError(f"{file.where(row)}: expected text in column {column!r}, got {text!r:.80}.")
    return text


def class_name(file: RoleFile, row: Row, column: str) -> str:
    """The name of a class; whole numbers are names too."""
    value = row.values[column]
    if isinstance(value, list):
        raise DataError(
            f"{file.where(row)}: expected one label in column {column!r}, got the list {value!r:.80}. Set "
            "data.multi_label=true if an example may have several."
        )
    name = _named(file, row, column, value)
    if not name:
        raise DataError(f"{file.where(row)}: the label (column {column!r}) is empty.")
    return name


def class_names(file: RoleFile, row: Row, column: str, separator: str) -> list[str]:
    """The names of any number of classes: a list, or names with a separator between them."""
    value = row.values[column]
    if isinstance(value, list):
        names = [_named(file, row, column, item) for item in value]
        if "" in names:
            raise DataError(
                f"{file.where(row)}: the label in place {names.index('') + 1} of the list in column {column!r} is "
                "empty. Leave it out; a list without labels is [] or null."
            )
        return names
    if value is None or isinstance(value, str | int | float):
        return [part.strip() for part in _named(file, row, column, value).split(separator) if part.strip()]
    raise DataError(
        f"{file.where(row)}: expected a list of labels, or labels with {separator!r} between them, in column "
        f"{column!r}, got {value!r}."
    )


def _named(file: RoleFile, row: Row, column: str, value: Any) -> str:
    """A class as text, empty for None and NaN, by which pandas writes what is missing.

    Raises:
        DataError: it is neither text nor a whole number nor a truth value.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int):
        raise DataError(
            f"{file.where(row)}: expected the name or number of a class in column {column!r}, got {value!r:.80}."
            + (" For numbers to be predicted there is data=text_regression." if isinstance(value, float) else "")
        )
    return str(value).strip()


def number(file: RoleFile, row: Row, column: str) -> float:
    """A finite number that single precision holds."""
    value = row.values[column]
    found = finite_number(value)
    if math.isnan(found) or isinstance(value, bool) or abs(found) > LARGEST_NUMBER:
        raise DataError(f"{file.where(row)}: expected a number in column {column!r}, got {value!r:.80}.")
    return found


def class_id(file: RoleFile, row: Row, name: str, numbers: Mapping[str, int], source: str) -> int:
    """The number of a class.

    Raises:
        DataError: it is none of them; names file and line, and the classes there are.
    """
    if name not in numbers:
        known = ", ".join(map(repr, list(numbers)[:LISTED]))
        raise DataError(f"{file.where(row)}: label {name!r:.80} does not occur in {source}, whose labels are {known}.")
    return numbers[name]


def sorted_classes(names: set[str]) -> tuple[str, ...]:
    """Class names in order: numerically when all are whole numbers of a length that Python reads."""
    whole = all(name.removeprefix("-").isdecimal() and len(name) < LONGEST_NUMBER for name in names)
    return tuple(sorted(names, key=lambda name: (int(name) if whole else 0, name)))
