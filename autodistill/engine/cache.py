"""The shared cache on disk: content-addressed folders, locked while they are made, limited in size.

An entry is a folder ``<cache_dir>/<kind>/<key>``, built as `autodistill.folders` does.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from autodistill.folders import build_once, directory_bytes, locked_if_free

#: Kinds of entries that eviction may remove; data snapshots stay, a resume needs them.
EVICTABLE = ("teachers", "tokenised", "teacher_features", "latency")


def cache_key(parts: Mapping[str, Any]) -> str:
    """A name for content that is determined by ``parts``: 24 hexadecimal digits of their SHA-256."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def cached_directory(cache_dir: Path, kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """Return the entry, building it in a scratch folder first when it does not exist.

    Args:
        cache_dir: root of the cache.
        kind: what it is, one of `EVICTABLE` when it may be removed for space.
        key: see `cache_key`.
        build: fills the scratch folder; the folder survives a failure, so that a build can be resumed.
    """
    return build_once(cache_dir / kind / key, build, resumable=True)


def evict(cache_dir: Path, max_bytes: int, keep: Collection[Path] = ()) -> list[Path]:
    """Remove the least recently used entries until the cache fits, but none of ``keep``; returns what was removed.

    What an interrupted build has left counts as an entry too, unless somebody builds it just now.
    """
    entries = [entry for kind in EVICTABLE for entry in (cache_dir / kind).glob("*") if entry.is_dir()]
    sizes = {entry: directory_bytes(entry) for entry in entries}
    total, removed = sum(sizes.values()), []
    for entry in sorted(entries, key=_last_use):
        if total <= max_bytes:
            break
        if entry in keep or not _removed(entry):
            continue
        total -= sizes[entry]
        removed.append(entry)
    return removed


def _removed(entry: Path) -> bool:
    """Remove an entry; whether it could be: what is being built cannot."""
    if not entry.name.startswith("."):
        shutil.rmtree(entry, ignore_errors=True)
        return True
    with locked_if_free(entry.with_suffix(".lock")) as free:
        if free:
            shutil.rmtree(entry, ignore_errors=True)
        return free


def _last_use(entry: Path) -> float:
    try:
        return entry.stat().st_mtime
    except FileNotFoundError:  # another process removed it meanwhile
        return 0.0
