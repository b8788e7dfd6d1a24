"""Latency: workloads, reports and backends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from autodistill.components.architecture import Architecture
from autodistill.components.search import Direction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from autodistill.components.search import FloatArray

LatencyKind = Literal["measured", "composed", "analytical", "predicted", "replayed"]
Precision = Literal["fp32", "bf16", "fp16", "int8"]

#: Metrics of latency reports, with their directions; ``ratio_to_reference`` is the time relative to the teacher's,
#: timed in turn. Those of the last four lines exist where the workload has a `Load`.
LATENCY_METRICS: Mapping[str, Direction] = {
    "p50_ms": "minimize",
    "p90_ms": "minimize",
    "p99_ms": "minimize",
    "throughput": "maximize",
    "peak_memory_bytes": "minimize",
    "ratio_to_reference": "minimize",
    "throughput_at_p99": "maximize",
    "loaded_p50_ms": "minimize",
    "loaded_p99_ms": "minimize",
    "cost_per_million": "minimize",
}


#: Metric -> field of a report, of `LatencyReport` and of its JSON.
LATENCY_FIELDS: Mapping[str, str] = {
    **{metric: metric for metric in LATENCY_METRICS},
    **{"p50_ms": "median", "p90_ms": "p90", "p99_ms": "p99"},
}


@dataclass(frozen=True, slots=True)
class Load:
    """Requests that arrive at random (Poisson), one sequence each, and are batched as they come.

    Args:
        max_batch: sequences that are answered together at most.
        max_wait_ms: milliseconds that the first request of a batch waits for others while the model is free.
        requests_per_second: rate of arrival at which response times are told; None: the highest within the limit.
        p99_limit_ms: milliseconds within which 99 of 100 requests must be answered, waiting included; or None.
        price_per_hour: of the target, in any currency; or None.
    """

    max_batch: int
    max_wait_ms: float = 0.0
    requests_per_second: float | None = None
    p99_limit_ms: float | None = None
    price_per_hour: float | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """What latency is measured on.

    Args:
        batch_size: sequences per request.
        lengths: tokens per sequence; requests cycle through them, each padded to its own length only.
        precision: number format of weights and arithmetic.
        threads: CPU threads of the runtime.
        device: ``"cpu"`` or ``"cuda"``; the name of a foreign target or of a chip.
        load: requests that arrive by themselves, beside the single stream; or None.
    """

    batch_size: int
    lengths: tuple[int, ...]
    precision: Precision = "fp32"
    threads: int = 1
    device: str = "cpu"
    load: Load | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able mapping of the fields; ``load`` only where there is one."""
        values = {**asdict(self), "lengths": list(self.lengths)}
        return values if self.load is not None else {key: item for key, item in values.items() if key != "load"}


@dataclass(frozen=True)
class LatencyReport:
    """A latency in milliseconds per request, and all that one must know to trust it.

    ``p99`` is None below 300 samples. ``relative_half_width``: half of the 95 % confidence interval of the median,
    relative to it. ``p90_interval``, ``p99_interval``: order statistics around the percentile, (low, high), each with
    95 % confidence; None where there are too few samples. ``throughput``: sequences per second in a single stream.
    ``ratio_to_reference``: how long a request takes relative to the reference model (the teacher) timed in the same
    session, of requests that nothing disturbed (`autodistill.latency.statistics.ratio`), so not the medians' ratio.
    ``flags``: reasons for care, of `autodistill.latency.statistics.FLAGS`.

    Under a `Load`: ``throughput_at_p99`` is the highest rate of arrival (requests per second) within the p99 limit, 0
    when there is none; ``loaded_p50_ms`` and ``loaded_p99_ms`` are response times, waiting included, at the rate of
    the load (without one: at ``throughput_at_p99``; None when requests arrive faster than they can be answered);
    ``cost_per_million`` is what a million requests cost there.

    ``breakdown``: of analytical reports, where the time goes. ``environment``: of measured ones, the machine's state.
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
    p90_interval: Sequence[float] | None = None
    p99_interval: Sequence[float] | None = None
    relative_half_width: float | None = None
    throughput: float | None = None
    peak_memory_bytes: int | None = None
    threads: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    ratio_to_reference: float | None = None
    artifact_sha256: str | None = None
    unit: Literal["ms"] = "ms"
    flags: Sequence[str] = ()
    throughput_at_p99: float | None = None
    loaded_p50_ms: float | None = None
    loaded_p99_ms: float | None = None
    cost_per_million: float | None = None
    breakdown: Sequence[Mapping[str, Any]] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)

    def metrics(self) -> dict[str, float]:
        """The report's numbers under the names of `LATENCY_METRICS`; absent ones are left out."""
        values = {metric: getattr(self, field) for metric, field in LATENCY_FIELDS.items()}
        return {metric: float(value) for metric, value in values.items() if value is not None}

    def as_dict(self) -> dict[str, Any]:
        """JSON-able mapping of the fields."""
        values = {**asdict(self), "flags": list(self.flags), "breakdown": [dict(row) for row in self.breakdown]}
        for name in ("p90_interval", "p99_interval"):
            values[name] = None if values[name] is None else list(values[name])
        return values


