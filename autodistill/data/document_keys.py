"""Keys of a corpus's documents: the same texts have the same key, near-duplicates most often another that is the same.

Numbers of 64 bits that are the same on every machine, and quick enough for every document of a large corpus: texts are
keyed many at a time. What is done with them is in `autodistill.data.corpus`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from autodistill.components.task import Continued
from autodistill.data.splits import normalised

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Keys64: TypeAlias = "NDArray[np.uint64]"
    Places: TypeAlias = "NDArray[np.int64]"

#: Characters that are keyed at a time: enough for arrays to pay, few enough for a processor's cache.
BATCH_CHARACTERS = 125_000

#: Bytes of a phrase, read eight at a time: some five words of English, as a shingle of `autodistill.data.splits`.
PHRASE_BYTES = 32

#: Odd numbers without a pattern, one for each eight bytes: the primes of xxHash64 (github.com/Cyan4973/xxHash).
_PRIMES = tuple(map(np.uint64, (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63)))

#: Different signs beyond ASCII in a text from which it is quicker to look for words than to take out one after another.
MOST_SIGNS = 30

#: Above every phrase.
_NONE = np.uint64(2**64 - 1)

_WORD = re.compile(r"\w+")

_ASCII = bytes(range(128))

#: Of each byte of UTF-8: of what is ASCII its lower case, or a space where it is of no word.
_WORDS_ALONE = bytes(
    byte if byte >= len(_ASCII) else ord(chr(byte).lower() if _WORD.match(chr(byte)) else " ") for byte in range(256)
)


class DocumentKeys(NamedTuple):
    """Two keys of a document.

    Args:
        same: of all its words: equal for texts that are the same but for case, punctuation and white space.
        near: of one of its phrases, chosen by hashes: equal for two texts with the probability of their likeness, the
            share that they have in common of all their different phrases [Broder1997]_.

    .. [Broder1997] On the resemblance and containment of documents.
    """

    same: int
    near: int


def with_keys(texts: Iterable[str]) -> Iterator[tuple[str, DocumentKeys]]:
    """Texts with the keys of their document; all pieces of a long one have those of its first."""
    keys = DocumentKeys(0, 0)
    for batch in batches(texts, BATCH_CHARACTERS):
        found = iter(document_keys([text for text in batch if not isinstance(text, Continued)]))
        for text in batch:
            keys = keys if isinstance(text, Continued) else next(found)
            yield text, keys


def batches(texts: Iterable[str], characters: int) -> Iterator[list[str]]:
    """Texts in lists of about so many characters."""
    batch: list[str] = []
    held = 0
    for text in texts:
        batch.append(text)
        held += len(text)
        if held >= characters:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def document_keys(texts: Sequence[str]) -> list[DocumentKeys]:
    """The keys of each text."""
    plain = [_without_signs(text) for text in texts]
    stops = np.cumsum(np.fromiter(map(len, plain), dtype=np.int64, count=len(plain)) + 1)  # a space behind each
    content, firsts, begins, ends = _words((b" ".join(plain) + b" ").translate(_WORDS_ALONE), stops)
    # Where each text begins and ends; before it begins where it has no word.
    borders = np.append(begins, len(content))[firsts[:-1]], np.append(ends, 0)[firsts[1:] - 1]
    same = [
        _digest(content[start:stop] if stop > start else normalised(text).encode("utf-8", "surrogatepass"))
        for text, start, stop in zip(texts, *(border.tolist() for border in borders), strict=True)
    ]
    phrases = _least_phrases(content, firsts, begins, ends)
    # Long texts have smaller minima than short ones; mixed once more, keys say nothing about the length.
    near, alone = _mixed(phrases + _PRIMES[0]).tolist(), (phrases == _NONE).tolist()
    return [DocumentKeys(one, one if short else key) for one, key, short in zip(same, near, alone, strict=True)]


def _without_signs(text: str) -> bytes:
    """A text as UTF-8, lower case and spaces for signs beyond ASCII; a multiple as fast as looking for words."""
    if text.isascii():
        return text.encode()
    lower = text.lower()
    data = lower.encode("utf-8", "surrogatepass")
    others = set(data.translate(None, _ASCII).decode("utf-8", "surrogatepass"))
    signs = [character for character in others if not character.isalnum()]  # as \w has it
    if len(signs) > MOST_SIGNS:
        return " ".join(_WORD.findall(lower)).encode()
    for sign in signs:
        data = data.replace(sign.encode("utf-8", "surrogatepass"), b" ")
    return data


def _digest(words: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(words, digest_size=8).digest(), "big")


def _words(joined: bytes, stops: Places) -> tuple[bytes, Places, Places, Places]:
    """The words of several texts.

    Args:
        joined: words with any number of spaces between them, and at least one behind each text.
        stops: ``texts``: where each text ends, behind its last space.

    Returns:
        All words, one space between them; ``texts + 1``: number of each text's first word, and of all words; ``words``:
        where each begins and where it ends.
    """
    characters = np.frombuffer(joined, dtype=np.uint8)
    space = characters == ord(" ")
    behind = np.concatenate([[True], space[:-1]])  # whether a space, or nothing, stands before
    firsts = np.searchsorted(np.flatnonzero(behind & ~space), np.concatenate([[0], stops]))
    content = characters[~(behind & space)]
    ends = np.flatnonzero(content == ord(" "))
    begins = np.concatenate([np.zeros(1, dtype=np.int64), ends + 1])[:-1]
    return content.tobytes(), firsts, begins, ends


def _least_phrases(content: bytes, firsts: Places, begins: Places, ends: Places) -> Keys64:
    """``texts``: the least hash of a text's phrases, which begin with every word; `_NONE` where it is shorter than one.

    Args:
        content: see `_words`, as are the others.
        firsts: see there.
        begins: see there.
        ends: see there.
    """
    if not len(begins):
        return np.full(len(firsts) - 1, _NONE, dtype=np.uint64)
    padded = content + b" " * PHRASE_BYTES
    # Eight bytes from every place on, as a number.
    numbers: Keys64 = np.ndarray(len(padded) - 7, dtype="<u8", buffer=padded, strides=(1,))
    hashes: Keys64 = np.zeros(len(begins), dtype=np.uint64)
    for place, prime in enumerate(_PRIMES):
        hashes = (hashes ^ (hashes >> np.uint64(29))) * _PRIMES[0] + numbers[begins + 8 * place] * prime
    hashes = _mixed(hashes)
    counts = np.diff(firsts)
    last = ends[np.maximum(firsts[1:] - 1, 0)]
    hashes[begins + PHRASE_BYTES > np.repeat(last, counts)] = _NONE
    least: Keys64 = np.minimum.reduceat(hashes, np.minimum(firsts[:-1], len(begins) - 1))
    return np.where(counts > 0, least, _NONE)


def _mixed(numbers: Keys64) -> Keys64:
    """Every bit of a number in every bit of the result, one to one: the end of SplitMix64 (Steele et al. 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Keys64 = numbers ^ (numbers >> np.uint64(31))
    return mixed
