"""The data source `corpus`: any amount of text for masked-language-model distillation, read as a stream.

Files are read in parts (`autodistill.data.corpus_files`) by as many processes as there are cores. A first pass counts
the documents, makes the fingerprint, and finds the documents that are held out: those with the smallest keys
(`autodistill.data.document_keys`), so that documents with the same key are on the same side and the answer does not
depend on the order of files. Tokenising, packing and masking are in `autodistill.training.packed`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from autodistill.components.task import OF, DataContext, Masking, TaskData, TaskSpec
from autodistill.data.corpus_files import (
    CorpusFiles,
    Part,
    Reading,
    corpus_files,
    cut_into_parts,
    read_part,
)
from autodistill.data.corpus_hub import download
from autodistill.data.corpus_survey import SURVEY_FORMAT, Survey, SurveyPayload
from autodistill.data.document_keys import DocumentKeys, with_keys
from autodistill.data.hub import commit_on_hub, stream_from_hub
from autodistill.data.part_workers import cores, map_parts
from autodistill.data.splits import fingerprint_of
from autodistill.errors import DataError
from autodistill.folders import build_once, private_directory

#: Part of every fingerprint; raise it when reading or dealing changes.
FORMAT = "corpus/4"

#: Documents of the user's own select and test files that are looked for in the other splits, at most.
COMPARED = 100_000

#: Share of the documents that may be held out; more would be another data set.
LARGEST_SHARE = 0.5

#: Of the documents among which those that are held out are chosen, the share in groups too large to be held out above
#: which near-duplicates are not kept together: what is held out would be untypical.
TOO_LARGE_SHARE = 0.5

#: Share of the documents that are to be held out that suffices; more cannot always be had without dividing a group.
FOUND_SHARE = 0.5

#: Keys among which those that are held out are chosen, per document that is held out: some may be of too many.
CANDIDATES = 2


@dataclass(frozen=True)
class Dealt:
    """Which of the documents of train's files are of a role.

    Args:
        by: the key that decides, ``near`` or ``same`` of `DocumentKeys`.
        keys: of the documents of the role, or of those that are not.
        inside: which of these.
    """

    by: str
    keys: frozenset[int]
    inside: bool

    @property
    def everything(self) -> bool:
        """Whether nothing is held out."""
        return not (self.inside or self.keys)

    def has(self, keys: DocumentKeys) -> bool:
        """Whether a document with these keys is of the role."""
        return (getattr(keys, self.by) in self.keys) is self.inside


@dataclass(frozen=True)
class CorpusStream:
    """The documents of a role, as `autodistill.components.task.TextStream`.

    Args:
        pieces: what is read, by part.
        reading: how.
        dealt: which of them; None for all.
        workers: processes that tokenise them; None for as many as there are cores.
    """

    pieces: tuple[Part, ...]
    reading: Reading
    dealt: Dealt | None = None
    workers: int | None = None

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return len(self.pieces)

    def documents(self, part: int) -> Iterator[str]:
        """The documents of a part that are of this role."""
        texts = read_part(self.pieces[part], self.reading)
        if self.dealt is None or self.dealt.everything:
            return texts
        return (text for text, keys in with_keys(texts) if self.dealt.has(keys))


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
            DataError: no path, nothing to read, a role without text, or too few documents to hold some out.
        """
        if self._paths["train"] is None:
            raise DataError("data.path must name a text file, a folder of them or a hub data set, got null.")
        carved = {role: count for role, count in self._held_out.items() if self._paths[role] is None and count}
        files = self._files()
        surveys = {role: self._survey(role, files[role], COMPARED) for role in files if role != "train"}
        wanted = frozenset(key for survey in surveys.values() for key in survey.same)
        candidates = CANDIDATES * sum(carved.values())
        surveys["train"] = self._survey("train", files["train"], candidates, candidates, wanted)
        dealt, dealing = self._deal(surveys["train"], carved)
        splits = {
            role: CorpusStream(surveys["train"].pieces, self._reading, found, self._workers)
            for role, found in dealt.items()
        }
        splits |= {
            role: CorpusStream(survey.pieces, self._reading, workers=self._workers)
            for role, survey in surveys.items()
            if role != "train"
        }
        task = TaskSpec("mlm", (), ("text",), "mlm.accuracy", masking=self._masking)
        fingerprints = {role: _fingerprint(role, surveys, dealt.get(role)) for role in sorted(splits)}
        counted = self._notes(surveys)
        counted["train_documents"] -= sum(dealing.get(f"held_out_{role}_documents", 0) for role in carved)
        notes = counted | dealing | _overlaps(surveys, splits, dealing)
        return TaskData(task, splits, fingerprint_of([*fingerprints.values()]), notes, fingerprints)

    def _deal(self, survey: Survey, carved: Mapping[str, int]) -> tuple[dict[str, Dealt], dict[str, int]]:
        """Which documents are of train and of the roles that are held out from it, and what was counted.

        Near-duplicates stay together, unless most documents have too many of them; then equal documents do.

        Args:
            survey: of train's files.
            carved: role -> documents that are held out from them.
        """
        documents, wanted = survey.counts["documents"], sum(carved.values())
        least, largest = min(carved.values(), default=0), max(survey.near.values(), default=0)
        too_large = sum(size for size in survey.near.values() if size > least)
        by, chosen = "near", _chosen(survey.near, carved)
        if _share_of_too_large(survey.near, least, documents) > TOO_LARGE_SHARE or not chosen.suffice(carved):
            by, chosen = "same", _chosen(survey.same, carved)
        if wanted > documents * LARGEST_SHARE or not chosen.suffice(carved):
            raise DataError(
                f"data.path: {self._paths['train']} has {documents} documents ({len(survey.same)} different ones were "
                f"looked for), too few to hold out {wanted} of them. Lower data.select_documents and "
                "data.test_documents, set data.documents=line, or give files as data.select and data.test."
            )
        dealt = {role: Dealt(by, keys, True) for role, keys in chosen.keys.items()}
        dealt["train"] = Dealt(by, frozenset().union(*chosen.keys.values()), False)
        notes = {f"held_out_{role}_documents": count for role, count in chosen.counts.items()}
        if "select" in carved:
            notes |= {
                "asked_select": carved["select"],
                "carved_select": chosen.counts["select"],
                "largest_near_duplicates": largest,
                "divided_near_duplicates": too_large if by == "same" else 0,
            }
        return dealt, notes

    def _notes(self, surveys: Mapping[str, Survey]) -> dict[str, Any]:
        notes: dict[str, Any] = {}
        for role, survey in surveys.items():
            counts = survey.counts
            notes |= {f"{role}_documents": counts["documents"], f"{role}_files_characters": counts["characters"]}
            notes |= {
                f"{role}_{name}": count
                for name, count in (
                    ("empty_documents_left_out", counts["empty"]),
                    ("documents_cut_at_a_million_characters", counts["cut"]),
                    ("files_of_other_kinds_left_out", survey.files.unknown),
                    ("files_of_other_splits_left_out", survey.files.held_out),
                    ("hidden_files_left_out", survey.files.hidden),
                )
                if count
            }
            if counts["empty"] and self._reading.documents != "line":  # where lines are documents, empty ones are none
                notes[f"{role}_empty_documents_left_out{OF}"] = counts["documents"] + counts["empty"]
        return notes

    def _files(self) -> dict[str, CorpusFiles]:
        """The files of each role: one that is given for test is not read for select, nor either of them for train.

        Raises:
            DataError: nothing is left for a role.
        """
        found: dict[str, CorpusFiles] = {}
        taken: set[Path] = set()
        for role in ("test", "select", "train"):
            path = self._paths[role]
            if path is None:
                continue
            everything = corpus_files(self._place(path), _key(role))
            files = tuple(file for file in everything.paths if file.resolve() not in taken)
            if not files:
                raise DataError(
                    f"{_key(role)}: all files of {path} are given as data.select or data.test too, and a model must "
                    "not be trained or chosen on what it is tested with. Give different files."
                )
            taken |= {file.resolve() for file in files}
            found[role] = replace(everything, paths=files, held_out=len(everything.paths) - len(files))
        return found

    def _place(self, path: str) -> Path:
        """Where a path of the configuration lies on the disk."""
        place = Path(path).expanduser()
        from_hub = not place.exists() and not path.startswith((".", "/", "~")) and self._hub[0]
        return self._downloaded(path) if from_hub else place

    def _survey(
        self, role: str, files: CorpusFiles, same: int, near: int = 0, wanted: frozenset[int] = frozenset()
    ) -> Survey:
        """What the first pass finds, from the cache when these files have been seen before.

        Args:
            role: of the files.
            files: to be read.
            same: see `SurveyPayload`, as are the others.
            near: see there.
            wanted: see there.

        Raises:
            DataError: they have no text.
        """
        pieces = tuple(part for file in files.paths for part in cut_into_parts(file, self._reading, key=_key(role)))
        payload = SurveyPayload(pieces, self._reading, same, near, wanted)
        seen = [[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in files.paths]
        parts = [FORMAT, SURVEY_FORMAT, seen, asdict(self._reading), same, near, sorted(wanted)]
        key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]

        def build(directory: Path) -> None:
            results = dict(map_parts(_SURVEY, payload, range(len(pieces)), self._workers))
            (directory / "survey.json").write_text(json.dumps([results[part] for part in range(len(pieces))]))

        folder = build_once(private_directory(self._cache / "corpus") / key, build)
        survey = Survey.of(payload, json.loads((folder / "survey.json").read_text()), files)
        if not survey.counts["documents"]:
            empty = survey.counts["empty"]
            raise DataError(
                f"{_key(role)}: {self._paths[role]} has no text for the {role} split: no document"
                + (f", and {empty} that are empty. " if empty else ". ")
                + ("Give others." if role == "train" else "Give others, or null to hold some out of data.path.")
            )
        return survey

    def _downloaded(self, name: str) -> Path:
        """A data set of the hub, which may be asked, as local JSON lines, read as a stream, once."""
        _, config, revision = self._hub
        key = hashlib.sha256(json.dumps([name, config, revision, self._reading.column]).encode()).hexdigest()[:24]

        def build(directory: Path) -> None:
            commit = partial(commit_on_hub, name, revision)
            download(directory, commit, partial(stream_from_hub, name, config, "train"), self._reading.column)

        return build_once(private_directory(self._cache / "corpus") / f"hub-{key}", build, resumable=True)


