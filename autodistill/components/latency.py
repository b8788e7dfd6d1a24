"""Latency: workloads, reports and backends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from autodistill.components.architecture import Architecture
from autodistill.components.search import Direction

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from autodistill.components.search import FloatArray

LatencyKind = Literal["measured", "composed", "analytical", "predicted", "replayed"]
Precision = Literal["fp32", "bf16", "fp16", "int8"]

#: Metrics of every latency report, with their directions; ``ratio_to_reference`` is the median over the teacher's.
LATENCY_METRICS: Mapping[str, Direction] = {
    "p50_ms": "minimize",
    "p90_ms": "minimize",
    "p99_ms": "minimize",
    "throughput": "maximize",
    "peak_memory_bytes": "minimize",
    "ratio_to_reference": "minimize",
}


@dataclass(frozen=True, slots=True)
class Workload:
    """What latency is measured on.

    Args:
        batch_size: sequences per request.
        lengths: tokens per sequence; requests cycle through them, each padded to its own length only.
        precision: number format of weights and arithmetic.
        threads: CPU threads of the runtime.
        device: ``"cpu"`` or ``"cuda"``.
    """

    batch_size: int
    lengths: tuple[int, ...]
    precision: Precision = "fp32"
    threads: int = 1
    device: str = "cpu"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able mapping of the fields."""
        return {**asdict(self), "lengths": list(self.lengths)}


@dataclass(frozen=True)
class LatencyReport:
    """A latency in milliseconds per request, and all that one must know to trust it.

    ``p99`` is None below 300 samples. ``relative_half_width``: half of the 95 % confidence interval of the median,
    relative to it. ``throughput``: sequences per second at this load. ``ratio_to_reference``: median relative to the
    reference model (the teacher) timed in the same session.
    """

    backend: str
    kind: LatencyKind
    precision: Precision
    workload: Mapping[str, Any]
    median: float
    device: str
    n: int | None = None
    p90: float | None = None
    p99: float | None = None
    relative_half_width: float | None = None
    throughput: float | None = None
    peak_memory_bytes: int | None = None
    threads: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    ratio_to_reference: float | None = None
    artifact_sha256: str | None = None
    unit: Literal["ms"] = "ms"

    def metrics(self) -> dict[str, float]:
        """The report's numbers under the names of `LATENCY_METRICS`; absent ones are left out."""
        values = {
            "p50_ms": self.median,
            "p90_ms": self.p90,
            "p99_ms": self.p99,
            "throughput": self.throughput,
            "peak_memory_bytes": self.peak_memory_bytes,
            "ratio_to_reference": self.ratio_to_reference,
        }
        return {name: float(value) for name, value in values.items() if value is not None}

    def as_dict(self) -> dict[str, Any]:
        """JSON-able mapping of the fields."""
        return asdict(self)


@dataclass(frozen=True)
class LatencySubject:
    """A model to be timed.

    Args:
        name: for messages, e.g. ``"trial 3"``.
        architecture: None for models outside any family (a quantised teacher, a saved directory).
        build: makes the transformers model (random weights suffice); not called when an artifact serves.
        artifacts: format (``"huggingface"``: directory, ``"onnx"``: file) -> path of already exported weights.
    """

    name: str
    architecture: Architecture | None
    build: Callable[[], PreTrainedModel] | None
    artifacts: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class LatencyContext:
    """What a latency backend is built from.

    Args:
        label: the key it has in the configuration; its metrics are named ``<label>.<metric>``.
        lengths: quantiles of the token lengths of the user's own data, the default of a workload's lengths.
        work_dir: where it may write and cache.
        reference: the model that ratios refer to, or None.
    """

    label: str
    lengths: tuple[int, ...]
    work_dir: Path
    reference: LatencySubject | None


class LatencyBackend(Protocol):
    """A latency backend; built as ``target(context: LatencyContext, **parameters)``; building starts no process."""

    kind: LatencyKind
    workload: Workload

    def measure(self, subject: LatencySubject) -> LatencyReport:
        """Time one model; exclusive on its device.

        Raises:
            LatencyError: it cannot be timed (which model, why); the trial fails, the study goes on.
        """
        ...

    def estimate(self, architectures: Sequence[Architecture]) -> Mapping[str, tuple[FloatArray, FloatArray]] | None:
        """Metric -> (values, variances) for any architectures in microseconds each, or None when it cannot."""
        ...

    def close(self) -> None:
        """End worker processes; may be called twice."""
        ...
