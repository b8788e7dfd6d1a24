"""The ``onnxruntime`` latency backend: the ONNX export, timed by onnxruntime in a worker process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from autodistill.components.architecture import Architecture
from autodistill.components.latency import LatencyContext, LatencyKind, LatencyReport, LatencySubject
from autodistill.errors import ExportError, LatencyError
from autodistill.exporters.files import sha256_of
from autodistill.exporters.onnx_export import export_onnx, is_quantised
from autodistill.exporters.onnx_session import quantise_onnx
from autodistill.latency.configs import MeasuredOptions
from autodistill.latency.measuring import Measuring
from autodistill.latency.session import Artifact
from autodistill.latency.subjects import (
    SMALL_VOCABULARY,
    build,
    check_positions,
    stored_config,
    workload_of,
)

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
        precision: str,
        opset: int,
        device: str,
        provider: str | None,
        **options: Unpack[MeasuredOptions],
    ) -> None:
        self.workload = workload_of(context, options, precision=precision, threads=options["threads"], device=device)
        self._context = context
        self._opset = opset
        self._measuring = Measuring(
            context,
            component="onnxruntime",
            workload=self.workload,
            runner="autodistill.latency.runners:OnnxRuntimeRunner",
            runner_options={"provider": provider},
            packages=("onnxruntime", "torch", "transformers"),
            prepare=self._artifact,
            options=options,
        )

    @property
    def worker_pid(self) -> int | None:
        """Process id of the worker, None while there is none."""
        return self._measuring.session.worker_pid

    def measure(self, subject: LatencySubject) -> LatencyReport:
        """Time one model; see `autodistill.components.latency.LatencyBackend`.

        Raises:
            LatencyError: it cannot be exported, loaded or run, or takes too long.
            ConfigError: the workload is longer than the model's positions.
        """
        return self._measuring.measure(subject)

    def compose(self, subject: LatencySubject) -> LatencyReport | None:
        """Fixed part + depth x block; see `autodistill.components.latency.ComposingBackend`."""
        return self._measuring.compose(subject)

    def estimate(self, architectures: Sequence[Architecture]) -> Mapping[str, tuple[FloatArray, FloatArray]] | None:
        """None: measuring takes a second each."""
        return None

    def close(self) -> None:
        """End the worker and remove the exported reference; may be called twice."""
        self._measuring.close()

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
        if self.workload.precision != "int8":  # TensorRT makes its own fp16
            return path
        target = folder / "int8.onnx"
        quantise_onnx(path, target)
        return target
