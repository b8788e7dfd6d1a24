"""The ``torch`` latency backend: the transformers model, timed in PyTorch in a worker process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from autodistill.components.architecture import Architecture
from autodistill.components.latency import LatencyContext, LatencyKind, LatencyReport, LatencySubject
from autodistill.errors import ConfigError, ExportError, LatencyError
from autodistill.exporters.huggingface import save_pretrained, weights_digest
from autodistill.folders import passing_directory
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
    import numpy as np
    from numpy.typing import NDArray

    from autodistill.components.search import FloatArray


class TorchLatency:
    """Saves a model (random weights suffice, or uses its ``huggingface`` artifact), loads it in the worker, times it.

    Fields as in `autodistill.latency.configs.TorchConfig`.

    Raises:
        ConfigError: ``device`` is ``cuda`` and there is none.
    """

    kind: LatencyKind = "measured"
    takes = frozenset({"huggingface"})

    def __init__(
        self,
        context: LatencyContext,
        *,
        precision: str,
        compile: bool,
        cuda_graphs: bool,
        device: str,
        **options: Unpack[MeasuredOptions],
    ) -> None:
        _check_device(context, device)
        self.workload = workload_of(context, options, precision=precision, threads=options["threads"], device=device)
        self._context = context
        self._measuring = Measuring(
            context,
            component="torch",
            workload=self.workload,
            runner="autodistill.latency.runners:TorchRunner",
            runner_options={"compile": compile, "cuda_graphs": cuda_graphs},
            packages=("torch", "transformers"),
            prepare=self._artifact,
            options=options,
            tells_gpu_memory=True,
        )

    @property
    def metrics(self) -> frozenset[str]:
        """What is told under this workload; see `autodistill.components.latency.LatencyBackend`."""
        return self._measuring.metrics

    def measure(self, subject: LatencySubject) -> LatencyReport:
        """Time one model; see `autodistill.components.latency.LatencyBackend`.

        Raises:
            LatencyError: it cannot be loaded or run, or takes too long.
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
        """End the worker and remove the saved reference; may be called twice."""
        self._measuring.close()

    @contextmanager
    def _artifact(self, subject: LatencySubject) -> Iterator[Artifact]:
        given = subject.artifacts.get("huggingface")
        if given is not None:
            config = stored_config(given)
            check_positions(config, subject, self._context, self.workload)
            vocabulary = config.get("vocab_size", SMALL_VOCABULARY)
            yield Artifact(given, vocabulary, self.workload.precision, self._digest(subject, given))
            return
        model = build(subject, self._context, self.workload)
        with passing_directory(self._context.work_dir, "torch-") as folder:
            save_pretrained(model, folder)
            yield Artifact(folder, model.config.vocab_size, self.workload.precision)

    def _digest(self, subject: LatencySubject, directory: Path) -> str:
        try:
            return weights_digest(directory)
        except ExportError as error:
            label = self._context.label
            raise LatencyError(f"Latency backend {label!r} could not time {subject.name}: {error}") from error


def _check_device(context: LatencyContext, device: str) -> None:
    if device != "cuda":
        return
    import torch

    if not torch.cuda.is_available():
        raise ConfigError(
            f"latency.{context.label}.device is cuda, but PyTorch {torch.__version__} finds no CUDA device here. "
            f"Use latency.{context.label}.device=cpu, or a build of PyTorch for your GPU."
        )
