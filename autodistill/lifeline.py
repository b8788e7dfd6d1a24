"""Processes that must not outlive who started them, and their ends: nothing may keep a device that nobody waits for."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO


class Lifeline:
    """A pipe that a process group is tied to: the kernel kills the group when this process is gone, however it went.

    The group reads nothing and need not run for it: also a process that hangs in native code dies. Where the kernel
    cannot do that (it takes Linux), processes end when they next read their input.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    @property
    def inherited(self) -> int:
        """The open file that the first process of the group must keep."""
        return self._read

    def tie(self, group: int) -> None:
        """Tie a process group, just started with `inherited`."""
        if hasattr(fcntl, "F_SETSIG"):
            fcntl.fcntl(self._read, fcntl.F_SETOWN, -group)
            fcntl.fcntl(self._read, fcntl.F_SETSIG, signal.SIGKILL)  # cannot be ignored, unlike SIGIO
            self._set_asynchronous(True)

    def release(self) -> None:
        """Let go: nothing happens to the group any more; may be called twice."""
        if self._read >= 0:
            self._set_asynchronous(False)
            os.close(self._read)
            os.close(self._write)
            self._read = self._write = -1

    def _set_asynchronous(self, on: bool) -> None:
        flags = fcntl.fcntl(self._read, fcntl.F_GETFL)
        fcntl.fcntl(self._read, fcntl.F_SETFL, flags | os.O_ASYNC if on else flags & ~os.O_ASYNC)


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, its group and everything that they started and did not leave to others; wait for itself."""
    import psutil

    tree = []
    with suppress(psutil.NoSuchProcess):
        tree = psutil.Process(process.pid).children(recursive=True)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for child in tree:  # a child in a session of its own is in no group of ours
        with suppress(psutil.NoSuchProcess):
            child.kill()
    process.wait()


def run_apart(
    command: Sequence[str],
    *,
    printed: IO[bytes],
    said: IO[bytes],
    environment: Mapping[str, str] | None = None,
    inherited: Sequence[int] = (),
    timeout_seconds: float | None = None,
) -> int:
    """Run a command to its end in a session of its own; it outlives neither this call nor this process.

    Ctrl-C on the terminal does not reach it but this process, which decides: a command that was interrupted must not
    pass for one that failed.

    Args:
        command: program and arguments.
        printed: takes its standard output; a file rather than a pipe, which whatever it started could hold open.
        said: takes its standard error.
        environment: of the command; this process's own when not given.
        inherited: open files that it keeps open.
        timeout_seconds: after which it is killed; None for never.

    Returns:
        Its exit status; the negative number of the signal that ended it.

    Raises:
        OSError: it cannot be started.
        subprocess.TimeoutExpired: it was killed.
    """
    lifeline = Lifeline()
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=said,
            env=environment,
            pass_fds=(*inherited, lifeline.inherited),
            start_new_session=True,
        )
        lifeline.tie(process.pid)
        try:
            return process.wait(timeout_seconds)
        except BaseException:
            kill_tree(process)
            raise
    finally:
        lifeline.release()


def text_of(file: IO[bytes]) -> str:
    """What a command wrote into a file."""
    file.seek(0)
    return file.read().decode(errors="replace")
