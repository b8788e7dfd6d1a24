"""The worker process: ``python -m autodistill.latency.worker``, JSON lines in and out.

It holds one runtime, the reference and one candidate at a time. What libraries print goes to standard error; standard
output carries answers only. It ends when its input ends; the parent's `Lifeline` ends it also when it hangs.

Commands, each answered by one line, ``{"error": TEXT}`` when it failed:

- ``{"command": "open", "runner": "module:Class", "setup": {...}}``
- ``{"command": "reference", "path": FILE, "vocabulary": SIZE}``
- ``{"command": "measure", "path": FILE, "vocabulary": SIZE, "rule": {...}, "batches": [SIZES]}`` -> the numbers of a
  report, and under ``services`` a table of milliseconds (passes x lengths) for each batch size
- ``{"command": "predict", "path": FILE, "inputs": FILE, "outputs": FILE}``: batches and answers as in
  `autodistill.exporters.batch_files` -> ``precision`` where the runtime computes in another than it was asked for

Before its answer it may write empty lines: it is still at work.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from autodistill.exporters.batch_files import read_batches, write_answers
from autodistill.latency.machine import pin, reset_peak, resident_bytes, state
from autodistill.latency.runners import AnsweringRunner, Inputs, Runner, Setup
from autodistill.latency.statistics import MINIMUM_FOR_P99, flags, ratio, summarise
from autodistill.latency.timing import StoppingRule, Timed, measure, warm_up

#: Passes of a batch size that are told; a queue draws from them.
SERVICE_PASSES = MINIMUM_FOR_P99

#: Token ids below this are special in common vocabularies (padding, unknown) and are never sent.
FIRST_TOKEN = 2


class Worker:
    """Answers commands; its methods are the commands' names.

    Args:
        alive: tells who waits for an answer that it is being worked on.
    """

    def __init__(self, alive: Callable[[], None]) -> None:
        self._alive = alive
        self._runner: Any = None
        self._setup = Setup(batch_size=1, lengths=(), precision="fp32", threads=1, device="cpu")
        self._reference: Timed | None = None
        self._machine: dict[str, Any] = {}

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """The answer to one message; an exception becomes text."""
        try:
            command = getattr(self, message.pop("command"))
            answer: dict[str, Any] = command(**message)
        except Exception as error:
            traceback.print_exc()
            return {"error": f"{type(error).__name__}: {error}"}
        return answer

    def open(self, runner: str, setup: dict[str, Any]) -> dict[str, Any]:
        """Choose cores, runtime and workload; loads nothing yet."""
        found = state()["usable_cores"]  # before it is this worker's share
        cpus = pin(setup["threads"]) if setup["device"] == "cpu" else None
        self._machine = {"usable_cores": found, "pinned_to_cpus": cpus}
        module, name = runner.split(":")
        self._runner = getattr(import_module(module), name)
        self._setup = Setup(**{**setup, "lengths": tuple(setup["lengths"])})
        return {}

    def reference(self, path: str, vocabulary: int) -> dict[str, Any]:
        """Load the reference, to stay."""
        self._reference, _ = self._load(path, vocabulary)
        self._alive()
        warm_up(self._reference, max_seconds=1.0, alive=self._alive)
        # The libraries and the reference stay: collecting garbage before each timing need not visit them (0.2 s).
        gc.collect()
        gc.freeze()
        return {}

    def measure(self, path: str, vocabulary: int, rule: dict[str, Any], batches: Sequence[int] = ()) -> dict[str, Any]:
        """Load a candidate, time it and let it go."""
        stop = StoppingRule(**rule)
        before = reset_peak()
        candidate, runner = self._load(path, vocabulary)
        self._alive()
        candidate.time_pass()
        # Before the reference runs; the memory of a GPU only its runtime knows.
        after = resident_bytes("VmHWM") if self._setup.device == "cpu" else None
        facts = {
            "device": self._setup.device_name,
            "peak_memory_bytes": after - before if after is not None and before is not None else None,
            **runner.facts(),
        }
        self._alive()
        timed = measure(candidate, self._reference, stop, self._alive)
        numbers = summarise(timed.table, self._setup.batch_size, timed.turns)
        told = flags(timed.table, numbers["relative_half_width"], stop.target_relative_half_width)
        if self._setup.device == "cpu" and self._setup.threads > self._machine["usable_cores"]:
            told.append("oversubscribed")
        facts |= {"environment": state() | self._machine, "flags": told}
        facts["versions"] = {"python": platform.python_version(), **facts["versions"]}
        if timed.reference is not None:
            numbers["ratio_to_reference"] = ratio(timed.table, timed.reference)
        services = {size: self._service(runner, vocabulary, size, stop, len(batches)) for size in batches}
        return {**numbers, **facts, "services": services}

    def predict(self, path: str, inputs: str, outputs: str) -> dict[str, Any]:
        """Load a model, write what it answers and let it go."""
        runner: AnsweringRunner = self._runner(Path(path), self._setup)
        self._alive()
        answers = []
        for batch in read_batches(Path(inputs)):
            answers.append(runner.logits(batch))
            self._alive()
        write_answers(Path(outputs), answers)
        return {key: value for key, value in runner.facts().items() if key == "precision"}

    def _service(self, runner: Runner, vocabulary: int, size: int, rule: StoppingRule, parts: int) -> list[list[float]]:
        """Times of batches of one size: what a 99th percentile needs, else a share of one model's time."""
        requests = [runner.prepare(inputs) for inputs in requests_of(replace(self._setup, batch_size=size), vocabulary)]
        self._alive()
        share = replace(rule, max_seconds=rule.max_seconds / parts, min_requests=MINIMUM_FOR_P99)
        table = measure(Timed(runner.run, requests), None, share, self._alive).table
        rows: list[list[float]] = table[:SERVICE_PASSES].round(6).tolist()
        return rows

    def _load(self, path: str, vocabulary: int) -> tuple[Timed, Runner]:
        runner: Runner = self._runner(Path(path), self._setup)
        requests = [runner.prepare(inputs) for inputs in requests_of(self._setup, vocabulary)]
        return Timed(runner.run, requests), runner


def requests_of(setup: Setup, vocabulary: int) -> list[Inputs]:
    """One request per length: the same random tokens in every process, no padding.

    Args:
        setup: batch size and lengths.
        vocabulary: token ids are below this.
    """
    generator = np.random.default_rng(0)
    return [_request(generator, (setup.batch_size, length), vocabulary) for length in setup.lengths]


def _request(generator: np.random.Generator, shape: tuple[int, int], vocabulary: int) -> Mapping[str, Any]:
    return {
        "input_ids": generator.integers(FIRST_TOKEN, max(vocabulary, FIRST_TOKEN + 1), shape, dtype=np.int64),
        "attention_mask": np.ones(shape, dtype=np.int64),
        "token_type_ids": np.zeros(shape, dtype=np.int64),
    }


def _claim_stdout() -> BinaryIO:
    """Keep standard output for answers; whatever else writes there writes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _write(answers: BinaryIO, line: bytes) -> None:
    """Write a whole line; the file is not buffered."""
    while line:
        line = line[answers.write(line) :]


def main() -> None:
    """Answer lines of standard input until it ends."""
    answers = _claim_stdout()
    worker = Worker(lambda: _write(answers, b"\n"))
    for line in sys.stdin.buffer:
        answer = worker.answer(json.loads(line))
        _write(answers, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
