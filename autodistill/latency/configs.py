"""Configuration of the built-in latency backends; the only home of their defaults.

What all backends share are two small groups of fields: the workload (`WorkloadConfig`) and how to measure
(`MeasuredConfig`). A plugin's backend may inherit them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, TypedDict

from autodistill.components.specs import path_field
from autodistill.errors import ConfigError
from autodistill.latency.lengths import read_lengths


def _require(holds: bool, where: str, bound: str, value: object) -> None:
    if not holds:
        raise ConfigError(f"{where} must be {bound}, got {value}.")


class WorkloadOptions(TypedDict):
    """The fields of `WorkloadConfig`, as a backend's constructor gets them."""

    batch_size: int
    lengths: Any
    requests_per_second: float | None
    p99_limit_ms: float | None
    max_batch: int
    max_wait_ms: float
    price_per_hour: float | None


class MeasuredOptions(WorkloadOptions):
    """The fields of `MeasuredConfig`, as a backend's constructor gets them."""

    threads: int | None
    target_relative_half_width: float
    max_seconds: float
    min_repeats: int
    p99: bool
    compose: bool
    compose_seconds: float
    restart_after: int
    timeout_seconds: float


@dataclass
class WorkloadConfig:
    """What a model is asked to do."""

    batch_size: int = 1
    """Sequences per request, >= 1."""
    lengths: Any = path_field(None)  # noqa: RUF009 - it makes a field
    """Tokens per sequence: a number, a list (requests cycle through it), or the path of a file with one length per line
    or a JSON list (more than ten become ten quantiles). Null: quantiles of the lengths of the study's data."""
    requests_per_second: float | None = None
    """Poisson arrivals of single sequences at this rate, > 0: told as ``loaded_p50_ms`` and ``loaded_p99_ms``."""
    p99_limit_ms: float | None = None
    """Milliseconds, > 0: ``throughput_at_p99`` is the highest rate of arrival with 99 of 100 requests within it."""
    max_batch: int = 8
    """Under load: sequences answered together at most, >= 1."""
    max_wait_ms: float = 0.0
    """Under load: milliseconds that a request waits for others while the model is free, >= 0."""
    price_per_hour: float | None = None
    """Price of the target in any currency, > 0: gives ``cost_per_million`` requests at ``p99_limit_ms``."""

    _where: ClassVar[str] = "latency"

    def __post_init__(self) -> None:
        where = self._where
        for name in ("batch_size", "max_batch"):
            _require(getattr(self, name) >= 1, f"{where}.{name}", ">= 1", getattr(self, name))
        for name in ("requests_per_second", "p99_limit_ms", "price_per_hour"):
            value = getattr(self, name)
            _require(value is None or value > 0, f"{where}.{name}", "> 0 or null", value)
        _require(self.max_wait_ms >= 0, f"{where}.max_wait_ms", ">= 0", self.max_wait_ms)
        if self.price_per_hour is not None and self.p99_limit_ms is None:
            raise ConfigError(
                f"{where}.price_per_hour gives the cost of requests answered within a limit, but "
                f"{where}.p99_limit_ms is null. Give {where}.p99_limit_ms=MILLISECONDS."
            )
        if self.requests_per_second is None and self.p99_limit_ms is None:
            for name in ("max_batch", "max_wait_ms"):
                if getattr(self, name) != getattr(WorkloadConfig, name):
                    raise ConfigError(
                        f"{where}.{name} says how requests are batched that arrive by themselves, but there is no such "
                        f"load. Give {where}.p99_limit_ms=MILLISECONDS or {where}.requests_per_second=RATE; for "
                        f"batches of a fixed size it is {where}.batch_size."
                    )
        if not isinstance(self.lengths, str):  # a file is read where the workload is made
            read_lengths(self.lengths, f"{where}.lengths")


