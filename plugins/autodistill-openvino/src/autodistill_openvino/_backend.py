"""The ``openvino`` latency backend: the ONNX export, timed by OpenVINO in a worker process of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Unpack

from autodistill.components.architecture import Architecture
from autodistill.components.latency import LatencyContext, LatencyKind, LatencyReport, LatencySubject
from autodistill.latency.configs import MeasuredOptions
from autodistill.latency.measuring import Measuring
from autodistill.latency.onnx_files import OnnxFiles
from autodistill.latency.subjects import workload_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from autodistill.components.search import FloatArray


class OpenVinoLatency:
    """Exports a model (random weights suffice, or uses its ``onnx`` artifact) and times it.

    Fields as in `autodistill_openvino.configs.OpenVinoConfig`.
    """

    kind: LatencyKind = "measured"
    takes = frozenset({"onnx"})

    def __init__(
        self, context: LatencyContext, *, precision: str, opset: int, device: str, **options: Unpack[MeasuredOptions]
    ) -> None:
        self.workload = workload_of(context, options, precision=precision, threads=options["threads"], device=device)
        self._measuring = Measuring(
            context,
            component="openvino",
            workload=self.workload,
            runner="autodistill_openvino._runner:OpenVinoRunner",
            runner_options={},
            packages=("openvino", "torch", "transformers"),
            prepare=OnnxFiles(context, self.workload, opset),
            options=options,
            graph_options={"opset": opset},
        )

    @property
    def metrics(self) -> frozenset[str]:
        """What is told under this workload; see `autodistill.components.latency.LatencyBackend`."""
        return self._measuring.metrics

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

    def answer(
        self, subject: LatencySubject, batches: Iterable[Mapping[str, NDArray[np.int64]]]
    ) -> Iterator[NDArray[np.float32]]:
        """What the model answers as it is timed; see `autodistill.components.latency.AnsweringBackend`.

        Raises:
            LatencyError: it cannot be prepared, loaded or run, or only in another precision.
        """
        return self._measuring.answer(subject, batches)

    def estimate(self, architectures: Sequence[Architecture]) -> Mapping[str, tuple[FloatArray, FloatArray]] | None:
        """None: measuring takes a second each."""
        return None

    def close(self) -> None:
        """End the worker and remove the exported reference; may be called twice."""
        self._measuring.close()
