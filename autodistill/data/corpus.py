"""The data source `corpus`: any amount of text for masked-language-model distillation, read as a stream.

Files are read in parts (`autodistill.data.corpus_files`) by as many processes as there are cores. A first pass counts
the documents, makes the fingerprint, and finds the documents that are held out: those with the smallest hashes, so
that equal documents are on the same side and the answer does not depend on the order of files. Tokenising, packing and
masking are in `autodistill.training.packed`.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autodistill.components.task import DataContext, Masking, TaskData, TaskSpec
from autodistill.data.corpus_files import (
    Continued,
    Found,
    Part,
    Reading,
    corpus_files,
    cut_into_parts,
    missing_column,
    read_part,
)
from autodistill.data.hub import load_from_hub
from autodistill.data.part_workers import cores, map_parts
from autodistill.errors import DataError
from autodistill.folders import build_once, private_directory

#: Part of every fingerprint; raise it when reading or dealing changes.
FORMAT = "corpus/3"

#: Part of the place of what the first pass found; raise it when other things are counted.
SURVEY_FORMAT = "survey/2"

#: Above every hash.
HASH_END = 2**64

#: Documents of the hub per local file.
HUB_SHARD = 100_000

#: Documents of the user's own select and test files that are looked for in the other splits, at most.
COMPARED = 100_000

#: Share of the documents that may be held out; more would be another data set.
LARGEST_SHARE = 0.5


@dataclass(frozen=True)
class CorpusStream:
    """The documents of a role, as `autodistill.components.task.TextStream`.

    Args:
        pieces: what is read, by part.
        reading: how.
        low: documents with a smaller hash are of another role.
        high: so are those with this hash or a larger one.
        workers: processes that tokenise them; None for as many as there are cores.
    """

    pieces: tuple[Part, ...]
    reading: Reading
    low: int = 0
    high: int = HASH_END
    workers: int | None = None

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return len(self.pieces)

    def documents(self, part: int) -> Iterator[str]:
        """The documents of a part that are of this role."""
        everything = self.low == 0 and self.high == HASH_END
        texts = read_part(self.pieces[part], self.reading)
        if everything:
            yield from texts
            return
        for text, number in with_hashes(texts):
            if self.low <= number < self.high:
                yield text


def document_hash(text: str) -> int:
    """64 bits of a document's words, whatever their case and the white space between them."""
    words = " ".join(text.lower().split())
    return int.from_bytes(hashlib.blake2b(words.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def with_hashes(texts: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Texts with the hash of their document: all pieces of a long one belong to one split, by its first piece."""
    number = 0
    for text in texts:
        if not isinstance(text, Continued):
            number = document_hash(text)
        yield text, number


def survey_part(payload: tuple[tuple[Part, ...], Reading, int, frozenset[int]], part: int) -> dict[str, Any]:
    """Counts, digest, smallest hashes and hashes that were looked for, of one part; run by `map_parts`."""
    pieces, reading, smallest, wanted = payload
    met: set[int] = set()
    found, digest = Found(), hashlib.blake2b(digest_size=16)
    heap: list[int] = []  # negated, so that the largest of the smallest is on top
    held: set[int] = set()
    for text, number in with_hashes(read_part(pieces[part], reading, found)):
        digest.update(text.encode("utf-8", "surrogatepass") + b"\x00")
        if number in wanted:
            met.add(number)
        if number in held or smallest == 0:
            continue
        if len(heap) < smallest:
            heapq.heappush(heap, -number)
            held.add(number)
        elif number < -heap[0]:
            held.discard(-heapq.heapreplace(heap, -number))
            held.add(number)
    return {
        **{key: getattr(found, key) for key in found.__slots__},
        "digest": digest.hexdigest(),
        "hashes": sorted(held),
        "met": sorted(met),
    }


class Corpus:
    """Documents without labels; the task is to predict masked tokens.

    Args:
        context: where the first pass leaves what it found.
        path: a file, a folder of files, or the name of a data set on the hub.
        select: path of the documents that choose between models; None holds some of ``path`` out.
        test: path of the documents that are read once at the end; None holds some of ``path`` out.
        select_documents: documents held out for select, when it is None.
        test_documents: documents held out for test, when it is None; 0 for no test.
        documents: how plain text is divided: ``blank_line`` or ``line``.
        column: field of JSON lines, Parquet and the hub that holds the text.
        allow_hub: whether the hub may be asked.
        hub_config: configuration of the data set on the hub.
        revision: of it.
        masked_share: of the tokens.
        whole_word: whether all pieces of a word are masked together.
        maskings: different ones of each training example.
        pairs: two pieces of a document per example, in place of full rows.
        workers: processes; None for as many as there are cores.
        max_length: tokens per example.
    """

    def __init__(
        self,
        context: DataContext,
        *,
        path: str | None,
        select: str | None,
        test: str | None,
        select_documents: int,
        test_documents: int,
        documents: str,
        column: str,
        allow_hub: bool,
        hub_config: str | None,
        revision: str | None,
        masked_share: float,
        whole_word: bool,
        maskings: int,
        pairs: bool,
        workers: int | None,
        max_length: int,
    ) -> None:
        self.max_length = max_length
        self._cache = context.cache_dir
        self._paths = {"train": path, "select": select, "test": test}
        self._held_out = {"select": select_documents, "test": test_documents}
        self._reading = Reading(documents, column)
        self._hub = (allow_hub, hub_config, revision)
        self._masking = Masking(masked_share, whole_word, maskings, pairs)
        self._workers = cores() if workers is None else workers

    def load(self) -> TaskData:
        """Survey the files and deal the documents to the splits.

        Raises:
            DataError: no path, nothing to read, or too few documents to hold some out.
        """
        if self._paths["train"] is None:
            raise DataError("data.path must name a text file, a folder of them or a hub data set, got null.")
        carved = {role: count for role, count in self._held_out.items() if self._paths[role] is None and count}
        files = self._files()
        surveys = {role: self._survey(files[role], COMPARED) for role in files if role != "train"}
        wanted = frozenset(number for survey in surveys.values() for number in survey.hashes)
        surveys["train"] = self._survey(files["train"], sum(carved.values()), wanted)
        splits, borders = self._deal(surveys["train"], carved)
        splits |= {
            role: CorpusStream(survey.pieces, self._reading, workers=self._workers)
            for role, survey in surveys.items()
            if role != "train"
        }
        task = TaskSpec("mlm", (), ("text",), "mlm.accuracy", masking=self._masking)
        parts = [FORMAT, *[[role, surveys[role].digest] for role in sorted(surveys)], borders]
        fingerprint = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
        notes = self._notes(surveys, carved) | _overlaps(surveys, splits, carved)
        return TaskData(task, splits, fingerprint, notes)

    def _deal(self, survey: _Survey, carved: Mapping[str, int]) -> tuple[dict[str, CorpusStream], list[int]]:
        """The streams of train and of what is held out from it, and the hashes between them."""
        wanted = sum(carved.values())
        if wanted > survey.counts["documents"] * LARGEST_SHARE or wanted > len(survey.hashes):
            raise DataError(
                f"data.path: {self._paths['train']} has {survey.counts['documents']} documents ({len(survey.hashes)} "
                f"different ones were looked for), too few to hold out {wanted} of them. Lower data.select_documents "
                "and data.test_documents, set data.documents=line, or give files as data.select and data.test."
            )
        streams, low, place = {}, 0, 0
        borders = []
        for role in sorted(carved, reverse=True):
            place += carved[role]
            high = survey.hashes[place - 1] + 1
            streams[role] = CorpusStream(survey.pieces, self._reading, low, high, self._workers)
            borders.append(high)
            low = high
        return {"train": CorpusStream(survey.pieces, self._reading, low, workers=self._workers), **streams}, borders

    def _notes(self, surveys: Mapping[str, _Survey], carved: Mapping[str, int]) -> dict[str, Any]:
        notes: dict[str, Any] = {f"held_out_{role}_documents": count for role, count in carved.items()}
        for role, survey in surveys.items():
            counts = survey.counts
            notes |= {f"{role}_documents": counts["documents"], f"{role}_characters": counts["characters"]}
            notes |= {
                f"{role}_{name}": count
                for name, count in (
                    ("empty_documents_left_out", counts["empty"]),
                    ("documents_cut_at_a_million_characters", counts["cut"]),
                    ("files_of_other_kinds_left_out", survey.files.unknown),
                    ("files_of_other_splits_left_out", survey.files.held_out),
                )
                if count
            }
        return notes

    def _files(self) -> dict[str, _Files]:
        """The files of each role: one that is given for test is not read for select, nor either of them for train.

        Raises:
            DataError: nothing is left for a role.
        """
        found: dict[str, _Files] = {}
        taken: set[Path] = set()
        for role in ("test", "select", "train"):
            path = self._paths[role]
            if path is None:
                continue
            everything, unknown = corpus_files(self._place(path))
            files = [file for file in everything if file.resolve() not in taken]
            if not files:
                raise DataError(
                    f"data.{'path' if role == 'train' else role}: all files of {path} are given as data.select or "
                    "data.test too, and a model must not be trained or chosen on what it is tested with. Give "
                    "different files."
                )
            taken |= {file.resolve() for file in files}
            found[role] = _Files(tuple(files), unknown, len(everything) - len(files))
        return found

    def _place(self, path: str) -> Path:
        """Where a path of the configuration lies on the disk."""
        place = Path(path).expanduser()
        from_hub = not place.exists() and not path.startswith((".", "/", "~")) and self._hub[0]
        return self._downloaded(path) if from_hub else place

    def _survey(self, files: _Files, smallest: int, wanted: frozenset[int] = frozenset()) -> _Survey:
        """What the first pass finds, from the cache when these files have been seen before.

        Args:
            files: to be read.
            smallest: hashes that are kept.
            wanted: hashes that are looked for.
        """
        pieces = tuple(part for file in files.paths for part in cut_into_parts(file, self._reading))
        seen = [[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in files.paths]
        parts = [FORMAT, SURVEY_FORMAT, seen, asdict(self._reading), smallest, sorted(wanted)]
        key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]

        def build(directory: Path) -> None:
            payload = (pieces, self._reading, smallest, wanted)
            results = dict(map_parts(_SURVEY, payload, range(len(pieces)), self._workers))
            (directory / "survey.json").write_text(json.dumps([results[part] for part in range(len(pieces))]))

        folder = build_once(private_directory(self._cache / "corpus") / key, build)
        return _Survey.of(pieces, json.loads((folder / "survey.json").read_text()), smallest, files)

    def _downloaded(self, name: str) -> Path:
        """A data set of the hub as local JSON lines, read as a stream, once."""
        allow_hub, config, revision = self._hub
        key = hashlib.sha256(json.dumps([name, config, revision, self._reading.column]).encode()).hexdigest()[:24]

        def build(directory: Path) -> None:
            rows = load_from_hub(name, config, "train", allow_hub, revision, "data.path", streaming=True)
            shard = None
            for number, row in enumerate(rows):
                if number % HUB_SHARD == 0:
                    if shard is not None:
                        shard.close()
                    shard = (directory / f"{number // HUB_SHARD:05}.jsonl").open("w")
                if self._reading.column not in row:  # before all of it is downloaded
                    raise missing_column(f"data.path: {name}, row {number + 1}", "column", self._reading.column, row)
                if shard is not None:
                    shard.write(json.dumps({self._reading.column: row[self._reading.column]}) + "\n")
            if shard is not None:
                shard.close()

        return build_once(private_directory(self._cache / "corpus") / f"hub-{key}", build)


_SURVEY = "autodistill.data.corpus:survey_part"


def _overlaps(
    surveys: Mapping[str, _Survey], splits: Mapping[str, CorpusStream], carved: Mapping[str, int]
) -> dict[str, int]:
    """Of the user's own select and test documents, how many stand in another split; what the guards read.

    Args:
        surveys: of the files of each role.
        splits: what was made of them; those from the files of train share them by the hashes.
        carved: role -> documents of those that were held out from train.
    """
    own = {role: set(survey.hashes) for role, survey in surveys.items() if role != "train"}
    found = {f"texts_{role}": len(hashes) for role, hashes in own.items()}

    def shared(role: str, other: str) -> int:
        """Documents of the user's own role that are dealt to another one."""
        there = surveys["train"].met if other in ("train", *carved) else own[other]
        low, high = splits[other].low, splits[other].high
        return sum(low <= number < high for number in own[role].intersection(there))

    found |= {f"overlap_{role}_train": shared(role, "train") for role in own}
    if "test" in own and "select" in splits:
        found["overlap_test_select"] = shared("test", "select")
    elif "select" in own and "test" in carved:
        found |= {"texts_test": carved["test"], "overlap_test_select": shared("select", "test")}
    return found


@dataclass(frozen=True)
class _Files:
    """The files of a role.

    Args:
        paths: what is read.
        unknown: files of the folder that are not understood.
        held_out: files of the folder that are another role's.
    """

    paths: tuple[Path, ...]
    unknown: int
    held_out: int


@dataclass(frozen=True)
class _Survey:
    """What the first pass found.

    Args:
        pieces: the parts.
        digest: of all documents in their order.
        hashes: the smallest ones, rising.
        met: those that were looked for and found.
        counts: see `Found`.
        files: that were read.
    """

    pieces: tuple[Part, ...]
    digest: str
    hashes: list[int]
    met: frozenset[int]
    counts: dict[str, int]
    files: _Files

    @classmethod
    def of(cls, pieces: tuple[Part, ...], results: list[dict[str, Any]], smallest: int, files: _Files) -> _Survey:
        """Put the parts together."""
        digest = hashlib.sha256("".join(result["digest"] for result in results).encode()).hexdigest()
        hashes = heapq.nsmallest(smallest, {number for result in results for number in result["hashes"]})
        names = ("documents", "characters", "empty", "cut")
        counts = {name: sum(result[name] for result in results) for name in names}
        met = frozenset(number for result in results for number in result["met"])
        return cls(pieces, digest, hashes, met, counts, files)
