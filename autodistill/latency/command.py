"""The ``command`` latency backend: a script of the user's times the exported model where AutoDistill cannot.

The script is started with the paths of the model and of a JSON file that says what to run (`workload`, and the
``vocabulary`` that token ids must stay below), and prints one JSON object as its last line::

    {"samples_ms": [[3.1, 5.2], [3.0, 5.1]], "device": "Pixel 9", "versions": {"tflite": "2.17"}}

``samples_ms`` is passes x lengths, milliseconds per request; or it prints ``median_ms`` with, if it likes, ``n``,
``p90_ms`` and ``p99_ms``. ``peak_memory_bytes`` is optional. For offered load it adds ``services``: batch size ->
passes x lengths, for the batch sizes that the workload file lists under ``batch_sizes``, with at least
``requests_of_each`` requests; with fewer there is no number that rests on a 99th percentile.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Unpack

import numpy as np

from autodistill.components.architecture import Architecture
from autodistill.components.latency import LatencyContext, LatencyKind, LatencyReport, LatencySubject
from autodistill.errors import ConfigError, ExportError, LatencyError
from autodistill.exporters.files import sha256_of
from autodistill.exporters.huggingface import save_pretrained, weights_digest
from autodistill.exporters.onnx_export import export_onnx
from autodistill.folders import passing_directory
from autodistill.latency.configs import WorkloadOptions
from autodistill.latency.load import batch_sizes, under_load
from autodistill.latency.lock import DeviceLock
from autodistill.latency.process import SHOWN_LINES
from autodistill.latency.session import service_of
from autodistill.latency.statistics import MINIMUM_FOR_P99, flags, median_request, ratio, summarise
from autodistill.latency.subjects import SMALL_VOCABULARY, build, check_positions, stored_config, workload_of
from autodistill.lifeline import run_apart, text_of

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

#: An interval of the median that is wider than this is flagged, as where AutoDistill measures itself.
WANTED_HALF_WIDTH = 0.02

#: Age at which a timing of the reference counts no longer: a device heats up, and other things begin to run on it.
REFERENCE_SECONDS = 300.0


class CommandLatency:
    """Runs the script for every model and reads what it prints.

    Fields as in `autodistill.latency.configs.CommandConfig`. The reference is not timed in turn, but again whenever its
    last timing is `REFERENCE_SECONDS` old: a ratio is of two timings that are near each other.

    Raises:
        ConfigError: the program of the command is not there.
    """

    kind: LatencyKind = "measured"

    def __init__(
        self,
        context: LatencyContext,
        *,
        command: Sequence[str],
        format: str,
        precision: str,
        device: str,
        threads: int,
        timeout_seconds: float,
        opset: int,
        **options: Unpack[WorkloadOptions],
    ) -> None:
        if shutil.which(command[0]) is None:
            raise ConfigError(
                f"latency.{context.label}.command must start with a program that can be run here, got {command[0]!r}: "
                "there is none of that name in PATH or at that path, or it may not be executed."
            )
        self.workload = workload_of(context, options, precision=precision, threads=threads, device=device)
        self._context = context
        self._command = list(command)
        self._format = format
        self._timeout_seconds = timeout_seconds
        self._opset = opset
        self._reference: FloatArray | float | None = None
        self._reference_told = 0.0

    @property
    def takes(self) -> frozenset[str]:
        """The format of given files that the script runs."""
        return frozenset({self._format})

    def measure(self, subject: LatencySubject) -> LatencyReport:
        """Let the script time one model.

        Raises:
            LatencyError: the model cannot be exported; the script cannot be started, fails, hangs, or prints something
                else than it should.
            ConfigError: the workload is longer than the model's positions.
        """
        reference = self._near_reference()
        times, numbers = self._timed(subject)
        if reference is not None:
            numbers["ratio_to_reference"] = _ratio(times, reference)
        return LatencyReport(
            backend="command",
            kind="measured",
            precision=self.workload.precision,
            workload=self.workload.as_dict(),
            threads=self.workload.threads,
            **numbers,
        )

    def estimate(self, architectures: Sequence[Architecture]) -> Mapping[str, tuple[FloatArray, FloatArray]] | None:
        """None: nobody knows before the script has run."""
        return None

    def close(self) -> None:
        """Forget the reference."""
        self._reference = None

    def _near_reference(self) -> FloatArray | float | None:
        """A timing of the reference that is not old; None without a reference."""
        if self._context.reference is None:
            return None
        if self._reference is None or time.monotonic() - self._reference_told >= REFERENCE_SECONDS:
            self._reference, _ = self._timed(self._context.reference)
            self._reference_told = time.monotonic()
        return self._reference

    # -- the model's files ---------------------------------------------------------------------------------------

    @contextmanager
    def _files(self, subject: LatencySubject) -> Iterator[tuple[Path, int, str | None]]:
        """(path, vocabulary, digest of given weights) of the model in the format that the script takes."""
        given = subject.artifacts.get(self._format)
        if given is not None:
            config = stored_config(given if given.is_dir() else given.parent)
            check_positions(config, subject, self._context, self.workload)
            digest = weights_digest(given) if given.is_dir() else sha256_of(given)
            yield given, config.get("vocab_size", SMALL_VOCABULARY), digest
            return
        model = build(subject, self._context, self.workload)
        with passing_directory(self._context.work_dir, "command-") as folder:
            path = folder / ("model.onnx" if self._format == "onnx" else "model")
            if self._format == "onnx":
                export_onnx(model, path, opset=self._opset)
            else:
                save_pretrained(model, path)
            yield path, getattr(model.config, "vocab_size", SMALL_VOCABULARY), None

    def _timed(self, subject: LatencySubject) -> tuple[FloatArray | float, dict[str, Any]]:
        """(samples or the median, fields of the report)."""
        try:
            with self._files(subject) as (model, vocabulary, digest), tempfile.TemporaryDirectory() as folder:
                workload = Path(folder, "workload.json")
                load = self.workload.load
                asked: dict[str, Any] = {}
                if load is not None:
                    asked = {"batch_sizes": batch_sizes(load), "requests_of_each": MINIMUM_FOR_P99}
                content = {**self.workload.as_dict(), "vocabulary": vocabulary, **asked}
                workload.write_text(json.dumps(content) + "\n")
                lock = DeviceLock(self.workload.device)
                try:
                    with lock.held():
                        printed = self._run(subject, model.resolve(), workload, lock.fileno())
                finally:
                    lock.close()
        except ExportError as error:
            raise LatencyError(self._failed(subject, str(error))) from error
        times, numbers = self._read(subject, printed)
        return times, {**numbers, "artifact_sha256": digest}

    # -- the script ----------------------------------------------------------------------------------------------

    def _run(self, subject: LatencySubject, model: Path, workload: Path, lock: int) -> str:
        files = {"{model}": str(model), "{workload}": str(workload)}
        named = any(mark in part for part in self._command for mark in files)
        command = self._command if named else [*self._command, *files]
        for mark, path in files.items():
            command = [part.replace(mark, path) for part in command]
        with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as said:
            code = self._ended(subject, command, printed, said, lock)
            if code:
                cause = f"was ended by signal {-code}" if code < 0 else f"ended with exit status {code}"
                raise LatencyError(self._failed(subject, f"{command[0]} {cause}.{_last(said)}"))
            return text_of(printed)

    def _ended(
        self, subject: LatencySubject, command: list[str], printed: IO[bytes], said: IO[bytes], lock: int
    ) -> int:
        """Run the command to its end; returns its exit status."""
        try:
            # What outlives this process all the same keeps its device: it inherits the lock.
            limit = self._timeout_seconds
            return run_apart(command, printed=printed, said=said, inherited=[lock], timeout_seconds=limit)
        except OSError as error:
            raise LatencyError(self._failed(subject, f"{command[0]} cannot be started: {error}")) from error
        except subprocess.TimeoutExpired:
            reason = f"{command[0]} has not ended after {limit:g} s and was killed.{_last(said)}"
            raise LatencyError(self._failed(subject, reason)) from None

    def _failed(self, subject: LatencySubject, reason: str) -> str:
        return f"Latency backend {self._context.label!r} could not time {subject.name}: {reason}"

    def _read(self, subject: LatencySubject, printed: str) -> tuple[FloatArray | float, dict[str, Any]]:
        lines = printed.strip().splitlines()
        try:
            answer = json.loads(lines[-1]) if lines else None
            if not isinstance(answer, dict):
                raise ValueError("no JSON object")
            return self._numbers(answer)
        except ValueError as error:
            last = f", got {lines[-1][:200]!r}" if lines else ", got nothing"
            reason = (
                f"{self._command[0]} must print one JSON object with samples_ms or median_ms as its last line"
                f"{last}: {error}. See docs/latency.md."
            )
            raise LatencyError(self._failed(subject, reason)) from error

    def _numbers(self, answer: Mapping[str, Any]) -> tuple[FloatArray | float, dict[str, Any]]:
        """Fields of the report; `ValueError` when something is not as it should be."""
        times: FloatArray | float
        if "samples_ms" in answer:
            times = _table(answer["samples_ms"], len(self.workload.lengths), "samples_ms")
            numbers = summarise(times, self.workload.batch_size)
            numbers["flags"] = flags(times, numbers["relative_half_width"], WANTED_HALF_WIDTH)
        else:
            times, numbers = self._summary(answer)
        peak = answer.get("peak_memory_bytes")
        numbers["peak_memory_bytes"] = None if peak is None else int(_positive(peak, "peak_memory_bytes"))
        numbers["device"] = str(answer.get("device", self.workload.device))
        versions = answer.get("versions", {})
        if not isinstance(versions, dict):
            raise ValueError(f"versions must be a mapping, got {versions!r}")
        numbers["versions"] = {str(name): str(value) for name, value in versions.items()}
        load = self.workload.load
        if load is not None:
            given = answer.get("services")
            sizes = batch_sizes(load)
            if not isinstance(given, dict) or any(str(size) not in given for size in sizes):
                raise ValueError(f"services must have the batch sizes {', '.join(map(str, sizes))}")
            width = len(self.workload.lengths)
            tables = {size: _table(given[str(size)], width, f"services.{size}").tolist() for size in sizes}
            numbers |= under_load(service_of(self.workload.lengths, tables), load, numbers["flags"])
        return times, numbers

    def _summary(self, answer: Mapping[str, Any]) -> tuple[float, dict[str, Any]]:
        median = _positive(answer.get("median_ms"), "median_ms")
        n = None if answer.get("n") is None else int(_positive(answer["n"], "n"))
        found: dict[str, Any] = {"median": median, "n": n, "throughput": self.workload.batch_size / median * 1000}
        found["flags"] = ["imprecise"]  # without samples there is no interval
        for name in ("p90", "p99"):
            value = answer.get(f"{name}_ms")
            if value is not None and _positive(value, f"{name}_ms") < median:
                raise ValueError(f"{name}_ms must not be below median_ms, got {value} and {median}")
            found[name] = value
        if n is None or n < MINIMUM_FOR_P99:  # a 99th percentile of fewer is noise
            found["p99"] = None
        return median, found


def _ratio(times: FloatArray | float, reference: FloatArray | float) -> float:
    """Relative to the reference; of medians where the script told no samples of one of them."""
    if isinstance(times, float) or isinstance(reference, float):
        median, other = (item if isinstance(item, float) else median_request(item) for item in (times, reference))
        return median / other
    return ratio(times, reference)


def _table(given: Any, width: int, name: str) -> FloatArray:
    try:
        table = np.array(given, dtype=float)
    except (TypeError, ValueError):
        table = np.empty(0)
    if table.ndim != 2 or table.shape[1] != width or not len(table):
        raise ValueError(f"{name} must be passes x {width} lengths of numbers")
    if not (np.isfinite(table) & (table > 0)).all():
        raise ValueError(f"{name} must hold milliseconds > 0")
    return table


def _positive(value: Any, name: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value <= 0:
        raise ValueError(f"{name} must be a number > 0, got {value!r}")
    return float(value)


def _last(said: IO[bytes]) -> str:
    lines = text_of(said).strip().splitlines()[-SHOWN_LINES:]
    return "\nLast lines of its standard error:\n  " + "\n  ".join(lines) if lines else ""
