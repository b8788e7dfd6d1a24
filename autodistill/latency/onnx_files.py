"""ONNX files of subjects, for the backends that time them: given ones, or exported in the workload's precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autodistill.components.latency import LatencyContext, LatencySubject, Workload
from autodistill.errors import ExportError, LatencyError
from autodistill.exporters.files import sha256_of
from autodistill.exporters.onnx_export import export_onnx, is_quantised
from autodistill.exporters.onnx_session import quantise_onnx
from autodistill.folders import passing_directory
from autodistill.latency.session import Artifact
from autodistill.latency.subjects import SMALL_VOCABULARY, build, check_positions, stored_config


class OnnxFiles:
    """Makes the artifact of a subject, and removes it when it is done with.

    Args:
        context: of the backend.
        workload: what is run; ``int8`` quantises dynamically, other precisions are the runtime's business.
        opset: ONNX operator set.
    """

    def __init__(self, context: LatencyContext, workload: Workload, opset: int) -> None:
        self._context = context
        self._workload = workload
        self._opset = opset

    @contextmanager
    def __call__(self, subject: LatencySubject) -> Iterator[Artifact]:
        """The file, for the time of the block.

        Raises:
            LatencyError: the model cannot be exported or quantised.
        """
        with passing_directory(self._context.work_dir, "onnx-") as folder:
            given = subject.artifacts.get("onnx")
            try:
                if given is not None:
                    yield self._from_file(subject, given, folder)
                else:
                    yield self._from_build(subject, folder)
            except ExportError as error:
                label = self._context.label
                raise LatencyError(f"Latency backend {label!r} could not time {subject.name}: {error}") from error

    def _from_file(self, subject: LatencySubject, given: Path, folder: Path) -> Artifact:
        config = stored_config(given.parent)
        check_positions(config, subject, self._context, self._workload)
        quantised = is_quantised(given)
        path = given if quantised else self._in_precision(given, folder)
        precision = "int8" if quantised else self._workload.precision
        return Artifact(path, config.get("vocab_size", SMALL_VOCABULARY), precision, sha256_of(path))

    def _from_build(self, subject: LatencySubject, folder: Path) -> Artifact:
        model = build(subject, self._context, self._workload)
        path = folder / "model.onnx"
        export_onnx(model, path, opset=self._opset)
        vocabulary = getattr(model.config, "vocab_size", SMALL_VOCABULARY)
        return Artifact(self._in_precision(path, folder), vocabulary, self._workload.precision)

    def _in_precision(self, path: Path, folder: Path) -> Path:
        if self._workload.precision != "int8":
            return path
        target = folder / "int8.onnx"
        quantise_onnx(path, target)
        return target