_SURVEY = "autodistill.data.corpus_survey:survey_part"


def _key(role: str) -> str:
    """The configuration key that names a role's files."""
    return "data.path" if role == "train" else f"data.{role}"


@dataclass(frozen=True)
class _Chosen:
    """What is held out from train's files.

    Args:
        keys: of the documents of each role.
        counts: of the documents of each role.
    """

    keys: dict[str, frozenset[int]]
    counts: dict[str, int]

    def suffice(self, wanted: Mapping[str, int]) -> bool:
        """Whether every role has about as many documents as are wanted."""
        return all(self.counts[role] >= max(1, count * FOUND_SHARE) for role, count in wanted.items())


def _chosen(groups: Mapping[int, int], wanted: Mapping[str, int]) -> _Chosen:
    """Groups for each role that is held out; test has the first choice, and one that would overshoot is left out.

    Args:
        groups: key -> documents, rising.
        wanted: role -> documents.
    """
    found, counts = dict[str, frozenset[int]](), dict[str, int]()
    left = dict(groups)
    for role in sorted(wanted, reverse=True):
        keys, room = set[int](), wanted[role]
        for key, size in left.items():
            if size <= room:
                keys.add(key)
                room -= size
            if not room:
                break
        left = {key: size for key, size in left.items() if key not in keys}
        found[role], counts[role] = frozenset(keys), wanted[role] - room
    return _Chosen(found, counts)


