"""Documents of one part of a corpus become rows of tokens on the disk; what the processes that tokenise run.

Imports neither torch nor transformers, so that a process starts quickly and stays small. Reading the rows again,
masked, is in `autodistill.training.packed`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from tokenizers import Tokenizer

from autodistill.components.task import Continued
from autodistill.data.document_keys import batches
from autodistill.training.arrays import ArrayWriter
from autodistill.training.word_cache import WordCache, splits_at_spaces

if TYPE_CHECKING:
    from autodistill.components.task import TextStream
    from autodistill.training.word_cache import Tokens

#: Characters that are tokenised at a time: enough to keep the tokeniser busy, little beside what a process needs.
BATCH_CHARACTERS = 500_000

#: Largest vocabulary whose tokens fit into two bytes.
SMALL_VOCABULARY = 2**16


@dataclass(frozen=True)
class Packing:
    """How rows are made.

    Args:
        stream: the documents.
        tokenizer: as JSON.
        length: tokens per row, special ones included.
        start: tokens before a row's text.
        separator: token between documents, between two pieces, and at the end.
        pairs: two pieces of one document per row.
        dtype: of the tokens on the disk.
        directory: gets a folder per part.
    """

    stream: TextStream
    tokenizer: str
    length: int
    start: tuple[int, ...]
    separator: int
    pairs: bool
    dtype: str
    directory: Path


#: Texts -> the tokens of each, without special ones.
Encode: TypeAlias = Callable[[list[str]], "list[Tokens]"]

_loaded: dict[str, Encode] = {}


def encoder(text: str) -> Encode:
    """The quickest way to the tokens of a tokeniser, which is given as JSON; the last one is kept."""
    if text not in _loaded:
        _loaded.clear()
        tokenizer = Tokenizer.from_str(text)
        tokenizer.no_truncation()
        tokenizer.no_padding()

        def encode(texts: list[str]) -> list[Tokens]:
            found = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
            return [np.asarray(item.ids, dtype=np.int32) for item in found]

        _loaded[text] = WordCache(tokenizer).encode if splits_at_spaces(tokenizer) else encode
    return _loaded[text]


def part_directory(directory: Path, part: int) -> Path:
    """Where the rows of a part are."""
    return directory / f"part-{part:05}"


def pack_part(packing: Packing, part: int) -> dict[str, Any]:
    """Write the rows of one part, unless they are there already; what has its final name is whole.

    Returns:
        ``rows``, ``tokens`` and ``documents``.
    """
    final = part_directory(packing.directory, part)
    if not final.is_dir():
        scratch = final.with_name(f".{final.name}")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=0o700)
        counts = _write(packing, part, scratch)
        (scratch / "counts.json").write_text(json.dumps(counts))
        os.replace(scratch, final)
    written: dict[str, Any] = json.loads((final / "counts.json").read_text())
    return written


def _write(packing: Packing, part: int, directory: Path) -> dict[str, int]:
    encode = encoder(packing.tokenizer)
    rows = tokens = documents = 0
    with (
        ArrayWriter(directory / "tokens.npy", packing.dtype) as values,
        ArrayWriter(directory / "lengths.npy", "<i4") as lengths,
        ArrayWriter(directory / "seconds.npy", "<i4") as seconds,
        ArrayWriter(directory / "documents.npy", "<i4") as owners,
    ):

        def append(found: Rows) -> None:
            nonlocal rows, tokens
            if found.tokens:
                values.append(np.concatenate(found.tokens))
                lengths.append(np.array([len(row) for row in found.tokens], dtype=np.int32))
                seconds.append(np.array(found.seconds, dtype=np.int32))
                owners.append(np.array(found.documents, dtype=np.int32))
            rows, tokens = rows + len(found.tokens), tokens + sum(map(len, found.tokens))

        maker = (_pairs if packing.pairs else _packed)(packing)
        for texts in batches(packing.stream.documents(part), BATCH_CHARACTERS):
            begins = [not isinstance(text, Continued) for text in texts]
            begins[0] = begins[0] or not documents  # of a part, whatever its stream says
            numbers = documents - 1 + np.cumsum(begins)
            append(maker.rows(encode(texts), numbers.tolist(), begins))
            documents += sum(begins)
        append(maker.last())
    return {"rows": rows, "tokens": tokens, "documents": documents}


@dataclass(frozen=True)
class Rows:
    """Rows of tokens.

    Args:
        tokens: of each row.
        seconds: where its second piece begins; 0: it has none.
        documents: number within the part of the document in which it begins.
    """

    tokens: list[Tokens]
    seconds: list[int]
    documents: list[int]


class _packed:  # noqa: N801 - used like a function
    """Rows of full length: documents one after another, a separator after each."""

    def __init__(self, packing: Packing) -> None:
        self._packing = packing
        self._room = packing.length - len(packing.start) - 1
        self._separator = np.array([packing.separator], dtype=np.int32)
        self._left: Tokens = np.empty(0, dtype=np.int32)
        self._left_of = self._number = -1

    def rows(self, texts: list[Tokens], numbers: list[int], begins: list[bool]) -> Rows:
        """The full rows; what is left waits for the next texts.

        Args:
            texts: tokens of documents or pieces of them.
            numbers: of their documents.
            begins: whether each is the first piece; then a separator ends the document before.
        """
        pieces, owners = [self._left], [self._left_of]
        for text, number, first in zip(texts, numbers, begins, strict=True):
            if first and self._number >= 0:
                pieces.append(self._separator)
                owners.append(self._number)
            pieces.append(text)
            owners.append(number)
            self._number = number
        return self._cut(pieces, owners)

    def last(self) -> Rows:
        """The rows at the end."""
        if self._number < 0:
            return Rows([], [], [])
        found = self._cut([self._left, self._separator], [self._left_of, self._number])
        # A lone separator after a full row says nothing.
        if len(self._left) > 1:
            found.tokens.append(self._row(self._left))
            found.seconds.append(0)
            found.documents.append(self._left_of)
        return found

    def _cut(self, pieces: list[Tokens], owners: list[int]) -> Rows:
        """The full rows of these pieces, each of a document's; the rest is kept."""
        text = np.concatenate(pieces)
        full = len(text) // self._room
        # A row begins in the first piece that ends behind its beginning; what is left may be nothing.
        places = np.searchsorted(np.cumsum([*map(len, pieces)]), self._room * np.arange(full + 1), side="right")
        rows_of = np.array([*owners, self._number])[places].tolist()
        self._left, self._left_of = text[full * self._room :], rows_of[-1]
        found = [self._row(row) for row in text[: full * self._room].reshape(full, self._room)]
        return Rows(found, [0] * full, rows_of[:-1])

    def _row(self, text: Tokens) -> Tokens:
        return np.concatenate([self._packing.start, text, [self._packing.separator]]).astype(np.int32)


class _pairs:  # noqa: N801 - used like a function
    """Two consecutive pieces of one document per row, of equal length; a short document's row is short."""

    def __init__(self, packing: Packing) -> None:
        self._packing = packing
        self._room = packing.length - len(packing.start) - 2

    def rows(self, texts: list[Tokens], numbers: list[int], begins: list[bool]) -> Rows:
        """The rows of these documents or pieces of them; a piece's last row is short too.

        Args:
            texts: their tokens.
            numbers: of their documents.
            begins: not used.
        """
        found = Rows([], [], [])
        for number, tokens in zip(numbers, texts, strict=True):
            for start in range(0, len(tokens), self._room):
                text = tokens[start : start + self._room]
                half = (len(text) + 1) // 2
                end = [self._packing.separator]
                opening = np.concatenate([self._packing.start, text[:half], end])
                found.tokens.append(np.concatenate([opening, text[half:], end]).astype(np.int32))
                found.seconds.append(len(opening))
                found.documents.append(number)
        return found

    def last(self) -> Rows:
        """Nothing waits."""
        return Rows([], [], [])
