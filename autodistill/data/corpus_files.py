"""Reading large text in parts: files are cut at document borders, and each part is read as a stream.

Plain text, JSON lines and Parquet, the first two also gzipped. Imports little: several processes read at once.
What becomes of the documents is in `autodistill.data.corpus`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from autodistill.components.task import Continued
from autodistill.data.tables import (
    check_is_text,
    ending_of,
    json_object,
    known_ending,
    opened_text,
    reading_errors,
)
from autodistill.errors import DataError, did_you_mean

#: Endings that are understood; all but Parquet may be followed by ``.gz``.
ENDINGS = (".txt", ".text", ".jsonl", ".json", ".parquet")

#: Bytes of a part, roughly; a gzip file is one part whatever its size, because it can only be read from its start.
PART_BYTES = 32 * 2**20

#: Characters of a document at most; longer ones are cut and counted, so that memory is bounded whatever a file holds.
DOCUMENT_CHARACTERS = 1_000_000

#: Characters of a line of JSON at most: it cannot be cut, and a file that is one long line must not fill the memory.
RECORD_CHARACTERS = 64 * 2**20

#: Bytes of a line that are looked at at a time.
_LINE_BYTES = 2**20

#: The configuration key that names the files that are trained on, for messages.
_KEY = "data.path"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a file that is read by one process.

    Args:
        path: of the file.
        start: first byte of a text file, or row group of a Parquet file.
        stop: the one after the last.
        key: the configuration key that named the file, for messages.
    """

    path: Path
    start: int
    stop: int
    key: str = _KEY


@dataclass(frozen=True, slots=True)
class Reading:
    """How documents are found in files.

    Args:
        documents: ``blank_line`` (separated by empty lines) or ``line`` (each line is one); of plain text.
        column: field of JSON lines and column of Parquet that holds the text.
    """

    documents: str
    column: str


@dataclass(frozen=True, slots=True)
class CorpusFiles:
    """The files of a corpus.

    Args:
        paths: what is read, sorted.
        unknown: files of the folder that are not understood, and links to nothing.
        hidden: files of the folder that are hidden, or in a hidden folder.
        held_out: files of the folder that are another role's.
    """

    paths: tuple[Path, ...]
    unknown: int = 0
    hidden: int = 0
    held_out: int = 0


def corpus_files(path: Path, key: str = _KEY) -> CorpusFiles:
    """The files of a corpus, each once, and what is left out.

    Args:
        path: a file, or a folder that is searched with its subfolders and those that links lead to. Whatever has a
            name that begins with a dot, or is in a folder that has, is left out.
        key: the configuration key that named it, for messages.

    Raises:
        DataError: nothing there, nothing that is understood, or a folder that may not be read.
    """
    if path.is_file():
        ending_of(path, key, ENDINGS)
        return CorpusFiles((path,))
    if not path.is_dir():
        raise DataError(f"{key} names {str(path)!r}, which does not exist (looked in {Path.cwd()}).")
    visible, hidden = _searched(path, key)
    known = [file for file in visible if file.is_file() and known_ending(file, ENDINGS)]
    if not known:
        raise DataError(
            f"{key}: {path} has no file that is understood. Expected {', '.join(ENDINGS)}; all but .parquet may be "
            "followed by .gz."
            + (f" Its {hidden} hidden files, whose names or folders begin with a dot, are not read." if hidden else "")
        )
    wanted = {file.resolve(): file for file in reversed(known)}  # of two names of a file the first
    return CorpusFiles(tuple(sorted(wanted.values())), len(visible) - len(known), hidden)


