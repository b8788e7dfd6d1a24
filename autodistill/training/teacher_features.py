"""Teacher features for a batch: read from the cache where they fit, computed where they do not, by one interface.

How the cache's files look is in `autodistill.training.teacher_cache`.
"""

from __future__ import annotations

import logging
import os
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import torch

from autodistill.errors import ConfigError
from autodistill.folders import InUse, directory_bytes, free_bytes
from autodistill.training.cache_plan import counts_of, keeps_likeliest, make_plan, teach
from autodistill.training.features import has_blocks
from autodistill.training.row_sets import RowSet
from autodistill.training.softened import LOGITS, MASKED_LOGITS, temperature_of, without_temperature
from autodistill.training.teacher_cache import PassWatch, TeacherCache, cache_directory, kept_bytes, write_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from autodistill.components.training import Batch, FeatureKey, Features
    from autodistill.training.tokenised import TokenisedSplit

    IntArray: TypeAlias = "NDArray[np.int64]"

_log = logging.getLogger(__name__)


class TeacherFeatures(Protocol):
    """Gives the teacher's features of a batch."""

    def get(self, batch: Batch, keys: frozenset[FeatureKey] | None = None) -> Features:
        """Features of the examples ``batch.rows``, padded as the batch is, on its device, without gradients.

        Args:
            batch: the examples.
            keys: what is wanted of what it gives; None for all. No layer above is run.
        """
        ...

    def online_steps(self, rows_at: Callable[[int], IntArray], steps: range) -> int:
        """In how many of some steps the teacher runs, as what they need is not read.

        Args:
            rows_at: step -> the rows of its batch.
            steps: which.
        """
        ...


class OnlineTeacherFeatures:
    """Runs the teacher on every batch, in its own precision whatever the student's: a cached teacher is no other.

    Args:
        teacher: is put into evaluation mode and follows the batches to their device.
        keys: features to give.
        precision: what the teacher computes in, one of `TEACHING_PRECISIONS`.
    """

    def __init__(self, teacher: PreTrainedModel, keys: frozenset[FeatureKey], precision: str = "32-true") -> None:
        self._teacher = teacher.eval()
        self._keys = keys
        self._precision = precision

    def get(self, batch: Batch, keys: frozenset[FeatureKey] | None = None) -> Features:
        """See `TeacherFeatures.get`."""
        wanted = self._keys if keys is None else keys
        if not wanted:
            return {}
        if self._teacher.device != batch.input_ids.device:
            self._teacher.to(batch.input_ids.device)
        with torch.no_grad():
            last = last_block_run(self._teacher, wanted)
            return teach(self._teacher, batch, wanted, self._precision, max_layer=last)

    def online_steps(self, rows_at: Callable[[int], IntArray], steps: range) -> int:
        """See `TeacherFeatures.online_steps`."""
        return len(steps)


def last_block_run(teacher: PreTrainedModel, keys: frozenset[FeatureKey]) -> int | None:
    """The last block of a teacher that is run for these features; None for all of them."""
    return deepest_layer(keys) if has_blocks(teacher) else None


def deepest_layer(keys: frozenset[FeatureKey]) -> int | None:
    """The last block that must be run for these features; None for all of them, as the logits need."""
    if not keys or any(temperature_of(key) is not None for key in keys):
        return None
    return max(1, *(layer or 0 for _, layer in keys))


class SelectedTeacherFeatures:
    """Some of the features that another source gives.

    Args:
        source: gives these and more.
        keys: what is wanted.
    """

    def __init__(self, source: TeacherFeatures, keys: frozenset[FeatureKey]) -> None:
        self._source = source
        self._keys = keys

    def get(self, batch: Batch, keys: frozenset[FeatureKey] | None = None) -> Features:
        """See `TeacherFeatures.get`."""
        return self._source.get(batch, self._keys if keys is None else keys)

    def online_steps(self, rows_at: Callable[[int], IntArray], steps: range) -> int:
        """See `TeacherFeatures.online_steps`."""
        return self._source.online_steps(rows_at, steps)


class PartlyCachedTeacherFeatures:
    """Reads batches that a cache holds, and runs the teacher on the others.

    Args:
        cache: of some rows.
        online: gives the features of any.
    """

    def __init__(self, cache: TeacherCache, online: OnlineTeacherFeatures) -> None:
        self._cache = cache
        self._online = online

    def get(self, batch: Batch, keys: frozenset[FeatureKey] | None = None) -> Features:
        """See `TeacherFeatures.get`."""
        source = self._cache if self._cache.holds(batch.rows.cpu().numpy()) else self._online
        return source.get(batch, keys)

    def online_steps(self, rows_at: Callable[[int], IntArray], steps: range) -> int:
        """See `TeacherFeatures.online_steps`."""
        return sum(not self._cache.holds(rows_at(step)) for step in steps)


def still_there(source: TeacherFeatures) -> bool:
    """Whether other processes can open what a source reads; if so, it counts as used just now.

    What is in use is not evicted, but people remove folders.
    """
    cache = source._cache if isinstance(source, PartlyCachedTeacherFeatures) else source
    if isinstance(cache, TeacherCache):
        try:
            os.utime(cache.directory)
        except FileNotFoundError:
            return False
    return True