@dataclass
class MeasuredConfig(WorkloadConfig):
    """How a model is timed."""

    threads: int | None = None
    """Threads of the runtime, >= 1. Null: every physical core that this process may use."""
    target_relative_half_width: float = 0.02
    """Stop when half the 95 % interval of the median is below this share of it, > 0."""
    max_seconds: float = 2.0
    """Stop timing one model after this many seconds, > 0; wider intervals are flagged. A model that is too slow for the
    six requests per length that an interval needs gets up to five times as long."""
    min_repeats: int = 10
    """Requests per length at least, >= 1, unless ``max_seconds`` are over."""
    p99: bool = False
    """Go on to the 300 requests that a 99th percentile needs, whatever ``max_seconds`` says."""
    compose: bool = False
    """Time blocks, and compose fixed part + depth x block: a candidate that breaks a constraint by that is not measured
    whole. Timings of blocks are shared by studies."""
    compose_seconds: float = 0.4
    """Stop timing a shallow model, from which others are composed, after this many seconds, > 0 (``max_seconds`` when
    that is less); slow ones get more as above."""
    restart_after: int = 50
    """Start a fresh worker process after this many models, >= 1."""
    timeout_seconds: float = 120.0
    """Give a model up when its worker makes no headway for so long, > 0: loading, or one request of each length."""

    def __post_init__(self) -> None:
        super().__post_init__()
        where = self._where
        for name in ("min_repeats", "restart_after"):
            _require(getattr(self, name) >= 1, f"{where}.{name}", ">= 1", getattr(self, name))
        for name in ("target_relative_half_width", "max_seconds", "compose_seconds", "timeout_seconds"):
            _require(getattr(self, name) > 0, f"{where}.{name}", "> 0", getattr(self, name))
        if self.threads is not None:
            _require(self.threads >= 1, f"{where}.threads", ">= 1 or null", self.threads)


def check_choice(where: str, value: object, possible: tuple[str | None, ...]) -> None:
    """Raise `ConfigError` when ``value`` is not one of ``possible``."""
    shown = ", ".join("null" if item is None else item for item in possible)
    _require(value in possible, where, f"one of {shown}", repr(value))


@dataclass
class OnnxRuntimeConfig(MeasuredConfig):
    """The model as ONNX, timed by onnxruntime."""

    precision: str = "fp32"
    """``fp32``, or (on the CPU) ``int8``: weights as int8, activations quantised as they come; with ``tensorrt`` also
    ``fp16``."""
    opset: int = 17
    """ONNX operator set of the conversion, 14 to 20."""
    device: str = "cpu"
    """``cpu`` or ``cuda``."""
    provider: str | None = None
    """On ``cuda``: ``cuda`` or ``tensorrt``, an execution provider of onnxruntime-gpu. Null: the device's own."""

    _where: ClassVar[str] = "latency.onnxruntime"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(f"{self._where}.device", self.device, ("cpu", "cuda"))
        check_choice(f"{self._where}.provider", self.provider, (None, *self._providers()))
        check_choice(f"{self._where}.precision", self.precision, self._precisions())
        _require(14 <= self.opset <= 20, f"{self._where}.opset", "between 14 and 20", self.opset)

    def _providers(self) -> tuple[str, ...]:
        return ("cuda", "tensorrt") if self.device == "cuda" else ("cpu",)

    def _precisions(self) -> tuple[str, ...]:
        if self.provider == "tensorrt":
            return ("fp32", "fp16")
        return ("fp32",) if self.device == "cuda" else ("fp32", "int8")


@dataclass
class TorchConfig(MeasuredConfig):
    """The model in PyTorch, as transformers loads it."""

    precision: str = "fp32"
    """``fp32``, ``bf16`` or (on ``cuda``) ``fp16``: weights and arithmetic."""
    compile: bool = False
    """Whether ``torch.compile`` takes the model first (every length compiles anew: raise ``timeout_seconds``)."""
    cuda_graphs: bool = False
    """On ``cuda``: capture each request as a CUDA graph and replay it, as servers do that pad to fixed shapes."""
    device: str = "cpu"
    """``cpu`` or ``cuda``."""

    _where: ClassVar[str] = "latency.torch"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(f"{self._where}.device", self.device, ("cpu", "cuda"))
        possible = ("fp32", "bf16", "fp16") if self.device == "cuda" else ("fp32", "bf16")
        check_choice(f"{self._where}.precision", self.precision, possible)
        if self.cuda_graphs and self.device != "cuda":
            raise ConfigError(f"{self._where}.cuda_graphs needs {self._where}.device=cuda, got {self.device!r}.")


