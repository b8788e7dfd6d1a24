"""The first pass over a corpus: counts, a digest, and the documents with the smallest keys; by part, and put together.

What is made of it is in `autodistill.data.corpus`.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from dataclasses import dataclass
from typing import Any

from autodistill.components.task import Continued
from autodistill.data.corpus_files import CorpusFiles, Found, Part, Reading, read_part
from autodistill.data.document_keys import with_keys

#: Part of the place of what the first pass found; raise it when other things are counted.
SURVEY_FORMAT = "survey/3"


class Smallest:
    """The smallest of many keys and how often each was met; exact, since one that has left is never small enough again.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int) -> None:
        self.counts: dict[int, int] = {}
        self._most = most
        self._heap: list[int] = []  # negated, so that the largest of the smallest is on top

    def add(self, key: int) -> None:
        """Count a key."""
        if key in self.counts:
            self.counts[key] += 1
        elif len(self._heap) < self._most:
            heapq.heappush(self._heap, -key)
            self.counts[key] = 1
        elif self._heap and key < -self._heap[0]:
            del self.counts[-heapq.heapreplace(self._heap, -key)]
            self.counts[key] = 1


@dataclass(frozen=True)
class SurveyPayload:
    """What the first pass is told.

    Args:
        pieces: the parts.
        reading: how they are read.
        same: smallest keys of equal documents that are kept.
        near: the same of near-duplicates.
        wanted: keys of equal documents that are looked for.
    """

    pieces: tuple[Part, ...]
    reading: Reading
    same: int
    near: int
    wanted: frozenset[int]


def survey_part(payload: SurveyPayload, part: int) -> dict[str, Any]:
    """Counts, digest, smallest keys, and both keys of what was looked for, of one part; run by `map_parts`."""
    met: dict[int, int] = {}
    found, digest = Found(), hashlib.blake2b(digest_size=16)
    same, near = Smallest(payload.same), Smallest(payload.near)
    for text, keys in with_keys(read_part(payload.pieces[part], payload.reading, found)):
        digest.update(text.encode("utf-8", "surrogatepass") + b"\x00")
        if isinstance(text, Continued):
            continue
        same.add(keys.same)
        near.add(keys.near)
        if keys.same in payload.wanted:
            met[keys.same] = keys.near
    return {
        **{key: getattr(found, key) for key in found.__slots__},
        "digest": digest.hexdigest(),
        "same": list(same.counts.items()),
        "near": list(near.counts.items()),
        "met": list(met.items()),
    }


@dataclass(frozen=True)
class Survey:
    """What the first pass found.

    Args:
        pieces: the parts.
        digest: of all documents in their order.
        same: the smallest keys of equal documents, rising, and how many documents have each.
        near: the same of near-duplicates.
        met: both keys of the documents that were looked for and found.
        counts: see `Found`.
        files: that were read.
    """

    pieces: tuple[Part, ...]
    digest: str
    same: Counter[int]
    near: Counter[int]
    met: dict[int, int]
    counts: dict[str, int]
    files: CorpusFiles

    @classmethod
    def of(cls, payload: SurveyPayload, results: list[dict[str, Any]], files: CorpusFiles) -> Survey:
        """Put together what `survey_part` found in each part."""
        digest = hashlib.sha256("".join(result["digest"] for result in results).encode()).hexdigest()
        names = ("documents", "characters", "empty", "cut")
        counts = {name: sum(result[name] for result in results) for name in names}
        met = dict(pair for result in results for pair in result["met"])
        same = _smallest([result["same"] for result in results], payload.same)
        near = _smallest([result["near"] for result in results], payload.near)
        return cls(payload.pieces, digest, same, near, met, counts, files)


def _smallest(parts: list[list[tuple[int, int]]], most: int) -> Counter[int]:
    """The smallest keys of all parts, rising: each is among the smallest of every part that has it."""
    counts: Counter[int] = Counter()
    for part in parts:
        counts.update(dict(part))
    return Counter({key: counts[key] for key in heapq.nsmallest(most, counts)})
