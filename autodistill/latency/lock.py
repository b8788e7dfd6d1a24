"""One timing at a time per device, across all processes of all users of this machine.

A lock file in the one place that all users share, whatever their folder for temporary files. The kernel holds it for as
long as somebody keeps it open: it needs no clean-up after a crash. The worker process inherits the open file, so that a
model still being timed while its parent is killed keeps the device until it has ended.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autodistill.errors import LatencyError

#: Where machines keep locks that all users may make and none may remove from another; of some the first two are root's.
PLACES = (Path("/var/lock"), Path("/run/lock"), Path("/tmp"))  # shared on purpose: opened with care below


def lock_directory() -> Path:
    """The first of `PLACES` that every user can write to; where there is none, that this process can write to.

    Which users can is told by the directory's mode, so that it is the same place for all of them, root among them.

    Raises:
        LatencyError: there is none.
    """
    own = [place for place in PLACES if place.is_dir() and os.access(place, os.W_OK | os.X_OK)]
    shared = [place for place in own if place.stat().st_mode & stat.S_IWOTH]
    for place in (*shared, *own):
        return place
    raise LatencyError(
        f"None of {', '.join(map(str, PLACES))} is a directory that can be written to: latency backends keep the locks "
        "there by which one model at a time is timed on a device. Make one of them writable."
    )


def _open(path: Path) -> int:
    """Open a lock file, made when it is not there; to be read by all, which is all that locking takes.

    Raises:
        LatencyError: something else is in its place.
    """
    try:
        # First without making it: in a shared directory kernels refuse O_CREAT on a file of another user.
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            file = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            os.fchmod(file, 0o644)  # whatever the umask
        regular = stat.S_ISREG(os.fstat(file).st_mode)
    except OSError as error:
        raise LatencyError(
            f"The lock file {path} cannot be opened: {error}. Remove it, or ask who owns it to."
        ) from error
    if not regular:
        os.close(file)
        raise LatencyError(f"{path} must be a file, by which one model at a time is timed on a device. Remove it.")
    return file


class DeviceLock:
    """The lock of one device.

    Args:
        device: ``cpu`` or ``cuda``, or the name of a foreign target.

    Raises:
        LatencyError: the lock file cannot be made or opened.
    """

    def __init__(self, device: str) -> None:
        self._file = _open(lock_directory() / f"autodistill-{device}.lock")

    def fileno(self) -> int:
        """The open file, for the worker to inherit."""
        return self._file

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the device and keep it for the time of the block."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
