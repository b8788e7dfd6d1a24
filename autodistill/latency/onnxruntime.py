"""The ``onnxruntime`` latency backend: the ONNX export, timed on the CPU by onnxruntime in a worker process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from autodistill.components.architecture import Architecture
from autodistill.components.latency import LatencyContext, LatencyKind, LatencyReport, LatencySubject
from autodistill.errors import ExportError, LatencyError
from autodistill.exporters.files import sha256_of
from autodistill.exporters.onnx_export import export_onnx, is_quantised
from autodistill.exporters.onnx_session import quantise_onnx
from autodistill.latency.session import Artifact, Session
from autodistill.latency.subjects import (
    SMALL_VOCABULARY,
    build,
    check_positions,
    stored_config,
    workload_of,
)
from autodistill.latency.timing import StoppingRule

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray


class OnnxRuntimeLatency:
    """Exports a model (random weights suffice, or uses its ``onnx`` artifact) and times it.

    The reference, where the context has one, is exported once and timed in turn with every model. Fields as in
    `autodistill.latency.configs.OnnxRuntimeConfig`.
    """

    kind: LatencyKind = "measured"

    def __init__(
        self,
        context: LatencyContext,
        *,
        batch_size: int,
        lengths: Sequence[int] | None,
        precision: str,
        threads: int | None,
        target_relative_half_width: float,
        max_seconds: float,
        min_repeats: int,
        restart_after: int,
        timeout_seconds: float,
        opset: int,
        device: str,
    ) -> None:
        self.workload = workload_of(
            context, batch_size=batch_size, lengths=lengths, precision=precision, threads=threads, device=device
        )
        self._context = context
        self._opset = opset
        self._session = Session(
            context,
            component="onnxruntime",
            workload=self.workload,
            runner="autodistill.latency.runners:OnnxRuntimeRunner",
            options={},
            prepare=self._artifact,
            rule=StoppingRule(target_relative_half_width, max_seconds, min_repeats),
            restart_after=restart_after,
            timeout_seconds=timeout_seconds,
        )

    @property
    def worker_pid(self) -> int | None:
        """Process id of the worker, None while there is none."""
        return self._session.worker_pid

    def measure(self, subject: LatencySubject) -> LatencyReport:
        """Time one model; see `autodistill.components.latency.LatencyBackend`.

        Raises:
            LatencyError: it cannot be exported, loaded or run, or takes too long.
            ConfigError: the workload is longer than the model's positions.
        """
        return self._session.measure(subject)

    def estimate(self, architectures: Sequence[Architecture]) -> Mapping[str, tuple[FloatArray, FloatArray]] | None:
        """None: measuring takes a second each."""
        return None

    def close(self) -> None:
        """End the worker and remove the exported reference; may be called twice."""
        self._session.close()

    @contextmanager
    def _artifact(self, subject: LatencySubject) -> Iterator[Artifact]:
        self._context.work_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="onnx-", dir=self._context.work_dir) as folder:
            given = subject.artifacts.get("onnx")
            try:
                if given is not None:
                    yield self._from_file(subject, given, Path(folder))
                else:
                    yield self._from_build(subject, Path(folder))
            except ExportError as error:
                label = self._context.label
                raise LatencyError(f"Latency backend {label!r} could not time {subject.name}: {error}") from error

    def _from_file(self, subject: LatencySubject, given: Path, folder: Path) -> Artifact:
        config = stored_config(given.parent)
        check_positions(config, subject, self._context, self.workload)
        quantised = is_quantised(given)
        path = given if quantised else self._in_precision(given, folder)
        precision = "int8" if quantised else self.workload.precision
        return Artifact(path, config.get("vocab_size", SMALL_VOCABULARY), precision, sha256_of(path))

    def _from_build(self, subject: LatencySubject, folder: Path) -> Artifact:
        model = build(subject, self._context, self.workload)
        path = folder / "model.onnx"
        export_onnx(model, path, opset=self._opset)
        vocabulary = getattr(model.config, "vocab_size", SMALL_VOCABULARY)
        return Artifact(self._in_precision(path, folder), vocabulary, self.workload.precision)

    def _in_precision(self, path: Path, folder: Path) -> Path:
        if self.workload.precision == "fp32":
            return path
        target = folder / "int8.onnx"
        quantise_onnx(path, target)
        return target
