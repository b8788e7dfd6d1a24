"""One timing at a time per device, across all processes of this user on this machine.

A lock file in a private runtime directory, locked by the kernel for as long as somebody holds it open: it needs no
clean-up after a crash. The worker process inherits the open file, so that a model still being timed while its parent
is killed keeps the device until it has ended.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autodistill.errors import LatencyError


def runtime_directory() -> Path:
    """``autodistill-<uid>`` below the temporary directory, made 0700.

    Raises:
        LatencyError: somebody else owns it or may write into it.
    """
    directory = Path(tempfile.gettempdir()) / f"autodistill-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    status = directory.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022 or directory.is_symlink():
        raise LatencyError(
            f"{directory} must be a directory that only you can write to: latency backends keep their locks there. "
            f"Remove it, or point TMPDIR somewhere else."
        )
    return directory


class DeviceLock:
    """The lock of one device.

    Args:
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, device: str) -> None:
        path = runtime_directory() / f"{device}.lock"
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

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
