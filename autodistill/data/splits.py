"""Carving a split out of another so that near-duplicates stay together, by hashes that never change.

Used by the data sources; reads no files. Texts are compared by word sequences (shingles), which is cheap enough for
some hundred thousand examples.
"""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Words in a shingle: long enough to be rare by chance, short enough to join a phrase to its sentence.
SHINGLE_WORDS = 5

#: A shingle in more examples than this is boilerplate and joins nothing.
SHINGLE_MAX_EXAMPLES = 50

_WORD = re.compile(r"\w+")


def normalised(text: str) -> str:
    """Return a text's words in lower case, one space between them: what makes two texts the same.

    Of a text without words, of signs alone, these.
    """
    lower = text.lower()
    return " ".join(_WORD.findall(lower) or lower.split())


def fingerprint_of(*parts: Sequence[Any]) -> str:
    """The first 32 hexadecimal digits of the SHA-256 of JSON-able lists, one after the other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps(part).encode())
    return digest.hexdigest()[:32]


def stable_hash(text: str) -> int:
    """Return a 64-bit hash that is the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def shingles(text: str, words: int = SHINGLE_WORDS) -> set[int]:
    """Return the hashes of a text's word sequences, or of the whole text where it is shorter.

    The hashes are comparable within one process only.
    """
    parts = _WORD.findall(text.lower())
    last = max(1, len(parts) - words + 1)
    return {hash(tuple(parts[start : start + words])) for start in range(last)}


def near_duplicate_groups(
    texts: Sequence[str], twins: Sequence[str] | None = None, *, phrases: bool = True
) -> list[int]:
    """Return for each text the index of its group's first member.

    Texts are joined when they are equal but for case and punctuation, or share a run of `SHINGLE_WORDS` words that
    no more than `SHINGLE_MAX_EXAMPLES` texts have, or have equal ``twins``; joining is transitive. Without ``phrases``
    runs of words join nothing.
    """
    parents = list(range(len(texts)))
    for members in _links(texts, twins, phrases):
        first = _root(parents, members[0])
        for member in members[1:]:
            other = _root(parents, member)
            parents[max(first, other)] = first = min(first, other)
    return [_root(parents, index) for index in range(len(texts))]


def _links(texts: Sequence[str], twins: Sequence[str] | None, phrases: bool) -> Iterator[list[int]]:
    """Lists of examples that belong together, each for one reason."""
    hashes, owners, equal = array("q"), array("q"), array("q")
    for index, text in enumerate(texts):
        equal.append(hash(normalised(text)))
        found = shingles(text) if phrases else set()
        hashes.extend(found)
        owners.extend([index] * len(found))
    yield from _runs(hashes, owners, SHINGLE_MAX_EXAMPLES)
    yield from _runs(equal, array("q", range(len(texts))), len(texts))
    if twins is not None:
        yield from _runs(array("q", map(hash, twins)), array("q", range(len(texts))), len(texts))


def _runs(keys: array[int], owners: array[int], longest: int) -> Iterator[list[int]]:
    """The owners of each key that has two or more, and no more than ``longest``.

    Arrays and a sort instead of a dictionary of lists: a tenth of the memory for ten million keys.
    """
    if not keys:
        return
    values, of = np.frombuffer(keys, dtype=np.int64), np.frombuffer(owners, dtype=np.int64)
    order = np.argsort(values, kind="stable")
    borders = np.flatnonzero(np.diff(values[order])) + 1
    starts, stops = np.concatenate([[0], borders]), np.concatenate([borders, [len(order)]])
    for run in np.flatnonzero((stops - starts > 1) & (stops - starts <= longest)):
        yield of[order[starts[run] : stops[run]]].tolist()


def _root(parents: list[int], index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index


@dataclass(frozen=True, slots=True)
class Carved:
    """What goes to a carved split.

    Args:
        taken: of each text, whether it does.
        largest: texts of the largest group of near-duplicates.
        divided: texts in groups that were divided, because they were larger than the split was to be.
    """

    taken: list[bool]
    largest: int
    divided: int


def carve(texts: Sequence[str], target: int, twins: Sequence[str] | None = None) -> Carved:
    """Return for each text whether it goes to the carved split, about ``target`` of them, never splitting a group.

    Groups are taken in the order of a stable hash of one of their texts, whatever their size, so that the split is a
    sample of the whole: by the least hash of all their texts large groups would come first. One that would overshoot
    the target is left out. One that is larger than the target never could be taken, and the split would be of untypical
    texts alone: of such a group only equal texts and twins stay together. The answer depends on the texts alone, not on
    their order.

    Args:
        texts: of the examples.
        target: how many are carved, at most.
        twins: for each example what is the same for another one that must not be on the other side; None for nothing
            but its text.
    """
    groups = near_duplicate_groups(texts, twins)
    sizes, divided = Counter(groups), 0
    too_large = {group for group, size in sizes.items() if size > target}
    if too_large:
        equal = near_duplicate_groups(texts, twins, phrases=False)
        parted = {group for group, same in zip(groups, equal, strict=True) if group in too_large and same != group}
        groups = [same if group in parted else group for group, same in zip(groups, equal, strict=True)]
        divided = sum(sizes[group] for group in parted)
    chosen = _chosen(texts, groups, target)
    return Carved([group in chosen for group in groups], max(sizes.values(), default=0), divided)


def _chosen(texts: Sequence[str], groups: Sequence[int], target: int) -> set[int]:
    """The groups that are carved."""
    named_after: dict[int, str] = {}
    for text, group in zip(texts, groups, strict=True):
        plain = normalised(text)
        named_after[group] = min(named_after.get(group, plain), plain)
    keys = {group: stable_hash(name) for group, name in named_after.items()}
    sizes = Counter(groups)
    chosen: set[int] = set()
    left = target
    for group in sorted(sizes, key=lambda group: keys[group]):
        if sizes[group] <= left:
            chosen.add(group)
            left -= sizes[group]
        if not left:
            break
    return chosen