def estimate_bytes(
    teacher: PreTrainedModel, split: TokenisedSplit, keys: frozenset[FeatureKey], rows: RowSet | None = None
) -> int:
    """Return the size in bytes of a cache of these features; runs the teacher on one example.

    Args:
        teacher: whose features they are.
        split: the examples.
        keys: features to keep.
        rows: examples to keep, or None for all in their first form.
    """
    counts = counts_of(split, RowSet(len(split)) if rows is None else rows)
    return make_plan(teacher, split, keys, counts).total_bytes(counts)


def cached_teacher_features(
    teacher: PreTrainedModel,
    split: TokenisedSplit,
    keys: frozenset[FeatureKey],
    cache_dir: Path,
    fingerprint: str,
    max_bytes: int,
    rows: RowSet | None,
    first_rows: RowSet | None = None,
    watch: PassWatch | None = None,
    precision: str = "32-true",
) -> TeacherFeatures:
    """Return the teacher's features, computed once for ``rows`` and shared by all processes that use ``cache_dir``.

    What would be larger than ``max_bytes`` is not written: then ``first_rows`` are, if those fit, and the teacher runs
    on every other batch.

    Args:
        teacher: whose features they are; runs where its weights are.
        split: the examples.
        keys: features to give.
        cache_dir: files are kept under ``teacher_features/<key>``.
        fingerprint: of the teacher's weights, as they are now.
        max_bytes: largest size of these files; 0 = never write.
        rows: examples that will be asked for, or None for all.
        first_rows: those of them that every run asks for, or None.
        watch: who follows the teacher's pass.
        precision: what the teacher computes in, one of `TEACHING_PRECISIONS`; other features than in float32 need
            another ``fingerprint``.

    Raises:
        ConfigError: there is room by ``max_bytes``, but not on the disk.
        StudyInterruptedError: a stop was requested.
    """
    online = OnlineTeacherFeatures(teacher, keys, precision)
    keys = _cached_keys(teacher, split, keys)
    if not keys or not len(split):
        return online
    wanted = _everything(split) if rows is None else rows
    for directory in feature_directories(teacher, split, keys, cache_dir, fingerprint, wanted):
        with suppress(FileNotFoundError):  # not there, or evicted by another process just now
            os.utime(directory)  # eviction goes by last use
            return TeacherCache(directory)
    needed = estimate_bytes(teacher, split, keys, wanted)
    if needed <= max_bytes:
        check_disk(cache_dir, needed - kept_bytes(directory))
        with closing(InUse(directory)):  # until the cache that is returned has it in use
            write_cache(directory, teacher, split, keys, wanted, watch, precision)
            return TeacherCache(directory)
    if first_rows is None:
        _log.info("Teacher features need %d bytes, more than %d: the teacher runs online.", needed, max_bytes)
        return online
    some = cached_teacher_features(
        teacher, split, keys, cache_dir, fingerprint, max_bytes, first_rows, watch=watch, precision=precision
    )
    return PartlyCachedTeacherFeatures(some, online) if isinstance(some, TeacherCache) else some


def feature_directories(
    teacher: PreTrainedModel,
    split: TokenisedSplit,
    keys: frozenset[FeatureKey],
    cache_dir: Path,
    fingerprint: str,
    rows: RowSet,
) -> tuple[Path, ...]:
    """Where `cached_teacher_features` looks, by its arguments: features of all rows, then of these, which it writes."""
    keys = _cached_keys(teacher, split, keys)
    places = (cache_directory(cache_dir, split, keys, fingerprint, some) for some in (_everything(split), rows))
    return tuple(dict.fromkeys(places))


def bytes_there(directories: Sequence[Path]) -> int:
    """Bytes that are on the disk already of what would be written into the last of `feature_directories`."""
    return max(kept_bytes(directories[-1]), *map(directory_bytes, directories))


def _everything(split: TokenisedSplit) -> RowSet:
    """All row numbers of a split."""
    return RowSet(len(split) * split.copies)


def _cached_keys(teacher: PreTrainedModel, split: TokenisedSplit, keys: frozenset[FeatureKey]) -> frozenset[FeatureKey]:
    """What a cache of these features is made for; logits that are kept whole are the same at every temperature."""
    keys = frozenset(LOGITS if key == MASKED_LOGITS else key for key in keys)
    return keys if keeps_likeliest(teacher, split) else frozenset(without_temperature(key) for key in keys)


def check_disk(cache_dir: Path, needed: int, evictable: int = 0) -> None:
    """Check that teacher features have room on the disk.

    Args:
        cache_dir: where they go.
        needed: bytes of them.
        evictable: bytes that can be freed for them.

    Raises:
        ConfigError: the disk has less.
    """
    free = free_bytes(cache_dir)
    if needed > free + evictable:
        old = f" and {evictable / 1e9:.2f} GB in entries of the cache that can be evicted" if evictable else ""
        raise ConfigError(
            f"The teacher's features need {needed / 1e9:.2f} GB in cache_dir={cache_dir}, and its disk has "
            f"{free / 1e9:.2f} GB free{old}. Free some, choose another cache_dir, or let the teacher run on every "
            "batch instead: cache_max_gb=0."
        )
