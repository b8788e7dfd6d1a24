"""Folders that are private, made by one process at a time, and whole or not there at all. Standard library only.

What is kept in them is known elsewhere: `autodistill.engine.cache`, `autodistill.training.tokenised` and
`.teacher_cache`, `autodistill.data.python_docs`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import time
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

_PRIVATE = 0o700

#: Seconds between two looks at a lock that somebody else holds.
_LOOK_EVERY = 0.2

#: What began to be in use in the innermost `ending_uses`.
_begun: ContextVar[weakref.WeakSet[InUse] | None] = ContextVar("_begun", default=None)


def private_directory(path: Path) -> Path:
    """Make a folder that only this user may enter, and those of its parents that are missing."""
    for folder in reversed([path, *path.parents]):  # Path.mkdir would give the parents the usual mode
        if not folder.exists():
            folder.mkdir(mode=_PRIVATE, exist_ok=True)
    return path


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of it."""
    private_directory(path.parent)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(json.dumps(content, indent=2, sort_keys=False, allow_nan=False, default=str) + "\n")
    os.replace(scratch, path)


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold an exclusive lock on the file ``path`` (made if need be); waits for whoever holds it.

    The lock is the kernel's and ends with its process, however that ends.

    Args:
        path: of the lock.
        waiting: called again and again while somebody else holds it; raises to wait no longer.
    """
    while True:
        with locked_if_free(path) as free:
            if free:
                yield
                return
        if waiting is not None:
            waiting()
        time.sleep(_LOOK_EVERY)


@contextlib.contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock of `locked` and yield True; yield False when somebody else holds it."""
    private_directory(path.parent)
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def scratch_of(directory: Path) -> Path:
    """Where `build_once` fills a folder; what an interrupted build left is there."""
    return directory.with_name(f".{directory.name}.partial")


def lock_of(directory: Path) -> Path:
    """The file that is locked while `build_once` builds a folder."""
    return directory.with_name(f".{directory.name}.lock")


class InUse:
    """Keeps a folder from being removed for space, from before it is built until this is closed.

    Who makes one closes it, or leaves that to the `ending_uses` around it. One that is forgotten is closed as garbage,
    which may be late: what a study holds refers to itself in cycles.

    The lock is a shared one, and another than that of `build_once`: what is lost all the same can be built anew. Like
    that one it ends with its process.

    Args:
        directory: final name of the folder; its parents are made private when they are missing.
    """

    def __init__(self, directory: Path) -> None:
        self.close: Callable[[], object] = _nothing
        with contextlib.suppress(OSError):  # where nothing can be written, nothing is removed either
            lock = os.open(
                use_of(private_directory(directory.parent) / directory.name), os.O_RDONLY | os.O_CREAT, 0o600
            )
            self.close = weakref.finalize(self, os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_SH)
        begun = _begun.get()
        if begun is not None:
            begun.add(self)


def _nothing() -> None:
    """Closes what could not be locked."""


@contextlib.contextmanager
def ending_uses() -> Iterator[None]:
    """End with the block whatever began to be `InUse` within it, whoever still refers to it; but not other threads'."""
    begun: weakref.WeakSet[InUse] = weakref.WeakSet()
    outer = _begun.set(begun)
    try:
        yield
    finally:
        _begun.reset(outer)
        for in_use in begun:
            in_use.close()


def use_of(directory: Path) -> Path:
    """The file that is locked while a folder is `InUse`."""
    return directory.with_name(f".{directory.name}.use")


@contextlib.contextmanager
def passing_directory(parent: Path, prefix: str) -> Iterator[Path]:
    """A private folder that is there for the block only, and `InUse` meanwhile.

    Unlike the system's temporary folders it may lie in a cache: nothing removes it for space while it is needed, and
    what a process that was killed has left of it goes like any other entry.

    Args:
        parent: where; made private when it is missing.
        prefix: of its name.
    """
    directory = parent / f"{prefix}{secrets.token_hex(8)}"
    in_use = InUse(directory)  # before it is there: no moment in which it could be removed
    try:
        yield private_directory(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        in_use.close()
        for left in (use_of(directory), lock_of(directory)):  # the name is never used again
            left.unlink(missing_ok=True)


def directory_bytes(path: Path) -> int:
    """Bytes of all files below a folder; files that vanish meanwhile count as nothing."""
    total = 0
    for folder, _, names in os.walk(path):  # unlike Path.rglob, goes on where a folder vanishes
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.stat(os.path.join(folder, name)).st_size
    return total


def free_bytes(path: Path) -> int:
    """Bytes that are free on the disk of ``path``, which need not exist yet."""
    there = next(folder for folder in (path, *path.resolve().parents) if folder.exists())
    return shutil.disk_usage(there).free


def build_once(
    directory: Path,
    build: Callable[[Path], None],
    *,
    resumable: bool = False,
    waiting: Callable[[], None] | None = None,
) -> Path:
    """Return ``directory``, built by ``build`` unless it is there already.

    ``build`` writes into a scratch folder beside it, which is renamed when complete: what has the final name is whole.
    Of several processes one builds and the others wait.

    Args:
        directory: final name; its parents are made private when they are missing.
        build: writes the content into the folder that it is given.
        resumable: the scratch folder of a build that failed or was killed is given to the next one; else it is
            emptied.
        waiting: see `locked`, of a process that waits for another's build.
    """
    if not directory.is_dir():
        with locked(lock_of(directory), waiting):
            if not directory.is_dir():
                _build(directory, build, resumable)
    with contextlib.suppress(OSError):
        os.utime(directory)  # recently used: whoever limits the cache's size removes the oldest first
    return directory


def _build(directory: Path, build: Callable[[Path], None], resumable: bool) -> None:
    """Build under the lock."""
    scratch = scratch_of(directory)
    if not resumable:
        shutil.rmtree(scratch, ignore_errors=True)
    try:
        build(private_directory(scratch))
        _flush(scratch)
        os.replace(scratch, directory)
    except BaseException:
        if not resumable:
            shutil.rmtree(scratch, ignore_errors=True)
        raise


def _flush(directory: Path) -> None:
    """Bring files to the disk before their folder gets its final name, so that a power cut leaves no holes."""
    for path in directory.rglob("*"):
        if path.is_file():
            flush_file(path)


def flush_file(path: Path) -> None:
    """Bring a file to the disk, so that a power cut after it has got its final name leaves no holes in it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
