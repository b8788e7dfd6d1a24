"""Directories that appear whole, whose files are replaced without ever being gone, and facts about files."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autodistill.folders import flush_file, locked_if_free, passing_directory, private_directory, use_of


@contextmanager
def atomic_directory(directory: Path) -> Iterator[Path]:
    """Give a temporary directory whose files come to ``directory`` when the block ends without an error.

    A new directory appears as a whole. In one that was there file after file is replaced: at any moment each of them is
    the old one or the new one, whatever ends the process, since what stands there may be a model's only copy. What
    the new one does not have is removed at the end. After an error nothing of the attempt is left.
    """
    parent, prefix = private_directory(directory.parent), f".{directory.name}-"
    _remove_left(parent, prefix)
    with passing_directory(parent, prefix) as temporary:
        yield temporary
        files = sorted(path.relative_to(temporary) for path in temporary.rglob("*") if path.is_file())
        for file in files:
            flush_file(temporary / file)
        if directory.exists():
            _replace_files(temporary, directory, files)
        else:
            os.replace(temporary, directory)


def _remove_left(parent: Path, prefix: str) -> None:
    """Remove the temporary directories of processes that were killed."""
    for left in [path for path in parent.glob(f"{prefix}*") if path.is_dir()]:
        with locked_if_free(use_of(left)) as free:
            if free:
                shutil.rmtree(left, ignore_errors=True)
                use_of(left).unlink(missing_ok=True)


def _replace_files(temporary: Path, directory: Path, files: list[Path]) -> None:
    for file in files:
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        os.replace(temporary / file, directory / file)
    for path in [path for path in directory.rglob("*") if path.is_file()]:
        if path.relative_to(directory) not in files:
            path.unlink(missing_ok=True)  # another process may replace the same directory


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bytes_of(path: Path) -> int:
    """Size of a file, or of all files below a directory."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
