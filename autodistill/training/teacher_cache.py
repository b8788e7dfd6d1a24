"""The files of cached teacher features: written in one pass of the teacher, gone on with when that was interrupted.

What is stored of each feature stands in `autodistill.training.cache_plan` and `.stored_features`; who decides what is
cached is `.teacher_features`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from autodistill.errors import StudyInterruptedError
from autodistill.folders import InUse, build_once, directory_bytes, flush_file, scratch_of
from autodistill.training.arrays import ArrayWriter
from autodistill.training.batches import on_device
from autodistill.training.cache_plan import CachePlan, compute, counts_of, derive, make_plan, needed, ordered
from autodistill.training.health import give_back_memory, halved
from autodistill.training.stored_features import OutOfRangeError, StoredForm, form_of
from autodistill.training.waiting import WhileAnotherWorks

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from autodistill.components.training import Batch, FeatureKey, Features
    from autodistill.training.row_sets import RowSet
    from autodistill.training.tokenised import TokenisedSplit

    IntArray: TypeAlias = "NDArray[np.int64]"

#: Changes when the files' layout does.
FORMAT = 4

#: Examples per forward pass of the teacher at most.
BATCH_SIZE = 64

#: Outputs of a vocabulary per forward pass at most: 256 MB in float32.
LARGEST_OUTPUT = 2**26

#: Forward passes between two savings of an unfinished cache.
SAVE_EVERY = 16

#: How far an unfinished cache is.
PROGRESS = "progress.json"


def cache_directory(
    cache_dir: Path, split: TokenisedSplit, keys: frozenset[FeatureKey], fingerprint: str, rows: RowSet
) -> Path:
    """Return where the features of these rows are kept.

    Args:
        cache_dir: of the study.
        split: the examples.
        keys: features kept.
        fingerprint: of the teacher.
        rows: of the examples.
    """
    row_digest = hashlib.sha256()
    for piece in rows.pieces():
        row_digest.update(piece.astype("<i8", copy=False).tobytes())
    parts = [FORMAT, fingerprint, split.fingerprint, ordered(keys), row_digest.hexdigest()]
    return cache_dir / "teacher_features" / hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class PassWatch:
    """Who follows a pass of the teacher over many examples.

    Args:
        progress: called after every forward pass with (examples done, examples in all), or None.
        stop_requested: asked after every forward pass; True saves what is done and ends the pass. None: never.
    """

    progress: Callable[[int, int], None] | None = None
    stop_requested: Callable[[], bool] | None = None


def kept_bytes(directory: Path) -> int:
    """Bytes that are on the disk of a cache, also of one that is not finished."""
    return directory_bytes(directory) or directory_bytes(scratch_of(directory))


def write_cache(
    directory: Path,
    teacher: PreTrainedModel,
    split: TokenisedSplit,
    keys: frozenset[FeatureKey],
    rows: RowSet,
    watch: PassWatch | None = None,
    precision: str = "32-true",
) -> None:
    """Compute and publish the features of ``rows``; ``precision``: what the teacher computes in.

    Of several processes one writes and the others wait. A process that is killed leaves a scratch folder under another
    name, with which the next one goes on from the last saving; nobody reads it. See `build_once`.

    Raises:
        StudyInterruptedError: a stop was requested; the next call goes on from there.
    """
    follower = watch or PassWatch()

    def build(scratch: Path) -> None:
        plan = make_plan(teacher, split, keys, counts_of(split, rows))
        writer = _CacheWriter(scratch, teacher, split, plan, _longest_first(split, rows), follower, precision)
        wide = set[str]()
        while True:
            try:
                return writer.write(wide)
            except OutOfRangeError as error:  # of another file each time: a wider form takes every value
                wide.add(error.name)

    waiting = WhileAnotherWorks("computes the teacher's features", follower.stop_requested)
    build_once(directory, build, resumable=True, waiting=waiting)


def _longest_first(split: TokenisedSplit, rows: RowSet) -> IntArray:
    """The row numbers in an order in which batches are hardly padded."""
    numbers = rows.numbers()
    return numbers[np.argsort(-split.lengths_of(numbers), kind="stable")]


class _CacheWriter:
    """Fills a folder; goes on with what is in it.

    Args:
        directory: the folder.
        teacher: runs where its weights are.
        split: the examples.
        plan: what is stored.
        order: rows in the order of the files.
        watch: who follows.
        precision: what the teacher computes in.
    """

    def __init__(
        self,
        directory: Path,
        teacher: PreTrainedModel,
        split: TokenisedSplit,
        plan: CachePlan,
        order: IntArray,
        watch: PassWatch,
        precision: str,
    ) -> None:
        self._directory = directory
        self._teacher = teacher
        self._split = split
        self._plan = plan
        self._order = order
        self._watch = watch
        self._precision = precision
        self._most = BATCH_SIZE

    def write(self, wide: Collection[str] = ()) -> None:
        """Write everything that is not there yet.

        Args:
            wide: names of files that need the larger range of values, besides those that an unfinished cache says.

        Raises:
            OutOfRangeError: a value does not fit.
            OutOfMemoryTrialError: memory does not suffice for one example at a time.
            StudyInterruptedError: a stop was requested.
        """
        kept = self._read_progress()
        if not set(wide) <= set(kept["wide"]):
            kept = {"done": 0, "wide": sorted({*wide, *kept["wide"]}), "rows": {}}
            (self._directory / PROGRESS).unlink(missing_ok=True)  # it tells of rows that are written anew
        forms = [form if set(form.files).isdisjoint(kept["wide"]) else form.wider() for form in self._plan.forms]
        with ExitStack() as stack:
            writers = {
                name: stack.enter_context(
                    ArrayWriter(self._directory / name, dtype, keep_rows=kept["rows"].get(name, 0))
                )
                for form in forms
                for name, dtype in form.files.items()
            }
            start, passes = kept["done"], 0
            while start < len(self._order):
                part = self._append(writers, forms, start)
                start, passes = start + len(part), passes + 1
                stopping = self._stops_at(start)
                if stopping or passes % SAVE_EVERY == 0:
                    self._save_progress(start, kept["wide"], writers)
                if stopping:
                    raise StudyInterruptedError(
                        f"Interrupted after {start} of the {len(self._order)} examples whose features the teacher "
                        "computes; they are kept."
                    )
        self._finish(forms)

    def _stops_at(self, done: int) -> bool:
        """Tell how many examples are done; whether the pass is to end here."""
        if self._watch.progress is not None:
            self._watch.progress(done, len(self._order))
        return self._watch.stop_requested is not None and self._watch.stop_requested()

    def _batch_size(self, start: int, forms: Iterable[StoredForm]) -> int:
        """Examples of the pass that begins here: fewer where vocabularies are large."""
        tokens = int(self._split.lengths_of(self._order[start : start + 1])[0])
        outputs = max(1, *(form.outputs for form in forms))
        return max(1, min(self._most, LARGEST_OUTPUT // (tokens * outputs)))

    def _append(self, writers: dict[str, ArrayWriter], forms: Iterable[StoredForm], start: int) -> IntArray:
        """Compute the rows from here on, as many as memory has room for, add them to the files, and tell which."""
        while True:
            rows = self._order[start : start + self._batch_size(start, forms)]
            try:
                encoded = self._encoded(forms, rows)
                break
            except Exception as error:
                self._most = halved(len(rows), error, "the teacher computed the features of")
            give_back_memory()
        for arrays in encoded:
            for name, array in arrays.items():
                writers[name].append(array)
        return rows

    def _encoded(self, forms: Iterable[StoredForm], rows: IntArray) -> list[Mapping[str, NDArray[Any]]]:
        """What a pass over some rows adds to the files.

        All of it before any file grows, so that a value out of range leaves the files as they were.
        """
        batch = on_device(self._split.batch(rows), self._teacher.device)
        values = compute(self._teacher, batch, (form.asked for form in forms), self._precision)
        with torch.inference_mode():
            return [form.encode(values[form.asked], batch) for form in forms]

    def _read_progress(self) -> dict[str, Any]:
        """Where an interrupted process was; at the beginning where that cannot be read, as after a loss of power."""
        nothing = {"done": 0, "wide": [], "rows": {}}
        try:
            progress = json.loads((self._directory / PROGRESS).read_text())
        except (FileNotFoundError, ValueError):
            return nothing
        return progress if isinstance(progress, dict) and progress.keys() == nothing.keys() else nothing

    def _save_progress(self, done: int, wide: Collection[str], writers: dict[str, ArrayWriter]) -> None:
        """First the data, then how much of it there is: whatever comes between loses a pass, never mixes two."""
        rows = {name: writer.save() for name, writer in writers.items()}
        scratch = self._directory / f"{PROGRESS}.new"
        scratch.write_text(json.dumps({"done": done, "wide": list(wide), "rows": rows}))
        flush_file(scratch)
        os.replace(scratch, self._directory / PROGRESS)

    def _finish(self, forms: Iterable[StoredForm]) -> None:
        """Write what describes the files."""
        np.save(self._directory / "rows.npy", self._order)
        np.save(self._directory / "lengths.npy", self._split.lengths_of(self._order))
        described = {"keys": [list(key) for key in self._plan.keys], "forms": [form.describe() for form in forms]}
        (self._directory / "meta.json").write_text(json.dumps(described))
        (self._directory / PROGRESS).unlink(missing_ok=True)


class TeacherCache:
    """Reads what `write_cache` wrote.

    Small to pickle: another process maps the same files.

    Args:
        directory: of the cache.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._in_use = InUse(directory)
        order = np.load(directory / "rows.npy", allow_pickle=False)
        lengths = np.load(directory / "lengths.npy", allow_pickle=False)
        self._sorting = np.argsort(order)
        self._sorted_rows = order[self._sorting]
        meta = json.loads((directory / "meta.json").read_text())
        self._keys: frozenset[FeatureKey] = frozenset((name, layer) for name, layer in meta["keys"])
        forms = [form_of(description) for description in meta["forms"]]
        self._readers = {key: reader for form in forms for key, reader in form.open(directory, lengths).items()}

    def get(self, batch: Batch, keys: frozenset[FeatureKey] | None = None) -> Features:
        """See `autodistill.training.teacher_features.TeacherFeatures.get`.

        Raises:
            KeyError: a row that the cache was not built for.
        """
        wanted = self._keys if keys is None else keys
        places = self._places(batch.rows.cpu().numpy())
        stored = {key: self._readers[key].padded(places, batch) for key in needed(wanted, frozenset(self._readers))}
        return derive(wanted, stored, batch)

    def online_steps(self, rows_at: Callable[[int], IntArray], steps: range) -> int:
        """See `autodistill.training.teacher_features.TeacherFeatures.online_steps`."""
        return 0

    def holds(self, rows: IntArray) -> bool:
        """Whether all of these rows are kept."""
        return np.array_equal(self._sorted_rows[self._nearest(rows)], rows)

    def _nearest(self, rows: IntArray) -> IntArray:
        """Where rows stand among the sorted ones, or would stand."""
        nearest: IntArray = np.searchsorted(self._sorted_rows, rows).clip(max=len(self._sorted_rows) - 1)
        return nearest

    def _places(self, rows: IntArray) -> IntArray:
        """Positions of rows in the files."""
        found = self._nearest(rows)
        if not np.array_equal(self._sorted_rows[found], rows):
            missing = rows[self._sorted_rows[found] != rows][0]
            raise KeyError(f"Row {missing} is not in the teacher cache {self.directory}, which holds {len(self)} rows.")
        places: IntArray = self._sorting[found]
        return places

    def __len__(self) -> int:
        return len(self._sorted_rows)

    def __reduce__(self) -> tuple[type[TeacherCache], tuple[Path]]:
        return TeacherCache, (self.directory,)
