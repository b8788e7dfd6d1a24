"""The ``onnx`` exporter: one ONNX file, configuration and tokeniser beside it, checked against onnxruntime."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

from autodistill.components.outcome import ExportReport, ExportSubject
from autodistill.exporters.files import atomic_directory, bytes_of, sha256_of
from autodistill.exporters.onnx_export import export_onnx
from autodistill.exporters.onnx_session import run_onnx
from autodistill.exporters.parity import check, check_tokenizer, compare, logits_of

#: Name of the model file, the one that serving stacks look for.
MODEL = "model.onnx"


class OnnxExporter:
    """Converts a model, runs it with onnxruntime in a fresh process and compares the logits.

    Args:
        opset: ONNX operator set.
        absolute_tolerance: allowed difference of a logit.
        relative_tolerance: additional difference per unit of the logit.
    """

    def __init__(self, *, opset: int, absolute_tolerance: float, relative_tolerance: float) -> None:
        self.opset = opset
        self.absolute_tolerance = absolute_tolerance
        self.relative_tolerance = relative_tolerance

    def export(self, subject: ExportSubject, directory: Path) -> ExportReport:
        """Write ``directory`` with model, ``parity.json``, configuration and tokeniser.

        Raises:
            ExportError: torch cannot convert it, onnxruntime cannot run it, or its logits differ.
        """
        with atomic_directory(directory) as temporary:
            export_onnx(subject.model, temporary / MODEL, opset=self.opset)
            subject.model.config.save_pretrained(temporary)
            subject.tokenizer.save_pretrained(temporary)
            check_tokenizer(subject, temporary)
            parity = self._parity(subject, temporary / MODEL)
            check(parity, f"The ONNX export of {subject.name}")
            (temporary / "parity.json").write_text(json.dumps(parity, indent=2) + "\n")
        return ExportReport(
            format="onnx",
            path=directory / MODEL,
            sha256=sha256_of(directory / MODEL),
            parity=parity,
            bytes=bytes_of(directory / MODEL),
            versions={name: version(name) for name in ("torch", "onnxruntime")} | {"opset": str(self.opset)},
        )

    def _parity(self, subject: ExportSubject, path: Path) -> dict[str, float]:
        expected = logits_of(subject.model, subject.sample)
        given = run_onnx(path, subject.sample, threads=1)
        return compare(expected, given, subject.sample, self.absolute_tolerance, self.relative_tolerance)
