"""The data source `token_classification`: the user's own words with a label each, from CoNLL or table files."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from autodistill.components.task import IGNORED, DataContext, TaskData, TaskSpec
from autodistill.data.assembling import Example, assemble
from autodistill.data.examples import OwnFiles, RoleFile, check_ids, class_id, example_of, notes_of, sorted_classes
from autodistill.data.tables import Row, opened_text, reading_errors
from autodistill.errors import DataError
from autodistill.evaluators.entities import OUTSIDE, are_entity_tags

#: Part of every fingerprint; raise it when reading or carving changes.
FORMAT = "token_classification/1"

#: Endings of files with one word per line.
CONLL_ENDINGS = (".conll", ".iob", ".bio", ".txt")

#: What is counted of comments before sentences.
COMMENTS = "comment_lines_left_out"

#: What begins a document in the files of CoNLL-2003; no word.
_DOCUMENT = "-DOCSTART-"

#: What is counted of these.
DOCUMENTS = "document_lines_left_out"

#: Lines of a file: the number and the columns of each; a comment may have but one.
Block: TypeAlias = "list[tuple[int, list[str]]]"


class TokenClassification:
    """Lists of words and lists of as many labels.

    A CoNLL file has one word per line, the word in its first and the label in its last column, with an empty line
    after each sentence. JSON lines and Parquet have lists in two columns. Without ``labels``, classes are those of the
    training file, ``O`` first and the others sorted; of a test file alone, those of the model that is scored.

    Args:
        context: its model's classes are used; files are read anew each time.
        words_column: column of the words; not used for CoNLL files.
        labels_column: column of the labels; not used for CoNLL files.
        labels: class names in the order of their ids, either of which the files may have; None: those of the training
            file.
        files: see `autodistill.data.examples.OwnFiles`.
    """

    def __init__(
        self,
        context: DataContext,
        *,
        words_column: str,
        labels_column: str,
        labels: Sequence[str] | None,
        **files: Any,
    ) -> None:
        self._files = OwnFiles(**files)
        self.max_length = self._files.max_length
        self._words_column, self._labels_column = words_column, labels_column
        self._named = None if labels is None else tuple(map(str, labels))
        self._are_given = labels is not None
        self._is_scored = context.model_classes is not None
        if self._named is None and self._files.train is None:
            self._named = context.model_classes  # like data.labels: files may have their numbers

    def load(self) -> TaskData:
        """Read the files, carve ``select`` if there is none, and number the classes.

        Raises:
            DataError: a file is missing or not what its name says, words and labels are not as many, a label that is
                empty, a truth value, a negative number or none of the classes, fewer than two classes, or numbers for
                labels whose names are not given.
        """
        advice = "Set data.words_column and data.labels_column."
        files = self._files.by_role("names.conll", advice, scored=self._is_scored)
        rows = {role: self._rows(file) for role, file in files.items()}
        labels = self._named or self._found(files["train"], rows["train"])
        numbers = {name: place for place, name in enumerate(labels)}
        if self._named:
            numbers = {str(place): place for place in range(len(labels))} | numbers
        splits = {
            role: [self._example(files[role], index, row, numbers) for index, row in enumerate(rows[role])]
            for role in rows
        }
        metric = f"token_classification.{'entity_f1' if are_entity_tags(labels) else 'f1'}"
        task = TaskSpec("token_classification", labels, (self._words_column,), metric)
        where, notes = str(self._files.train), notes_of(files)
        return assemble(task, splits, self._files.carving, version=FORMAT, where=where, notes=notes)

    def _found(self, file: RoleFile, rows: Sequence[Row]) -> tuple[str, ...]:
        """The classes of the training file."""
        names = {name for row in rows for name in self._labels(file, row)}
        if len(names) < 2:
            raise DataError(f"data.train: {file.path} has {len(names)} classes of words; expected two or more.")
        if all(name.isdecimal() for name in names):
            # Without names no label is known to be the outside of entities, and F1 would count it like the others.
            raise DataError(
                f"data.train: {file.path} has numbers for labels, {', '.join(sorted_classes(names)[:3])} and so on. "
                "Give their names in data.labels, that of number 0 first, e.g. data.labels=[O,B-PER,I-PER]."
            )
        return *sorted_classes(names & {OUTSIDE}), *sorted_classes(names - {OUTSIDE})

    def _rows(self, file: RoleFile) -> list[Row]:
        path = Path(file.path).expanduser()
        if Path(path.name.lower().removesuffix(".gz")).suffix in CONLL_ENDINGS:
            return list(read_conll(path, file.key, (self._words_column, self._labels_column), file.notes))
        rows = file.rows([self._words_column, self._labels_column, self._files.id_column])
        check_ids(file, rows, self._files.id_column)
        return rows

    def _labels(self, file: RoleFile, row: Row) -> list[str]:
        words, labels = (_list(file, row, column) for column in (self._words_column, self._labels_column))
        if len(words) != len(labels):
            raise DataError(f"{file.where(row)}: {len(words)} words, but {len(labels)} labels. Expected one per word.")
        return [self._label(file, row, place, label) for place, label in enumerate(labels, start=1)]

    def _label(self, file: RoleFile, row: Row, place: int, value: str) -> str:
        """The name of a class, without the white space around it."""
        name = value.strip()
        where = f"{file.where(row)}: the label in place {place} of column {self._labels_column!r}"
        if not name:
            raise DataError(f"{where} is empty. Every word needs a label, such as {OUTSIDE} outside of entities.")
        if name[0] == "-" and name[1:].isdecimal() and name not in (self._named or ()):
            raise DataError(
                f"{where} is {name:.80}, and negative numbers are no classes. Where {IGNORED} marks pieces of words "
                "that are not learnt, give whole words with one label each; they are cut into pieces here."
            )
        return name

    def _example(self, file: RoleFile, index: int, row: Row, numbers: Mapping[str, int]) -> Example:
        identity = self._files.id_column if self._files.id_column in row.values else None
        example = example_of(file, index, row, (self._words_column,), identity, _list)
        source = self._files.source_of_labels(self._are_given)
        names = self._labels(file, row)
        return example | {"label": [class_id(file, row, name, numbers, source) for name in names]}


def _list(file: RoleFile, row: Row, column: str) -> list[Any]:
    value = row.values[column]
    if not isinstance(value, list):
        raise DataError(f"{file.where(row)}: expected a list in column {column!r}, got {value!r:.80}.")
    for place, item in enumerate(value):
        if not isinstance(item, str | int) or isinstance(item, bool):
            raise DataError(
                f"{file.where(row)}: expected text in place {place + 1} of the list in column {column!r}, got "
                f"{item!r:.80}."
            )
    return [str(item) for item in value]


def _fields(line: str) -> list[str]:
    """The columns of a line, between tabs if it has one, else between spaces: words may hold other white space."""
    text = line.rstrip(" \t\r\n")
    return text.split("\t") if "\t" in text else [field for field in text.split(" ") if field]


def read_conll(path: Path, key: str, columns: tuple[str, str], notes: dict[str, int]) -> Iterator[Row]:
    """Read sentences of a file with one word per line.

    Lines before a sentence that begin with ``#`` are comments, as in CoNLL-U, unless they look like words: as many
    columns, and a label that another word has.

    Args:
        path: the file; unzipped if its name ends in .gz.
        key: the configuration key that named it, for messages.
        columns: what the words and the labels are to be called.
        notes: comments and begins of documents are counted here, under `COMMENTS` and `DOCUMENTS`.

    Raises:
        DataError: no such file, not text, a line with a word alone, an empty label or another number of columns than
            the first word, or no sentence at all.
    """
    with reading_errors(path, key), opened_text(path, key) as file:
        blocks = list(_blocks(file, notes))
    # Surely words: from the first line of a sentence on that does not begin with #.
    plain = [line for block in blocks for line in itertools.dropwhile(lambda line: line[1][0].startswith("#"), block)]
    first, width = (plain[0][0], len(plain[0][1])) if plain else (0, 2)
    labels = {fields[-1] for _, fields in plain}
    found = False
    for block in blocks:
        words = block[_comments(block, width, labels) :]
        if len(words) < len(block):
            notes[COMMENTS] = notes.get(COMMENTS, 0) + len(block) - len(words)
        for number, fields in words:
            if len(fields) < 2 or not (fields[0].strip() and fields[-1].strip()):
                given = " and ".join(map(repr, fields[:1] if len(fields) < 2 else (fields[0], fields[-1])))
                raise DataError(f"{key}: {path}, line {number}: expected a word and its label, got {given}.")
            if len(fields) != width:
                raise DataError(
                    f"{key}: {path}, line {number} has {len(fields)} columns, but the first word (line {first}) has "
                    f"{width}. Expected as many in every line: the word first, its label last."
                )
        if words:
            found = True
            texts, names = ([fields[place].strip(" ") for _, fields in words] for place in (0, -1))
            yield Row(words[0][0], {columns[0]: texts, columns[1]: names})
    if not found:
        raise DataError(f"{key}: {path} has no examples. Expected one word and its label per line.")


def _comments(block: Block, width: int, labels: set[str]) -> int:
    """How many lines at the beginning of a block are comments, where words have so many columns and these labels."""
    is_word = (not fields[0].startswith("#") or (len(fields) == width and fields[-1] in labels) for _, fields in block)
    return next((place for place, word in enumerate(is_word) if word), len(block))


def _blocks(file: Iterable[str], notes: dict[str, int]) -> Iterator[Block]:
    """Lines that follow each other without an empty one or the begin of a document, which is counted in ``notes``:
    number and columns of each.
    """
    block: Block = []
    for number, line in enumerate(file, start=1):
        fields = _fields(line)
        if fields and fields[0] != _DOCUMENT:
            block.append((number, fields))
            continue
        if fields:
            notes[DOCUMENTS] = notes.get(DOCUMENTS, 0) + 1
        if block:
            yield block
            block = []
    if block:
        yield block