def _searched(path: Path, key: str) -> tuple[list[Path], int]:
    """The visible files of a folder, sorted, and how many are hidden or in hidden folders.

    Links are followed, and each folder is searched once, though links lead to it again or form circles.

    Args:
        path: of the folder.
        key: the configuration key that named the folder, for messages.

    Raises:
        DataError: a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{key}: the folder {error.filename} cannot be read ({error}). Change its permissions.")

    met, found, concealed = set[Path](), list[Path](), list[Path]()
    for folder, subfolders, files in _walk_once(path, met, refuse, follow=True):
        concealed += [folder / name for name in subfolders if _is_hidden(name)]
        subfolders[:] = sorted(name for name in subfolders if not _is_hidden(name))
        found += [folder / name for name in files]
    visible = sorted(file for file in found if not _is_hidden(file.name))
    return visible, len(found) - len(visible) + sum(_files_below(folder, met) for folder in concealed)


def _files_below(path: Path, met: set[Path]) -> int:
    """The number of files below a hidden folder, but not behind its links, which may lead anywhere."""
    if path.is_symlink():
        return 0
    return sum(len(files) for _, _, files in _walk_once(path, met, lambda _: None, follow=False))


def _walk_once(
    path: Path, met: set[Path], refuse: Callable[[OSError], None], follow: bool
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """`os.walk` without the folders that ``met`` has; those that are new are added."""
    for name, subfolders, files in os.walk(path, onerror=refuse, followlinks=follow):
        folder = Path(name)
        if folder.resolve() in met:
            subfolders.clear()
            continue
        met.add(folder.resolve())
        yield folder, subfolders, files


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def cut_into_parts(path: Path, reading: Reading, part_bytes: int = PART_BYTES, key: str = _KEY) -> list[Part]:
    """Cut a file into parts that begin and end between documents; the same for the same file.

    Args:
        path: of the file.
        reading: how documents are found.
        part_bytes: of a part, roughly.
        key: the configuration key that named the file, for messages.

    Raises:
        DataError: a Parquet file that is none, or has no such column.
    """
    if known_ending(path, ENDINGS) == ".parquet":
        return _parquet_parts(path, reading, part_bytes, key)
    size = path.stat().st_size
    if path.name.lower().endswith(".gz"):
        return [Part(path, 0, size, key)]
    blank = reading.documents == "blank_line" and known_ending(path, ENDINGS) in (".txt", ".text")
    borders = [0]
    with path.open("rb") as file:
        for nominal in range(part_bytes, size, part_bytes):
            if nominal <= borders[-1]:
                continue
            border = _next_border(file, nominal, blank)
            if border >= size:  # no document begins behind this place: looking again would read the rest again
                break
            borders.append(border)
    pairs = zip(borders, [*borders[1:], size], strict=True)
    return [Part(path, start, stop, key) for start, stop in pairs if stop > start]


def _next_border(file: IO[bytes], position: int, blank: bool) -> int:
    """The first byte after ``position`` where a document may begin."""
    file.seek(position)
    _skip_line(file)  # the rest of a line
    while blank and _skip_line(file):
        pass
    return file.tell()


def _skip_line(file: IO[bytes]) -> bool:
    """Move behind a line of any length, and say whether there is text in it; there is none at the end of a file."""
    text = False
    while piece := file.readline(_LINE_BYTES):
        text = text or bool(piece.strip())
        if piece.endswith(b"\n"):
            break
    return text


def missing_column(where: str, kind: str, column: str, given: Iterable[str]) -> DataError:
    """What is raised where a corpus lacks the column of its texts.

    Args:
        where: key, file and place.
        kind: ``column`` or ``field``.
        column: what is wanted.
        given: what is there.
    """
    names = list(given)
    return DataError(
        f"{where} has no {kind} {column!r}.{did_you_mean(column, names)} Its {kind}s: {', '.join(map(repr, names))}. "
        "Set data.column."
    )


def _parquet_parts(path: Path, reading: Reading, part_bytes: int, key: str) -> list[Part]:
    import pyarrow.parquet

    with reading_errors(path, key), pyarrow.parquet.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if reading.column not in names:
            raise missing_column(f"{key}: {path}", "column", reading.column, names)
        sizes = [file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups)]
    parts, start, held = [], 0, 0
    for group, size in enumerate(sizes, start=1):
        held += size
        if held >= part_bytes or group == len(sizes):
            parts.append(Part(path, start, group, key))
            start, held = group, 0
    return parts


@dataclass(slots=True)
class Found:
    """What reading a part met; all of it is reported.

    Args:
        documents: that were read; one in several pieces is one.
        characters: in them.
        empty: records without text, and empty lines where each line is a record; left out.
        cut: documents longer than `DOCUMENT_CHARACTERS`, read in pieces.
    """

    documents: int = 0
    characters: int = 0
    empty: int = 0
    cut: int = 0


def read_part(part: Part, reading: Reading, found: Found | None = None) -> Iterator[str]:
    """The documents of a part, each at most `DOCUMENT_CHARACTERS` long; longer ones in pieces, see `Continued`.

    Args:
        part: what to read.
        reading: how.
        found: is counted up.

    Raises:
        DataError: names file and line.
    """
    counts = found if found is not None else Found()
    texts = _parquet(part, reading) if known_ending(part.path, ENDINGS) == ".parquet" else _lines(part, reading, counts)
    with reading_errors(part.path, part.key):
        given = 0  # pieces with text of the document that is read
        for text in texts:
            begins = not isinstance(text, Continued)
            given = 0 if begins else given
            if not text.strip():
                counts.empty += begins
                continue
            given += 1
            if given == 1:
                counts.documents += 1
                counts.empty -= not begins  # its first piece was blank, and counted as a document without text
            counts.cut += given == 2
            counts.characters += len(text)
            yield text if given > 1 else str(text)


def _lines(part: Part, reading: Reading, found: Found) -> Iterator[str]:
    json_lines = known_ending(part.path, ENDINGS) in (".jsonl", ".json")
    with _opened(part) as file:
        if json_lines:
            yield from _records(file, part, reading, found)
        elif reading.documents == "line":
            yield from _bounded_lines(file)
        else:
            yield from _blocks(file)


class _Window(io.RawIOBase):
    """A range of a file's bytes as a file of its own."""

    def __init__(self, path: Path, start: int, stop: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._file.seek(start)
        self._left = stop - start

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: self._left]
        count = self._file.readinto(view) or 0
        self._left -= count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def _opened(part: Part) -> Any:
    """A part as text; gzip is unzipped, a byte-order mark is skipped."""
    if part.path.name.lower().endswith(".gz"):
        return opened_text(part.path, part.key)
    if not part.start:
        check_is_text(part.path, part.key)
    raw = io.BufferedReader(_Window(part.path, part.start, part.stop), 2**20)
    encoding = "utf-8" if part.start else "utf-8-sig"
    return io.TextIOWrapper(raw, encoding=encoding, newline=None if _plain(part.path) else "")


