"""The shared cache on disk: content-addressed folders, locked while they are made, limited in size.

An entry is a folder ``<cache_dir>/<kind>/<key>``, built as `autodistill.folders` does. It is whole until it is gone:
before its files are removed it gets another name. What a running study reads stays (`autodistill.folders.InUse`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from autodistill.folders import (
    build_once,
    directory_bytes,
    free_bytes,
    lock_of,
    locked_if_free,
    scratch_of,
    use_of,
)

#: Kinds of entries that eviction may remove, and that count: what can be made again. Snapshots of data stay, a resume
#: needs them: installed libraries and data sets of the hub change, and the hub is not always there.
EVICTABLE = ("teachers", "tokenised", "teacher_features", "latency")

#: End of the name that an entry has while it is removed.
_DOOMED = ".evicted"


def cache_key(parts: Mapping[str, Any]) -> str:
    """A name for content that is determined by ``parts``: 24 hexadecimal digits of their SHA-256."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def cached_directory(
    cache_dir: Path,
    kind: str,
    key: str,
    build: Callable[[Path], None],
    waiting: Callable[[], None] | None = None,
) -> Path:
    """Return the entry, building it in a scratch folder first when it does not exist.

    Args:
        cache_dir: root of the cache.
        kind: what it is, one of `EVICTABLE` when it may be removed for space.
        key: see `cache_key`.
        build: fills the scratch folder; the folder survives a failure, so that a build can be resumed.
        waiting: see `autodistill.folders.locked`, of a process that waits for another's build.
    """
    return build_once(cache_dir / kind / key, build, resumable=True, waiting=waiting)


def evict(cache_dir: Path, max_bytes: int, keep: Collection[Path] = (), needed: int = 0) -> list[Path]:
    """Remove the least recently used entries until the rest fits, but none that is in use; returns what was removed.

    What an interrupted build has left counts as an entry too, unless somebody builds it just now. What an eviction that
    was killed has left is removed in any case.

    What stays counts too. Where that alone is above the limit, everything else goes and the limit is exceeded by as
    little as can be: were the others left then, the cache would grow without end where one study reads more than the
    limit in every run, or where that is 0.

    Args:
        cache_dir: root of the cache.
        max_bytes: of all entries that may be removed.
        keep: entries that stay, finished or not.
        needed: bytes that are to be written next: the cache shall have room for them, and so shall its disk.
    """
    for kind in EVICTABLE:
        for doomed in (cache_dir / kind).glob(f".*{_DOOMED}"):
            _removed(doomed)
    sizes = _sizes(cache_dir)
    total, removed = sum(sizes.values()), []
    limit = min(max_bytes, total + free_bytes(cache_dir)) - needed
    kept = _kept(keep)
    for entry in sorted(sizes, key=_last_use):
        if total <= limit:
            break
        if entry not in kept and _removed(entry):
            total -= sizes[entry]
            removed.append(entry)
    return removed


def evictable_bytes(cache_dir: Path, keep: Collection[Path] = ()) -> int:
    """Bytes that `evict` could free at most, with its arguments."""
    kept = _kept(keep)
    return sum(size for entry, size in _sizes(cache_dir).items() if entry not in kept and not _in_use(entry))


def _sizes(cache_dir: Path) -> dict[Path, int]:
    """Bytes of all entries that may be removed."""
    entries = [entry for kind in EVICTABLE for entry in (cache_dir / kind).glob("*") if entry.is_dir()]
    return {entry: directory_bytes(entry) for entry in entries}


def _kept(keep: Collection[Path]) -> set[Path]:
    """Entries, and what unfinished builds of them are called."""
    return {*keep, *map(scratch_of, keep)}


def _in_use(entry: Path) -> bool:
    with locked_if_free(use_of(entry)) as free:
        return not free


def _removed(entry: Path) -> bool:
    """Remove an entry; whether it could be: what is being built or in use cannot."""
    final = not entry.name.startswith(".")
    with ExitStack() as locks:
        free = locks.enter_context(locked_if_free(lock_of(entry) if final else entry.with_suffix(".lock")))
        free = free and (not final or locks.enter_context(locked_if_free(use_of(entry))))
        if free and final:
            doomed = entry.with_name(f".{entry.name}{_DOOMED}")
            shutil.rmtree(doomed, ignore_errors=True)
            with contextlib.suppress(FileNotFoundError):  # another process removed it meanwhile
                os.replace(entry, doomed)
            entry = doomed
        if free:
            shutil.rmtree(entry, ignore_errors=True)
        return free


def _last_use(entry: Path) -> float:
    try:
        return entry.stat().st_mtime
    except FileNotFoundError:  # another process removed it meanwhile
        return 0.0