def _share_of_too_large(groups: Mapping[int, int], least: int, documents: int) -> float:
    """The share of all documents that are in groups of more than ``least``, as some of the groups tell.

    Args:
        groups: key -> documents, of a part of the keys.
        least: documents.
        documents: of all groups.
    """
    largest = max(groups.values(), default=0)
    if largest <= least:
        return 0.0
    # One group may hold a good part of all documents: it stands for itself, and only the others for the rest.
    others = [size for size in groups.values() if size > least]
    rest = sum(groups.values()) - largest
    share = (sum(others) - largest) / rest if rest else 0.0
    return (largest + share * (documents - largest)) / documents


def _fingerprint(role: str, surveys: Mapping[str, Survey], dealt: Dealt | None) -> str:
    """Of the documents of a split: the files they are in, and which of these documents they are."""
    if dealt is None:
        return fingerprint_of([FORMAT, role, surveys[role].digest])
    return fingerprint_of([FORMAT, role, surveys["train"].digest, dealt.by, *sorted(dealt.keys)])


def _overlaps(
    surveys: Mapping[str, Survey], splits: Mapping[str, CorpusStream], dealing: Mapping[str, int]
) -> dict[str, int]:
    """Of the user's own select and test documents, how many stand in another split; what the guards read.

    Args:
        surveys: of the files of each role.
        splits: what was made of them; those from the files of train share them by the keys.
        dealing: what was counted when documents were held out from train.
    """
    own = {role: set(survey.same) for role, survey in surveys.items() if role != "train"}
    found = {f"texts_{role}": len(keys) for role, keys in own.items()}

    def shared(role: str, other: str) -> int:
        """Documents of the user's own role that are dealt to another one."""
        if other in own:
            return len(own[role] & own[other])
        met, dealt = surveys["train"].met, splits[other].dealt
        return sum(dealt is None or dealt.has(DocumentKeys(key, met[key])) for key in own[role].intersection(met))

    found |= {f"overlap_{role}_train": shared(role, "train") for role in own}
    if "test" in own and "select" in splits:
        found["overlap_test_select"] = shared("test", "select")
    elif "select" in own and "test" in splits:
        held_out = dealing["held_out_test_documents"]
        found |= {"texts_test": held_out, "overlap_test_select": shared("select", "test")}
    return found