def _plain(path: Path) -> bool:
    return known_ending(path, ENDINGS) in (".txt", ".text")


def _bounded_lines(file: Any) -> Iterator[str]:
    """Lines without their ends, those that are too long in pieces that end between words where they can."""
    while line := file.readline(DOCUMENT_CHARACTERS):
        if len(line) == DOCUMENT_CHARACTERS and not line.endswith("\n"):
            yield from _one_document(piece.rstrip("\r\n") for piece in _pieces(line, file))
        else:
            yield line.rstrip("\r\n")


def _one_document(pieces: Iterable[str]) -> Iterator[str]:
    """Pieces, all but the first marked as such."""
    for place, piece in enumerate(pieces):
        yield Continued(piece) if place else piece


def _pieces(line: str, file: Any) -> Iterator[str]:
    """The pieces of a line of which the first `DOCUMENT_CHARACTERS` have been read."""
    while len(line) >= DOCUMENT_CHARACTERS and not line.endswith("\n"):
        at = max(line.rfind(" "), 0) or len(line)
        yield line[:at]
        line = line[at:] + file.readline(DOCUMENT_CHARACTERS - len(line) + at)
    yield line


def _blocks(file: Any) -> Iterator[str]:
    """Documents between empty lines."""
    block: list[str] = []
    length = 0
    make: type[str] = str
    for text in _bounded_lines(file):
        if block and (not text.strip() or length + len(text) > DOCUMENT_CHARACTERS):
            yield make("\n".join(block))
            block, length = [], 0
            make = Continued if text.strip() else str
        if text.strip():
            block.append(text)
            length += len(text) + 1
    if block:
        yield make("\n".join(block))


def _records(file: Any, part: Part, reading: Reading, found: Found) -> Iterator[str]:
    for number, line in enumerate(iter(lambda: file.readline(RECORD_CHARACTERS), ""), start=1):
        if len(line) == RECORD_CHARACTERS and not line.endswith("\n"):
            raise DataError(
                f"{_where(part, number)} has more than {RECORD_CHARACTERS} characters. Expected one JSON object per "
                "line, each with one document."
            )
        if not line.strip():
            found.empty += 1
            continue
        record = json_object(line, partial(_where, part, number), '{"text": "..."}', (reading.column,))
        if reading.column not in record:
            raise missing_column(_where(part, number), "field", reading.column, record)
        yield from _cut(_text(record[reading.column], part, number))


def _where(part: Part, number: int) -> str:
    """File and line; the lines before a part are counted only now."""
    before = 0
    if part.start:
        with part.path.open("rb") as file:
            left = part.start
            while left > 0:
                block = file.read(min(left, 2**20))
                before += block.count(b"\n")
                left -= len(block)
    return f"{part.key}: {part.path}, line {before + number}"


def _parquet(part: Part, reading: Reading) -> Iterator[str]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(part.path) as file:
        number = sum(file.metadata.row_group(group).num_rows for group in range(part.start))
        groups = range(part.start, part.stop)
        for batch in file.iter_batches(batch_size=256, row_groups=list(groups), columns=[reading.column]):
            for value in batch.column(0).to_pylist():
                number += 1
                if value is not None and not isinstance(value, str):
                    raise DataError(
                        f"{part.key}: {part.path}, row {number}: expected text in column {reading.column!r}, "
                        f"got {value!r:.80}."
                    )
                yield from _cut(value or "")


def _text(value: Any, part: Part, number: int) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"{_where(part, number)}: expected text, got {value!r:.80}.")
    return value


def _cut(text: str) -> Iterator[str]:
    """A document that is in memory already, in pieces if it is too long."""
    return _one_document(_between_words(text))


def _between_words(text: str) -> Iterator[str]:
    """A text in pieces that end before white space where they can."""
    start = 0
    while len(text) - start > DOCUMENT_CHARACTERS:
        stop = start + DOCUMENT_CHARACTERS
        at = max(text.rfind(space, start + 1, stop) for space in (" ", "\n"))
        yield text[start : at if at > 0 else stop]
        start = at if at > 0 else stop
    yield text[start:]
