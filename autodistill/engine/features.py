"""Teacher features of a study: one cache for all of its architectures, or what part of it fits.

Losses of students of different depths ask for different teacher layers. Everything that any architecture asks for is
computed in one pass of the teacher where there is room; how it is kept stands in `autodistill.training.teacher_cache`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from autodistill.engine.cache import cache_key, evict, evictable_bytes
from autodistill.errors import ConfigError, OutOfMemoryTrialError, TeacherFeaturesError
from autodistill.training.devices import placed
from autodistill.training.precision import teaching_precision_of
from autodistill.training.teacher_features import (
    OnlineTeacherFeatures,
    SelectedTeacherFeatures,
    TeacherFeatures,
    bytes_there,
    cached_teacher_features,
    check_disk,
    estimate_bytes,
    feature_directories,
    still_there,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from autodistill.components.students import Dimensions
    from autodistill.components.training import FeatureKey
    from autodistill.engine.teacher import PreparedTeacher
    from autodistill.engine.workbench import Workbench
    from autodistill.training.row_sets import RowSet
    from autodistill.training.teacher_cache import PassWatch

#: Share of the cache that the features of one teacher on one data set may take; what is larger runs online.
FEATURES_SHARE = 0.5

Storing = Literal["everything", "flash", "nothing"]


@dataclass(frozen=True)
class FeaturesSize:
    """What the teacher's features would take.

    Args:
        full: bytes of what the full recipe reads.
        flash: bytes of what a flash run reads.
        room: bytes that they may take.
    """

    full: int
    flash: int
    room: int

    @property
    def stored(self) -> Storing:
        """What is cached; the rest runs online."""
        if self.full <= self.room:
            return "everything"
        return "flash" if self.flash <= self.room else "nothing"

    @property
    def bytes_stored(self) -> int:
        """Bytes on the disk."""
        return {"everything": self.full, "flash": self.flash, "nothing": 0}[self.stored]

    def __str__(self) -> str:
        told = {
            "everything": "computed once and cached",
            "flash": "cached for flash runs; the rest of the full recipe runs the teacher online",
            "nothing": "the teacher runs online",
        }
        unit, size = ("GB", 1e9) if self.full >= 1e9 else ("MB", 1e6)
        full, flash = (f"{amount / size:,.1f} {unit}" for amount in (self.full, self.flash))
        return f"{full}, {flash} of them for flash runs: {told[self.stored]}"


class StudyFeatures:
    """Gives every run the teacher's features.

    Args:
        bench: the study's shared parts.
        model: the teacher.
        dimensions: its sizes.
        key: digest of everything that made it.
    """

    def __init__(self, bench: Workbench, model: PreTrainedModel, dimensions: Dimensions, key: str) -> None:
        self._bench = bench
        self._model = model
        self._precision = teaching_precision_of(bench.settings.trainer)
        in_float32 = self._precision == "32-true"
        self._key = key if in_float32 else cache_key({"teacher": key, "precision": self._precision})
        self._all = bench.teacher_keys(dimensions, [named.architecture for named in bench.baselines(model)])
        self._sources: dict[frozenset[FeatureKey], TeacherFeatures] = {}

    @classmethod
    def of(cls, bench: Workbench, teacher: PreparedTeacher) -> StudyFeatures:
        """For a teacher that knows the task."""
        return cls(bench, teacher.model, teacher.dimensions, teacher.key)

    @property
    def _rows(self) -> RowSet:
        """Rows that full runs read; made anew where they are needed, because of a corpus they are not small."""
        return self._bench.stream.prefix(self._bench.schedule.total_examples)

    @property
    def _first_rows(self) -> RowSet:
        """Rows that flash runs read; made anew too."""
        schedule = self._bench.schedule
        # A step reads whole batches, and phases round to whole steps.
        examples = int(schedule.flash_fidelity * schedule.total_examples) + schedule.optimisation.batch_size
        return self._bench.stream.prefix(examples)

    @cached_property
    def size(self) -> FeaturesSize:
        """What the features of all architectures would take."""
        train = self._bench.train
        if not self._all:
            return FeaturesSize(0, 0, self._room)
        full, flash = (estimate_bytes(self._model, train, self._all, rows) for rows in (self._rows, self._first_rows))
        return FeaturesSize(full, flash, self._room)

    @property
    def _stored_rows(self) -> RowSet | None:
        """Rows that are cached; None where nothing is."""
        stored = self.size.stored
        if stored == "nothing":
            return None
        return self._rows if stored == "everything" else self._first_rows

    @cached_property
    def examples_stored(self) -> int:
        """Examples that the teacher runs over once, for the cache."""
        rows = self._stored_rows
        return 0 if rows is None or not self._all else len(rows)

    @cached_property
    def directories(self) -> tuple[Path, ...]:
        """Where the features of all architectures are or will be; empty where none are cached."""
        rows = self._stored_rows
        if rows is None or not self._all:
            return ()
        return feature_directories(
            self._model, self._bench.train, self._all, self._bench.settings.cache_dir, self._key, rows
        )

    @property
    def _missing_bytes(self) -> int:
        """What is still to be written."""
        return max(0, self.size.bytes_stored - bytes_there(self.directories)) if self.directories else 0

    def check(self, keep: Collection[Path] = ()) -> None:
        """Raise `ConfigError` when features are to be cached and the disk has too little for `make_room` to free.

        Args:
            keep: see `make_room`.
        """
        cache_dir = self._bench.settings.cache_dir
        check_disk(cache_dir, self._missing_bytes, evictable_bytes(cache_dir, [*keep, *self.directories]))

    def make_room(self, keep: Collection[Path]) -> None:
        """Evict what is least recently used from the cache until the features that are not there yet fit into it.

        Args:
            keep: entries of the cache that the study needs besides the features.
        """
        settings = self._bench.settings
        evict(settings.cache_dir, settings.cache_max_bytes, [*keep, *self.directories], self._missing_bytes)

    def get(self, keys: frozenset[FeatureKey], watch: PassWatch | None = None) -> TeacherFeatures:
        """Features for a run that needs ``keys``, computed now unless they are there (somebody may have removed them).

        Those of all architectures together where at least the flash runs' part fits, else the teacher runs online; a
        run that needs what no architecture of the space does has features of its own.

        Raises:
            TeacherFeaturesError: the disk, the memory or something else does not suffice for the teacher's pass.
            StudyInterruptedError: ``watch`` asked for a stop; the next call goes on.
        """
        own = not keys <= self._all
        if not own and self.size.stored == "nothing":
            return OnlineTeacherFeatures(self._model, keys, self._precision)
        shared = keys if own else self._all
        if shared not in self._sources or not still_there(self._sources[shared]):
            self._sources[shared] = self._computed(shared, watch)
        return SelectedTeacherFeatures(self._sources[shared], keys)

    def _computed(self, keys: frozenset[FeatureKey], watch: PassWatch | None) -> TeacherFeatures:
        """Features from the cache, which they are written into first."""
        settings = self._bench.settings
        try:
            with placed(self._model, self._bench.device):
                return cached_teacher_features(
                    self._model,
                    self._bench.train,
                    keys,
                    settings.cache_dir,
                    self._key,
                    self._room,
                    self._rows,
                    self._first_rows,
                    watch,
                    self._precision,
                )
        except (OSError, ConfigError, OutOfMemoryTrialError) as error:
            # Every run would fail of it: none is to be recorded as failed, the study goes on when it is mended.
            raise TeacherFeaturesError(
                f"The teacher's features could not be computed into cache_dir={settings.cache_dir}: {error} When that "
                "is mended, the same command goes on."
            ) from error

    @property
    def _room(self) -> int:
        return int(self._bench.settings.cache_max_bytes * FEATURES_SHARE)