#: Taken for the relative half-width of a timing that tells none (a single request, a script that gives medians only):
#: wide, since such timings are those of busy machines and slow models.
UNKNOWN_HALF_WIDTH = 0.1


def half_width_of(report: Mapping[str, Any]) -> float:
    """Half of the 95 % interval of the median, relative to it; `UNKNOWN_HALF_WIDTH` where a timing does not tell it.

    What is no timing has none, so 0: an analytical number, a bare number from a file.

    Args:
        report: fields of a `LatencyReport`.
    """
    told = report.get("relative_half_width")
    if told is not None:
        return float(told)
    timed = report.get("kind") in ("measured", "composed", "predicted") or report.get("n") is not None
    return UNKNOWN_HALF_WIDTH if timed else 0.0


def times_faster(report: Mapping[str, Any], other: Mapping[str, Any]) -> float | None:
    """How many times faster one timing is than the other; None where one of them is missing.

    Ratios to the reference, if both have one, absorb what changed between two sessions; else it is the medians'.

    Args:
        report: fields of a `LatencyReport`; empty of what was not timed.
        other: what it is compared with, the same.
    """
    pairs = ((other.get(name), report.get(name)) for name in ("ratio_to_reference", "median"))
    return next((float(theirs) / float(mine) for theirs, mine in pairs if theirs and mine), None)


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
        build: makes the model of an architecture (random weights), of any depth; None outside studies.
        flops: (architecture, tokens) -> floating-point operations of one sequence, as the family counts them; or None.
        max_positions: tokens that models of the study take at most; None outside studies.
        model_key: stands for everything but the architecture that decides what ``build`` makes (head, vocabulary,
            the family's parameters), and for the reference; part of the name under which timings of blocks are stored.
        calibration: what the backend of this label told as its ``calibration`` when the study began; None when it told
            nothing, or the study begins.
    """

    label: str
    lengths: tuple[int, ...]
    work_dir: Path
    reference: LatencySubject | None
    build: Callable[[Architecture], PreTrainedModel] | None = None
    flops: Callable[[Architecture, int], int] | None = None
    max_positions: int | None = None
    model_key: str = ""
    calibration: Mapping[str, Any] | None = None


class LatencyBackend(Protocol):
    """A latency backend; built as ``target(context: LatencyContext, **parameters)``; building starts no process.

    One that gives only some of `LATENCY_METRICS` under its workload may say which by an attribute ``metrics``, a set of
    names; see `metrics_given`. One that runs given files says of which formats by an attribute ``takes``; see
    `formats_taken`. One that finds out about this machine what its numbers rest on tells it by an attribute
    ``calibration``, JSON-able: it is stored with the study, and comes back as `LatencyContext.calibration`.
    """

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


def metrics_given(backend: LatencyBackend) -> frozenset[str]:
    """Metrics that a backend can give under its workload: those it says, all of `LATENCY_METRICS` when it says none."""
    return frozenset(getattr(backend, "metrics", LATENCY_METRICS))


def formats_taken(backend: LatencyBackend) -> frozenset[str]:
    """Formats of `LatencySubject.artifacts` that a backend runs; none when it says none."""
    return frozenset(getattr(backend, "takes", ()))


def load_metrics(load: Load | None) -> frozenset[str]:
    """Metrics that an offered load adds to those of a single stream."""
    if load is None:
        return frozenset()
    told = {"loaded_p50_ms", "loaded_p99_ms"}
    if load.p99_limit_ms is not None:
        told |= {"throughput_at_p99"} | ({"cost_per_million"} if load.price_per_hour is not None else set())
    return frozenset(told)


#: Metrics of composed reports.
COMPOSED_METRICS = frozenset({"p50_ms", "throughput", "ratio_to_reference"})


@runtime_checkable
class ComposingBackend(Protocol):
    """A measuring backend that can also compose: fixed part plus depth times block, from stored timings of blocks.

    Composed reports have `COMPOSED_METRICS`.
    """

    def compose(self, subject: LatencySubject) -> LatencyReport | None:
        """A report of kind ``composed``; None when it was not asked to compose, or this subject cannot be.

        Blocks of a new shape are timed, which takes a moment; every later depth of the shape costs nothing.

        Raises:
            LatencyError: a block cannot be timed.
        """
        ...


@runtime_checkable
class AnsweringBackend(Protocol):
    """A backend that also tells what the model answers as it is timed: by that runtime, in that precision."""

    workload: Workload

    def answer(
        self, subject: LatencySubject, batches: Iterable[Mapping[str, NDArray[np.int64]]]
    ) -> Iterator[NDArray[np.float32]]:
        """The outputs of the model's head for each batch, as they come.

        Args:
            subject: with trained weights.
            batches: ``input_ids``, ``attention_mask`` and ``token_type_ids``, each ``batch x tokens``; read some at a
                time, so that whoever gives them may end it all by an exception.

        Yields:
            Per batch ``batch x classes``, or ``batch x tokens x classes``.

        Raises:
            LatencyError: it cannot be prepared, loaded or run, or only in another precision than the workload's.
        """
        ...
