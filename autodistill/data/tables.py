"""Reading a user's table of examples: TSV, CSV, JSON lines or Parquet, with errors that name file, line and column.

Only the wanted columns are kept. What the columns mean is the business of the data sources.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow
import pyarrow.parquet

from autodistill.components.task import OF
from autodistill.errors import DataError, did_you_mean

#: Endings that are understood; all but Parquet may be followed by ``.gz``.
ENDINGS = (".tsv", ".csv", ".jsonl", ".json", ".parquet")

#: Characters in one field at most; Python's own limit of 131,072 is too small for long documents.
FIELD_LIMIT = 2**27

#: Name of the count of empty lines, which are no examples.
BLANK_LINES = "blank_lines_left_out"

#: Bytes of a line that are looked at at a time.
_LINE_BYTES = 2**20

#: Share of null bytes at the beginning of a file above which it is no UTF-8: of English in UTF-16 it is one half.
_NULL_SHARE = 0.2

#: How JSON may write half of a character: UTF-16's surrogates, of which only two together are one.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

_GZIP_MAGIC = b"\x1f\x8b"
_PARQUET_MAGIC = b"PAR1"


class MissingColumnError(DataError):
    """A file lacks a column; whoever knows which key names it adds what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One example of a file.

    Args:
        line: line of a text file where it begins, or row of a Parquet file, from 1.
        values: column -> value as the file has it; strings for TSV and CSV.
    """

    line: int
    values: dict[str, Any]


def read_table(path: Path, columns: Sequence[str], key: str, notes: dict[str, int]) -> list[Row]:
    """Read the wanted columns of a file.

    Args:
        path: the file; its ending says what it is.
        columns: columns that must be there.
        key: the configuration key that named the file, for messages.
        notes: what is left out is counted here, under `BLANK_LINES`, and of how many.

    Raises:
        MissingColumnError: a column is missing.
        DataError: no such file, an unknown ending, content that is not what the ending says, or no rows.
    """
    check_exists(path, key)
    readers = {".tsv": _delimited, ".csv": _delimited, ".parquet": _parquet}
    reader = readers.get(ending_of(path, key, ENDINGS), _json_lines)
    with reading_errors(path, key):
        rows = list(reader(path, columns, key, notes))
    if not rows:
        raise DataError(f"{key}: {path} has no examples. Expected at least one row below the column names.")
    if blank := notes.get(BLANK_LINES):
        notes[BLANK_LINES + OF] = blank + len(rows)
    return rows


def count_one(notes: dict[str, int], name: str) -> None:
    """Count something that the report shows."""
    notes[name] = notes.get(name, 0) + 1


def finite_number(value: Any) -> float:
    """A value of a file as a finite number, else NaN. What Python alone reads as one, as 12_0 for 120, is a slip."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):  # the latter: a whole number beyond what a float holds
        return math.nan
    return found if math.isfinite(found) and "_" not in str(value) else math.nan


def check_exists(path: Path, key: str) -> None:
    """Raise `DataError` when there is no such file.

    Args:
        path: of the file.
        key: the configuration key that named it.
    """
    if not path.is_file():
        raise DataError(f"{key} names the file {str(path)!r}, which does not exist (looked in {Path.cwd()}).")


def known_ending(path: Path, endings: Collection[str]) -> str | None:
    """The ending of a file, before a .gz, which all but Parquet may have; None if it is none of these."""
    name = path.name.lower()
    ending = Path(name.removesuffix(".gz")).suffix
    zipped_parquet = ending == ".parquet" and name.endswith(".gz")
    return ending if ending in endings and not zipped_parquet else None


def ending_of(path: Path, key: str, endings: Collection[str]) -> str:
    """The same, but `DataError` in place of None.

    Args:
        path: of the file.
        key: the configuration key that named it.
        endings: that are understood.
    """
    ending = known_ending(path, endings)
    if ending is None:
        raise DataError(
            f"{key}: {path} has an ending that is not understood. Expected one of {', '.join(endings)}; all but "
            ".parquet may be followed by .gz."
        )
    return ending


