"""Carving a split out of another so that near-duplicates stay together, by hashes that never change.

Used by the data sources; reads no files. Texts are compared by word sequences (shingles), which is cheap enough for
some hundred thousand examples.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

#: Words in a shingle: long enough to be rare by chance, short enough to join a phrase to its sentence.
SHINGLE_WORDS = 5

#: A shingle in more examples than this is boilerplate and joins nothing.
SHINGLE_MAX_EXAMPLES = 50

_WORD = re.compile(r"\w+")


def normalised(text: str) -> str:
    """Return a text's words in lower case, one space between them: what makes two texts the same."""
    return " ".join(_WORD.findall(text.lower()))


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


def near_duplicate_groups(texts: Sequence[str]) -> list[int]:
    """Return for each text the index of its group's first member.

    Texts are joined when they are equal but for case and punctuation, or share a run of `SHINGLE_WORDS` words that
    no more than `SHINGLE_MAX_EXAMPLES` texts have; joining is transitive.
    """
    parents = list(range(len(texts)))
    for members in _links(texts):
        first = _root(parents, members[0])
        for member in members[1:]:
            other = _root(parents, member)
            parents[max(first, other)] = first = min(first, other)
    return [_root(parents, index) for index in range(len(texts))]


def _links(texts: Sequence[str]) -> list[list[int]]:
    """Return lists of examples that belong together, each for one reason."""
    owners: dict[int, list[int]] = {}
    equal: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        equal.setdefault(normalised(text), []).append(index)
        for shingle in shingles(text):
            owners.setdefault(shingle, []).append(index)
    rare = [members for members in owners.values() if 1 < len(members) <= SHINGLE_MAX_EXAMPLES]
    return rare + [members for members in equal.values() if len(members) > 1]


def _root(parents: list[int], index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index


def carve(texts: Sequence[str], target: int) -> list[bool]:
    """Return for each text whether it goes to the carved split, about ``target`` of them, never splitting a group.

    Groups are taken in the order of a stable hash of their texts; one that would overshoot the target is left out.
    The answer depends on the texts alone, not on their order.
    """
    groups = near_duplicate_groups(texts)
    keys: dict[int, int] = {}
    for text, group in zip(texts, groups, strict=True):
        keys[group] = min(keys.get(group, 2**64), stable_hash(normalised(text)))
    sizes = Counter(groups)
    chosen: set[int] = set()
    left = target
    for group in sorted(sizes, key=lambda group: keys[group]):
        if sizes[group] <= left:
            chosen.add(group)
            left -= sizes[group]
        if not left:
            break
    return [group in chosen for group in groups]
