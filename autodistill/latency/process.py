"""The parent's end of a worker process: start it, ask it, notice when it died or hangs."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import IO, Any

from autodistill.exporters.onnx_session import package_environment
from autodistill.lifeline import Lifeline, kill_tree

#: Lines of the worker's standard error that an error shows.
SHOWN_LINES = 8

#: Seconds that a worker gets to end by itself after its input was closed.
PATIENCE_SECONDS = 2.0

#: What numerical libraries read for their number of threads.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class WorkerError(RuntimeError):
    """A worker that refused, died or hung; `dead` unless it only refused."""

    def __init__(self, message: str, *, dead: bool) -> None:
        super().__init__(message)
        self.dead = dead


class WorkerProcess:
    """``python -m autodistill.latency.worker`` with a fixed number of threads, in a session of its own.

    Args:
        threads: for the environment variables of numerical libraries.
        inherited: open files that the worker keeps open.
    """

    def __init__(self, threads: int, inherited: Sequence[int] = ()) -> None:
        environment = package_environment() | dict.fromkeys(THREAD_VARIABLES, str(threads))
        environment |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._lifeline = Lifeline()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "autodistill.latency.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment,
            pass_fds=(*inherited, self._lifeline.inherited),
            start_new_session=True,  # Ctrl-C reaches the parent, which decides
        )
        self._lifeline.tie(self._process.pid)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def ask(self, message: dict[str, Any], timeout_seconds: float) -> dict[str, Any]:
        """Send one command and return the answer.

        Args:
            message: the command.
            timeout_seconds: for which the worker may be silent.

        Raises:
            WorkerError: it answered with an error, died, or has been silent for too long.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None
        answer: dict[str, Any] = json.loads(self._read_answer(timeout_seconds))
        if "error" in answer:
            raise WorkerError(answer["error"], dead=False)
        return answer

    def _read_answer(self, timeout_seconds: float) -> bytes:
        """The first line that is not empty; an empty one says that the worker is alive."""
        assert self._process.stdout is not None
        file, line = self._process.stdout.fileno(), b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([file], [], [], timeout_seconds)
            if not ready:
                raise WorkerError(
                    f"its worker has not answered for {timeout_seconds:g} s.{self._last_words()}", dead=True
                )
            part = os.read(file, 2**16)  # any size will do: answers are a few hundred bytes
            if not part:
                raise self._death()
            line = (line + part).lstrip(b"\n")
        return line

    def _death(self) -> WorkerError:
        status = self._process.wait()
        if status < 0:
            name = signal.Signals(-status).name
            cause = f"was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
        else:
            cause = f"ended with exit status {status}"
        return WorkerError(f"its worker {cause}.{self._last_words()}", dead=True)

    def _last_words(self) -> str:
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()[-SHOWN_LINES:]
        return "\nLast lines of its standard error:\n  " + "\n  ".join(lines) if lines else ""

    def close(self) -> None:
        """End the process: close its input, kill it when it does not end; may be called twice."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            try:
                self._process.stdin.close()
            except BrokenPipeError:  # it died with a command unread; there is nothing left to say to it
                self._process.kill()
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            kill_tree(self._process)
        self._lifeline.release()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._stderr.close()
