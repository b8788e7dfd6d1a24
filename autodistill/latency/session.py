"""A measuring session: one worker process, started when first needed, restarted after many models or a failure.

A measuring backend says how a subject becomes files (`Artifact`) and which runner loads them; the rest is here: the
reference, which is prepared once and timed in turn with every model, the device's lock, and the report.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autodistill.components.latency import LatencyContext, LatencyReport, LatencySubject, Load, Precision, Workload
from autodistill.errors import LatencyError
from autodistill.exporters.batch_files import read_answers, write_batches
from autodistill.latency.load import Service, batch_sizes, under_load
from autodistill.latency.lock import DeviceLock
from autodistill.latency.machine import device_name
from autodistill.latency.process import WorkerError, WorkerProcess
from autodistill.latency.runners import Setup
from autodistill.latency.timing import StoppingRule

#: Batches that the worker answers at a time: in between a user's Ctrl-C is heard, and other studies may time.
ANSWERED_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Artifact:
    """Files that a runner loads.

    Args:
        path: file or directory.
        vocabulary: token ids are below this.
        precision: what the weights really are.
        sha256: of given weights; None for random ones, of which nobody will ask.
    """

    path: Path
    vocabulary: int
    precision: Precision = "fp32"
    sha256: str | None = None

    def as_message(self) -> dict[str, Any]:
        """What the worker is told."""
        return {"path": str(self.path.resolve()), "vocabulary": self.vocabulary}


def service_of(lengths: Sequence[int], tables: Mapping[Any, Sequence[Sequence[float]]]) -> Service:
    """Times of batches as the queue takes them: ascending lengths.

    Args:
        lengths: of the tables' columns.
        tables: batch size (a string, after JSON) -> passes x lengths, milliseconds.
    """
    order = np.argsort(lengths, kind="stable")
    times = {int(size): np.array(table)[:, order] for size, table in tables.items()}
    return Service(tuple(sorted(lengths)), times)


class Session:
    """Times subjects in a worker process, one at a time per device on this machine.

    Args:
        context: of the backend; its label is for messages, its reference for ratios.
        component: registry name of the backend, for reports.
        workload: what is run.
        runner: ``"module:Class"`` of the runner (see `autodistill.latency.runners`).
        options: for the runner, JSON-able.
        prepare: makes the artifact of a subject, and removes it when it is done with.
        rule: when to stop timing a model.
        restart_after: models per worker process.
        timeout_seconds: for which the worker may be silent: a request of each length, or loading a model.
    """

    def __init__(
        self,
        context: LatencyContext,
        *,
        component: str,
        workload: Workload,
        runner: str,
        options: Mapping[str, Any],
        prepare: Callable[[LatencySubject], AbstractContextManager[Artifact]],
        rule: StoppingRule,
        restart_after: int,
        timeout_seconds: float,
    ) -> None:
        self._context = context
        self._component = component
        self._workload = workload
        self._runner = runner
        self._options = options
        self._prepare = prepare
        self._rule = rule
        self._restart_after = restart_after
        self._timeout_seconds = timeout_seconds
        self._kept = ExitStack()
        self._reference: Artifact | None = None
        self._worker: WorkerProcess | None = None
        self._lock: DeviceLock | None = None
        self._measured = 0

    @property
    def worker_pid(self) -> int | None:
        """Process id of the worker, None while there is none."""
        return self._worker.pid if self._worker is not None else None

    def measure(self, subject: LatencySubject) -> LatencyReport:
        """Time one model, under the workload's load where it has one.

        Raises:
            LatencyError: names the model and the backend; the next call starts a fresh worker.
        """
        return self._time(subject, self._rule, self._workload.load)

    def measure_single_stream(self, subject: LatencySubject, rule: StoppingRule) -> LatencyReport:
        """Time one model, one request at a time, by another rule than the session's.

        Raises:
            LatencyError: as `measure`.
        """
        return self._time(subject, rule, None)

    def answer(self, subject: LatencySubject, batches: Iterable[Mapping[str, Any]]) -> Iterator[NDArray[np.float32]]:
        """What a model answers to batches, in the worker that would time it; others may use the device in between.

        Raises:
            LatencyError: as `measure`, or the runtime computes in another precision here.
        """
        with self._prepare(subject) as artifact:
            remaining = iter(batches)
            while part := list(islice(remaining, ANSWERED_AT_ONCE)):
                yield from self._answer(subject.name, artifact, part)

    def _answer(self, name: str, artifact: Artifact, batches: Sequence[Mapping[str, Any]]) -> list[NDArray[np.float32]]:
        with tempfile.TemporaryDirectory(prefix="autodistill-answers-") as folder:
            inputs, outputs = Path(folder, "inputs.npz"), Path(folder, "outputs.npz")
            write_batches(inputs, batches)
            files = {"path": artifact.path, "inputs": inputs, "outputs": outputs}
            message = {"command": "predict", **{key: str(path.resolve()) for key, path in files.items()}}
            told = self._ask(self._worker or self._start(name), message, name, "run")
            precision = self._precision(artifact, told)
            if precision != artifact.precision:
                raise LatencyError(
                    f"Latency backend {self._context.label!r} could not run {name} in {artifact.precision}: the "
                    f"runtime computes in {precision} on this machine."
                )
            return [answer.astype(np.float32) for answer in read_answers(outputs)]

    def _time(self, subject: LatencySubject, rule: StoppingRule, load: Load | None) -> LatencyReport:
        if self._measured >= self._restart_after:
            self._end_worker()
        with self._prepare(subject) as artifact:
            worker = self._worker or self._start(subject.name)
            batches = batch_sizes(load) if load is not None else []
            message = {"command": "measure", **artifact.as_message(), "rule": asdict(rule), "batches": batches}
            numbers = self._ask(worker, message, subject.name)
        self._measured += 1
        return self._report(artifact, numbers, load)

    def close(self) -> None:
        """End the worker, remove the prepared reference; may be called twice."""
        self._end_worker()
        self._kept.close()
        self._reference = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _start(self, name: str) -> WorkerProcess:
        if self._context.reference is not None and self._reference is None:
            self._reference = self._kept.enter_context(self._prepare(self._context.reference))
        workload = self._workload
        setup = Setup(
            workload.batch_size,
            workload.lengths,
            workload.precision,
            workload.threads,
            workload.device,
            self._options,
            device_name(workload.device),
        )
        self._lock = self._lock or DeviceLock(workload.device)
        self._worker = worker = WorkerProcess(workload.threads, [self._lock.fileno()])
        self._ask(worker, {"command": "open", "runner": self._runner, "setup": asdict(setup)}, name)
        if self._reference is not None:
            self._ask(worker, {"command": "reference", **self._reference.as_message()}, f"the reference for {name}")
        return worker

    def _ask(self, worker: WorkerProcess, message: dict[str, Any], name: str, what: str = "time") -> dict[str, Any]:
        self._lock = self._lock or DeviceLock(self._workload.device)
        try:
            with self._lock.held():
                return worker.ask(message, self._timeout_seconds)
        except WorkerError as error:
            self._end_worker()
            raise LatencyError(f"Latency backend {self._context.label!r} could not {what} {name}: {error}") from error

    def _report(self, artifact: Artifact, numbers: dict[str, Any], load: Load | None) -> LatencyReport:
        services = numbers.pop("services")
        if load is not None:
            service = service_of(self._workload.lengths, services)
            numbers |= under_load(service, load, numbers["flags"])
        precision = self._precision(artifact, numbers)
        numbers.pop("precision", None)
        return LatencyReport(
            backend=self._component,
            kind="measured",
            precision=precision,
            workload={**self._workload.as_dict(), "precision": precision},
            threads=self._workload.threads,
            artifact_sha256=artifact.sha256,
            **numbers,
        )

    def _precision(self, artifact: Artifact, told: Mapping[str, Any]) -> Precision:
        """What a model was computed in: a runtime may take another precision than it was asked for.

        What it says is about the workload's; weights in another (a quantised file) are computed in their own.
        """
        asked = artifact.precision == self._workload.precision
        precision: Precision = told.get("precision", artifact.precision) if asked else artifact.precision
        return precision

    def _end_worker(self) -> None:
        self._measured = 0
        if self._worker is not None:
            self._worker.close()
            self._worker = None
