"""The ``onnxruntime`` latency backend: the ONNX export, timed by onnxruntime in a worker process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Unpack

from autodistill.components.architecture import Architecture
from autodistill.components.latency import LatencyContext, LatencyKind, LatencyReport, LatencySubject
from autodistill.errors import ConfigError
from autodistill.latency.configs import MeasuredOptions
from autodistill.latency.measuring import Measuring
from autodistill.latency.onnx_files import OnnxFiles
from autodistill.latency.runners import PROVIDERS
from autodistill.latency.subjects import workload_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from autodistill.components.search import FloatArray


class OnnxRuntimeLatency:
    """Exports a model (random weights suffice, or uses its ``onnx`` artifact) and times it.

    The reference, where the context has one, is exported once and timed in turn with every model. Fields as in
    `autodistill.latency.configs.OnnxRuntimeConfig`.

    Raises:
        ConfigError: ``device`` is ``cuda``, for which the installed onnxruntime was not built.
    """

    kind: LatencyKind = "measured"
    takes = frozenset({"onnx"})

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
        if device == "cuda":
            _check_provider(context, PROVIDERS[provider or device])
        self.workload = workload_of(context, options, precision=precision, threads=options["threads"], device=device)
        self._measuring = Measuring(
            context,
            component="onnxruntime",
            workload=self.workload,
            runner="autodistill.latency.runners:OnnxRuntimeRunner",
            runner_options={"provider": provider},
            packages=("onnxruntime", "torch", "transformers"),
            prepare=OnnxFiles(context, self.workload, opset),
            options=options,
            graph_options={"opset": opset},
        )

    @property
    def worker_pid(self) -> int | None:
        """Process id of the worker, None while there is none."""
        return self._measuring.session.worker_pid

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


def _check_provider(context: LatencyContext, provider: str) -> None:
    """Ask onnxruntime in a process of its own: one that has been loaded here would fight PyTorch for threads."""
    asking = "import onnxruntime; print(*onnxruntime.get_available_providers())"
    done = subprocess.run([sys.executable, "-c", asking], capture_output=True, text=True, check=False)
    found = done.stdout.split()
    if provider not in found:
        said = f"it has {', '.join(found)}" if found else f"it says: {''.join(done.stderr.strip().splitlines()[-1:])}"
        raise ConfigError(
            f"latency.{context.label}.device is cuda, but onnxruntime was built without {provider}; {said}. Use "
            f"latency.{context.label}.device=cpu, or install it: pip install onnxruntime-gpu"
        )
