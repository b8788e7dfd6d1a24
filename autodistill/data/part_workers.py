"""Work on the parts of a large split in processes of their own, as many as there are cores. Standard library only.

A process is started by command line rather than by `multiprocessing`, which would import the user's script again. It
is told once what to do (a function by name and what it needs), then gets one part after another; so memory is bounded
by what one part needs, and a part that takes long holds up nobody.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import pickle
import queue
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from autodistill.errors import DataError


def cores() -> int:
    """Cores that this process may use."""
    return max(1, len(os.sched_getaffinity(0)))


def map_parts(function: str, payload: Any, parts: Iterable[int], workers: int) -> Iterator[tuple[int, Any]]:
    """Call a function for every part, in this process if there is one worker, else in several.

    Args:
        function: ``"module:name"``, called as ``name(payload, part)``; returns something JSON-able.
        payload: what it needs; pickled for our own processes.
        parts: their numbers.
        workers: processes at most.

    Yields:
        (part, result), in the order in which they are done.

    Raises:
        DataError: the function raised one; the first ends the work, however much is left.
        RuntimeError: a process failed otherwise; with its last words.
    """
    numbers = list(parts)
    if min(workers, len(numbers)) <= 1:
        for part in numbers:
            yield part, _resolve(function)(payload, part)
        return
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for part in numbers:
        waiting.put(part)
    processes = [_Process(function, payload) for _ in range(min(workers, len(numbers)))]
    try:
        with ThreadPoolExecutor(len(processes)) as pool:
            done: queue.SimpleQueue[tuple[int, Any] | Exception] = queue.SimpleQueue()
            for process in processes:
                pool.submit(_serve, process, waiting, done)
            try:
                for _ in numbers:
                    item = done.get()
                    if isinstance(item, Exception):
                        raise item
                    yield item
            except BaseException:
                for process in processes:  # nobody waits for parts that nobody needs any more
                    process.end()
                raise
    finally:
        for process in processes:
            process.close()


def _serve(
    process: _Process, waiting: queue.SimpleQueue[int], done: queue.SimpleQueue[tuple[int, Any] | Exception]
) -> None:
    """Give one process a part after another, until there are none or it fails."""
    try:
        while True:
            part = waiting.get_nowait()
            done.put((part, process.ask(part)))
    except queue.Empty:
        pass
    except Exception as error:  # it belongs to whoever waits for the parts
        done.put(error)


class _Process:
    """One worker: JSON lines in and out."""

    def __init__(self, function: str, payload: Any) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "TOKENIZERS_PARALLELISM": "false",  # the processes are the parallelism
            "OMP_NUM_THREADS": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "autodistill.data.part_workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        self._write({"function": function, "payload": base64.b64encode(pickle.dumps(payload)).decode()})

    def ask(self, part: int) -> Any:
        """The result of one part."""
        self._write({"part": part})
        stdout = self._process.stdout
        line = stdout.readline() if stdout is not None else ""
        if not line:
            code = self._process.wait()
            raise RuntimeError(
                f"A process that worked on the data ended with exit code {code}; see its last words above."
            )
        answer = json.loads(line)
        if "error" in answer:
            raise DataError(answer["error"])
        return answer["result"]

    def end(self) -> None:
        """Stop it, whatever it is doing; whoever waits for its answer then gets none."""
        self._process.terminate()

    def close(self) -> None:
        """End it."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.terminate()
        self._process.wait()

    def _write(self, message: Any) -> None:
        stdin = self._process.stdin
        if stdin is None:
            return
        try:
            stdin.write(json.dumps(message) + "\n")
            stdin.flush()
        except BrokenPipeError:
            return  # it has died; reading its answer tells


def _resolve(function: str) -> Any:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


def main() -> None:
    """Answer one part after another, until the standard input ends."""
    first = json.loads(sys.stdin.readline())
    work, payload = _resolve(first["function"]), pickle.loads(base64.b64decode(first["payload"]))
    for line in sys.stdin:
        try:
            answer = {"result": work(payload, json.loads(line)["part"])}
        except DataError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