@contextmanager
def reading_errors(path: Path, key: str) -> Iterator[None]:
    """Turn what the readers raise over broken content into a `DataError`.

    Args:
        path: the file.
        key: the configuration key that named it.
    """
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        if _head(path, 2) != _GZIP_MAGIC:
            raise DataError(f"{key}: {path} ends in .gz but is not gzip ({error}). Rename or compress it.") from error
        raise DataError(
            f"{key}: {path} breaks off or is damaged in line {failing_line(path)} ({error}). Copy or compress it again."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{key}: {path}, line {failing_line(path)} is not UTF-8 text ({error.reason}). Convert the file to UTF-8, "
            "or give it the ending of what it is."
        ) from error
    except PermissionError as error:
        raise DataError(f"{key}: {path} may not be read by this user ({error}). Change its permissions.") from error
    except (pyarrow.ArrowException, OSError, OverflowError) as error:
        # Of damaged pages Arrow raises a plain OSError, of times that Python does not know an OverflowError.
        if not (isinstance(error, pyarrow.ArrowException) or path.name.lower().endswith(".parquet")):
            raise
        reason = str(error).rstrip(".")
        raise DataError(f"{key}: {path} ends in .parquet but cannot be read as Parquet: {reason}.") from error


def failing_line(path: Path) -> int:
    """The first line that cannot be unzipped or is not UTF-8; found by reading the file again."""
    number, decoder = 1, codecs.getincrementaldecoder("utf-8")()
    with (gzip.open if path.name.lower().endswith(".gz") else open)(path, "rb") as file:
        try:
            while piece := file.readline(_LINE_BYTES):
                decoder.decode(piece)
                number += piece.endswith(b"\n")
        except (EOFError, zlib.error, gzip.BadGzipFile, ValueError):
            return number
    return number


def _head(path: Path, size: int, zipped: bool = False) -> bytes:
    """The first bytes of a file."""
    with (gzip.open if zipped else open)(path, "rb") as file:
        return bytes(file.read(size))