@dataclass
class RooflineConfig(WorkloadConfig):
    """A chip that need not be here: operators, their arithmetic and their bytes against a data sheet."""

    chip: str = path_field("this_machine")
    """A data sheet that comes with AutoDistill (``tpu_v4i``, ``tpu_v5e``, ``t4``, ``a100``, ``h100``, ``h200``), the
    path of your own YAML file, or ``this_machine``: micro-benchmarks on first use."""
    precision: str | None = None
    """``fp32``, ``bf16``, ``fp16`` or ``int8``. Null: the first of the data sheet."""
    device: str = "cpu"
    """What ``this_machine`` calibrates: ``cpu`` or ``cuda``."""
    threads: int | None = None
    """Threads of ``this_machine`` on the CPU, >= 1. Null: every physical core that this process may use."""

    _where: ClassVar[str] = "latency.roofline"

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(bool(self.chip), f"{self._where}.chip", "the name of a chip or the path of its YAML file", "''")
        check_choice(f"{self._where}.precision", self.precision, (None, "fp32", "bf16", "fp16", "int8"))
        check_choice(f"{self._where}.device", self.device, ("cpu", "cuda"))
        if self.threads is not None:
            _require(self.threads >= 1, f"{self._where}.threads", ">= 1 or null", self.threads)


@dataclass
class CommandConfig(WorkloadConfig):
    """A target that only your own script can reach: a phone, a simulator, a model server."""

    command: list[str] = field(default_factory=list)
    """Program and arguments; ``{model}`` and ``{workload}`` stand for the two files, which are appended when neither is
    there. No shell reads it. No default."""
    format: str = "onnx"
    """What the script gets: ``onnx`` (a file) or ``huggingface`` (a directory)."""
    precision: str = "fp32"
    """What the script times, for the record: ``fp32``, ``bf16``, ``fp16`` or ``int8``."""
    device: str = "foreign"
    """Name of the target; one model at a time is timed on a device of this name."""
    threads: int = 1
    """CPU threads that the script shall use, >= 1; told in the workload."""
    timeout_seconds: float = 300.0
    """End the script when it has not ended after so long, > 0."""
    opset: int = 17
    """ONNX operator set of the conversion, 14 to 20."""

    _where: ClassVar[str] = "latency.command"

    def __post_init__(self) -> None:
        super().__post_init__()
        given = bool(self.command) and all(isinstance(part, str) and part for part in self.command)
        _require(given, f"{self._where}.command", "a list: program and arguments", self.command)
        check_choice(f"{self._where}.format", self.format, ("onnx", "huggingface"))
        check_choice(f"{self._where}.precision", self.precision, ("fp32", "bf16", "fp16", "int8"))
        valid = self.device.isidentifier()
        _require(valid, f"{self._where}.device", "a name of letters, digits and underscores", repr(self.device))
        _require(self.threads >= 1, f"{self._where}.threads", ">= 1", self.threads)
        _require(self.timeout_seconds > 0, f"{self._where}.timeout_seconds", "> 0", self.timeout_seconds)
        _require(14 <= self.opset <= 20, f"{self._where}.opset", "between 14 and 20", self.opset)


@dataclass
class ReplayConfig:
    """Measurements read from a file; nothing is timed."""

    path: str = path_field("")
    """JSON file of measurements, as `autodistill.latency.replay.record` writes it; no default."""

    def __post_init__(self) -> None:
        _require(bool(self.path), "latency.replay.path", "the path of a file of measurements", repr(self.path))
