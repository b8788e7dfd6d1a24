"""The data source `python_docs`: tell a library by one sentence of its documentation, names masked.

Everything comes from the docstrings of libraries that autodistill itself needs, so the data set exists wherever
autodistill is installed. How sentences are found and cleaned is in `autodistill.data.docstrings`; here they become
labelled splits, and a snapshot in the cache that outlives an upgrade of the libraries.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet

from autodistill.components.task import ROLES, DataContext, TaskData, TaskSpec
from autodistill.data.docstrings import Excerpt, is_new, library_folder, library_version
from autodistill.data.harvest_worker import harvest_all
from autodistill.data.splits import stable_hash
from autodistill.errors import ConfigError, DataError
from autodistill.folders import build_once

logger = logging.getLogger(__name__)

#: Part of every fingerprint; raise it when harvesting or splitting changes.
FORMAT = "python_docs/2"

Examples = list[dict[str, Any]]


class PythonDocs:
    """Sentences from the docstrings of installed libraries; the label is the library.

    Source files, not sentences, are dealt to the splits, and a sentence of which half was met before is dropped, so
    that hardly anything like an example of ``test`` was seen in training: what may be is a short one within a much
    longer one. All libraries have the same shares of the splits.

    Args:
        context: where the snapshot is kept.
        libraries: import names of the libraries, which are the labels.
        examples_per_library: examples per library at most, all splits together.
        examples_per_file: examples from one source file at most.
        min_words: words per example at least, masked ones not counted.
        max_words: words per example at most.
        test_share: share of the examples in ``test``.
        select_share: share of the examples in ``select``.
        max_length: tokens per example at most.
        snapshot: fingerprint of an earlier snapshot to read in place of the installed libraries.
    """

    def __init__(
        self,
        context: DataContext,
        *,
        libraries: Sequence[str],
        examples_per_library: int,
        examples_per_file: int,
        min_words: int,
        max_words: int,
        test_share: float,
        select_share: float,
        max_length: int,
        snapshot: str | None,
    ) -> None:
        self.max_length = max_length
        self._folder = context.cache_dir / "python_docs"
        self._libraries = tuple(sorted(libraries))
        self._limit, self._file_limit = examples_per_library, examples_per_file
        self._words = (min_words, max_words)
        self._shares = {"test": test_share, "select": select_share}
        self._snapshot = snapshot

    def load(self) -> TaskData:
        """Return the splits, from the snapshot if there is one.

        Raises:
            DataError: a library is not installed, has too few docstrings, or the snapshot is missing or damaged.
            ConfigError: the snapshot was made with other settings.
        """
        if self._snapshot is not None:
            data = _read(self._folder / self._snapshot)
            self._check_settings(self._folder / self._snapshot)
            return data
        folder = self._folder / self._fingerprint(self._versions())
        build_once(folder, self._write)
        return _read(folder)

    def _versions(self) -> dict[str, str]:
        return {library: library_version(library) for library in self._libraries}

    def _fingerprint(self, versions: Mapping[str, str | None]) -> str:
        """Of what the data is made of, so that it is found without making it anew; `_read` checks the content."""
        key = [FORMAT, versions, self._limit, self._file_limit, self._words, self._shares]
        return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]

    def _settings(self) -> dict[str, Any]:
        """What decides the data besides the libraries' versions, by the configuration's keys."""
        return {
            "libraries": list(self._libraries),
            "examples_per_library": self._limit,
            "examples_per_file": self._file_limit,
            "min_words": self._words[0],
            "max_words": self._words[1],
            **{f"{role}_share": share for role, share in self._shares.items()},
        }

    def _check_settings(self, folder: Path) -> None:
        """Raise `ConfigError` when a snapshot was made with other settings: the data would not be what they say."""
        facts = json.loads((folder / "snapshot.json").read_text())
        made, given = facts.get("settings"), self._settings()
        if made is None:
            self._warn_of_settings(folder.name, facts["versions"])
        elif made != given:
            listed = "".join(
                f"\n  data.{name}={value}: the data has data.{name}={made.get(name)}"
                for name, value in given.items()
                if made.get(name) != value
            )
            raise ConfigError(
                f"The python_docs snapshot {folder.name!r} was made with other settings than these (the command's, or "
                f"those that the study was made with):{listed}\nEither give them as the data has them, or let other "
                "data be built: data.snapshot=null and, for a study that exists, a name of its own, study.name=NAME."
            )

    def _warn_of_settings(self, name: str, versions: Mapping[str, str]) -> None:
        """An earlier version did not write the settings down, and ignored other ones: only the fingerprint tells."""
        if self._fingerprint({library: versions.get(library) for library in self._libraries}) != name:
            logger.warning(
                "The python_docs snapshot %r was made with other data.* settings than these, by a version that did not "
                "keep them. It is used as it is; a new study.name builds data by these settings.",
                name,
            )

    def _write(self, folder: Path) -> None:
        """Write a snapshot into an empty folder."""
        splits = self._build()
        for role, examples in splits.items():
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(examples), folder / f"{role}.parquet")
        made_of = {"settings": self._settings(), "versions": self._versions()}
        facts = {"labels": list(self._libraries), **made_of, "content": _digest(splits)}
        (folder / "snapshot.json").write_text(json.dumps(facts, indent=2))

    def _build(self) -> dict[str, Examples]:
        folders = [library_folder(library) for library in self._libraries]
        seen: set[int] = set()  # shared, so that near-duplicates across libraries are dropped too
        splits: dict[str, Examples] = {role: [] for role in ROLES}
        harvested = harvest_all(folders, self._libraries, self._words, (self._limit, self._file_limit))
        for label, found in enumerate(harvested):
            excerpts = [excerpt for excerpt in found if is_new(excerpt.text, seen)]
            for role, dealt in deal(excerpts, self._shares).items():
                if not dealt:
                    raise DataError(
                        f"data.libraries: {self._libraries[label]!r} has {len(excerpts)} usable sentences in its "
                        f"docstrings, too few for a {role} split. Leave it out, or lower data.min_words."
                    )
                splits[role] += [{"text": excerpt.text, "label": label} for excerpt in dealt]
        return {role: _shuffled(splits[role], role) for role in ROLES}


def deal(excerpts: Sequence[Excerpt], shares: Mapping[str, float]) -> dict[str, list[Excerpt]]:
    """Deal excerpts to the split roles, whole groups at a time, in the order of a stable hash of the groups.

    Args:
        excerpts: of one label.
        shares: role -> share of the excerpts; the rest is ``train``.
    """
    groups: dict[str, list[Excerpt]] = {}
    for excerpt in excerpts:
        groups.setdefault(excerpt.group, []).append(excerpt)
    dealt: dict[str, list[Excerpt]] = {role: [] for role in (*shares, "train")}
    open_roles = list(shares)
    for group in sorted(groups, key=stable_hash):
        while open_roles and len(dealt[open_roles[0]]) >= shares[open_roles[0]] * len(excerpts):
            del open_roles[0]
        dealt[open_roles[0] if open_roles else "train"] += groups[group]
    return dealt


def _shuffled(examples: Examples, role: str) -> Examples:
    ordered = sorted(examples, key=lambda example: stable_hash(example["text"]))
    return [{"id": f"{role}-{row}", **example} for row, example in enumerate(ordered)]


def _digest(splits: Mapping[str, Examples]) -> str:
    rows = [[role, *row.values()] for role in ROLES for row in splits[role]]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _read(folder: Path) -> TaskData:
    """Read a snapshot and check it against its digest."""
    if not folder.is_dir():
        raise DataError(
            f"There is no python_docs snapshot {folder.name!r} in {folder.parent}. Set data.snapshot=null to build one "
            "from the installed libraries, or give the cache_dir that has it."
        )
    try:
        facts = json.loads((folder / "snapshot.json").read_text())
        splits = {role: pyarrow.parquet.read_table(folder / f"{role}.parquet").to_pylist() for role in ROLES}
        sound = _digest(splits) == facts["content"]
    except (OSError, ValueError, KeyError):
        sound = False
    if not sound:
        raise DataError(
            f"The python_docs snapshot {folder} is damaged: its content is not what was written. Delete that folder "
            "and run again; the same data is built from the installed libraries if they have not changed since."
        )
    task = TaskSpec("classification", tuple(facts["labels"]), ("text",), "classification.accuracy")
    notes = {"libraries": facts["versions"], **{f"{role}_examples": len(splits[role]) for role in ROLES}}
    return TaskData(task, {role: datasets.Dataset.from_list(splits[role]) for role in ROLES}, folder.name, notes)