def check_is_text(path: Path, key: str) -> None:
    """Raise `DataError` when a file begins as one of another kind does, or as UTF-16 or UTF-32 without a mark: every
    character with null bytes.

    Args:
        path: of a text file, unzipped if its name ends in .gz.
        key: the configuration key that named it.
    """
    zipped = path.name.lower().endswith(".gz")
    magic = _head(path, 4)
    if magic == _PARQUET_MAGIC or (magic[:2] == _GZIP_MAGIC and not zipped):
        kind = "Parquet" if magic == _PARQUET_MAGIC else "gzip"
        ending = ".parquet" if magic == _PARQUET_MAGIC else f"{path.suffix}.gz"
        raise DataError(f"{key}: {path} is a {kind} file whatever its name says. Rename it to end in {ending}.")
    head = _head(path, _LINE_BYTES // 256, zipped)
    if head.count(0) > len(head) * _NULL_SHARE:
        raise DataError(
            f"{key}: {path}, line 1: {head.count(0)} of the first {len(head)} bytes are null, as in UTF-16 or in no "
            "text at all. Convert the file to UTF-8."
        )


@contextmanager
def opened_text(path: Path, key: str) -> Iterator[IO[str]]:
    """Open a text file, unzipped if its name ends in .gz; a byte-order mark is skipped.

    Raises:
        DataError: no such file, or no text.
    """
    check_exists(path, key)
    check_is_text(path, key)
    # newline="" leaves it to csv where a line ends.
    with (gzip.open if path.name.lower().endswith(".gz") else open)(
        path, "rt", encoding="utf-8-sig", newline=""
    ) as text:
        yield text


def _delimited(path: Path, columns: Sequence[str], key: str, notes: dict[str, int]) -> Iterator[Row]:
    """Read TSV as GLUE does (quotes are plain characters) and CSV with the usual quoting."""
    csv.field_size_limit(FIELD_LIMIT)
    tabs = known_ending(path, ENDINGS) == ".tsv"
    options: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {"strict": True}
    with opened_text(path, key) as file:
        yield from _table(_records(csv.reader(file, **options), path, key), path, columns, key, notes)


_QUOTES = ' In .csv a quote inside a field is doubled (""); in .tsv quotes are plain characters.'


def _records(reader: Any, path: Path, key: str) -> Iterator[tuple[int, list[str]]]:
    """The line where a record begins, and its fields: between quotes they go over several lines."""
    begins = 1
    try:
        for fields in reader:
            yield begins, fields
            begins = reader.line_num + 1
    except csv.Error as error:  # a quote that is not closed is seen at the end of the file, or at the next quote
        to = f", read to line {reader.line_num}," if reader.line_num > begins else ""
        raise DataError(f"{key}: {path}, line {begins}{to} cannot be read as a table: {error}.{_QUOTES}") from error


def _table(
    records: Iterator[tuple[int, list[str]]], path: Path, columns: Sequence[str], key: str, notes: dict[str, int]
) -> Iterator[Row]:
    """The rows below the column names."""
    _, header = next(records, (1, []))
    places = [place_of(column, header, path, key) for column in columns]
    for line, fields in records:
        if not fields:
            count_one(notes, BLANK_LINES)
            continue
        if len(fields) != len(header):
            raise DataError(
                f"{key}: {path}, line {line} has {len(fields)} fields, but the first line names {len(header)} columns."
            )
        yield Row(line, {column: fields[place] for column, place in zip(columns, places, strict=True)})


def _json_lines(path: Path, columns: Sequence[str], key: str, notes: dict[str, int]) -> Iterator[Row]:
    with opened_text(path, key) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                count_one(notes, BLANK_LINES)
                continue
            record = json_object(line, partial(_line, key, path, number), '{"text": "...", "label": "..."}', columns)
            for column in columns:
                place_of(column, list(record), path, key, f", line {number}")
            yield Row(number, {column: record[column] for column in columns})


def _line(key: str, path: Path, number: int) -> str:
    return f"{key}: {path}, line {number}"


class _Repeating(dict[str, Any]):
    """A JSON object in which keys stand several times; a plain one would have the last value of each."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Repeating(pairs)


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def json_object(line: str, where: Callable[[], str], example: str, wanted: Collection[str]) -> dict[str, Any]:
    """The object of one line.

    Args:
        line: text.
        where: says key, file and line; asked only for an error.
        example: of such an object, for the error.
        wanted: keys that are read.

    Raises:
        DataError: it is no JSON, or no object, or has a wanted key twice or half of a character.
    """
    expected = f"Expected one JSON object per line, e.g. {example}."
    try:
        record = _DECODER.decode(line)
    except (ValueError, RecursionError) as error:  # the latter: nested more deeply than Python's parser goes
        raise DataError(f"{where()} is not JSON ({error}). {expected}") from error
    if not isinstance(record, dict):
        raise DataError(f"{where()} is not an object. {expected}")
    if isinstance(record, _Repeating) and (twice := [key for key in record.repeated if key in wanted]):
        names = ", ".join(map(repr, twice))
        raise DataError(f"{where()} has {names} several times, and only one can be meant. Rename the others.")
    if _SURROGATE.search(line):
        check_characters(json.dumps(record, ensure_ascii=False), where)
    return record


def check_characters(text: str, where: Callable[[], str]) -> None:
    """Raise `DataError` when a text has half of a surrogate pair: it is no character, and tokenisers refuse it.

    Args:
        text: any text.
        where: says key, file and place; asked only for an error.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        half = text[error.start].encode("unicode_escape").decode()
        raise DataError(
            f"{where()} has {half}, half of a surrogate pair, which is no character; a text was cut in the middle of "
            "one. Replace it, e.g. by \\ufffd."
        ) from error


def _parquet(path: Path, columns: Sequence[str], key: str, notes: dict[str, int]) -> Iterator[Row]:
    with path.open("rb") as raw:
        if raw.read(4) != _PARQUET_MAGIC:
            raise DataError(f"{key}: {path} ends in .parquet but is not a Parquet file. Rename it to what it is.")
    with pyarrow.parquet.ParquetFile(path) as file:
        for column in columns:
            place_of(column, file.schema_arrow.names, path, key)
        table = file.read(columns=list(columns))
    for number, values in enumerate(table.to_pylist(), start=1):
        yield Row(number, values)


def place_of(column: str, given: Sequence[str], path: Path, key: str, where: str = "") -> int:
    """The place of a column among those that a file has.

    Args:
        column: what is wanted.
        given: the file's columns.
        path: the file.
        key: the configuration key that named it.
        where: the place in the file, for messages.

    Raises:
        MissingColumnError: it has no such column; lists those it has.
        DataError: it has several.
    """
    if given.count(column) > 1:
        raise DataError(
            f"{key}: {path}{where} has {given.count(column)} columns that are called {column!r}, and only one can be "
            "meant. Rename the others."
        )
    if column in given:
        return given.index(column)
    names = ", ".join(map(repr, given)) or "none"
    raise MissingColumnError(
        f"{key}: {path}{where} has no column {column!r}.{did_you_mean(column, given)} Its columns: {names}."
    )
