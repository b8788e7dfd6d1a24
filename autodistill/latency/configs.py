"""Configuration of the built-in latency backends; the only home of their defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from autodistill.components.specs import path_field
from autodistill.errors import ConfigError


class _Measured(Protocol):
    batch_size: int
    lengths: list[int] | None
    threads: int | None
    target_relative_half_width: float
    max_seconds: float
    min_repeats: int
    restart_after: int
    timeout_seconds: float


def _require(holds: bool, where: str, bound: str, value: object) -> None:
    if not holds:
        raise ConfigError(f"{where} must be {bound}, got {value}.")


def _check_measured(where: str, config: _Measured) -> None:
    for name in ("batch_size", "min_repeats", "restart_after"):
        value = getattr(config, name)
        _require(value >= 1, f"{where}.{name}", ">= 1", value)
    for name in ("target_relative_half_width", "max_seconds", "timeout_seconds"):
        value = getattr(config, name)
        _require(value > 0, f"{where}.{name}", "> 0", value)
    if config.threads is not None:
        _require(config.threads >= 1, f"{where}.threads", ">= 1 or null", config.threads)
    if config.lengths is not None:
        valid = bool(config.lengths) and all(length >= 1 for length in config.lengths)
        _require(valid, f"{where}.lengths", "null or a list of numbers >= 1", config.lengths)


def _check_choice(where: str, value: str, possible: tuple[str, ...]) -> None:
    _require(value in possible, where, f"one of {', '.join(possible)}", repr(value))


@dataclass
class OnnxRuntimeConfig:
    """The model as ONNX, timed by onnxruntime on the CPU."""

    batch_size: int = 1
    """Sequences per request, >= 1."""
    lengths: list[int] | None = None
    """Tokens per sequence; requests cycle through them. Null: quantiles of the lengths of the study's data."""
    precision: str = "fp32"
    """``fp32``, or ``int8``: weights as int8, activations quantised as they come."""
    threads: int | None = None
    """Threads of the runtime, >= 1. Null: every physical core that this process may use."""
    target_relative_half_width: float = 0.02
    """Stop when half the 95 % interval of the median is below this share of it, > 0."""
    max_seconds: float = 2.0
    """Stop timing one model after this many seconds, > 0, whatever was reached."""
    min_repeats: int = 10
    """Requests per length at least, >= 1, unless ``max_seconds`` are over; an interval needs 6."""
    restart_after: int = 50
    """Start a fresh worker process after this many models, >= 1."""
    timeout_seconds: float = 120.0
    """Give a model up when the worker has not answered for so long, > 0."""
    opset: int = 17
    """ONNX operator set of the conversion, 14 to 20."""
    device: str = "cpu"
    """Only ``cpu``."""

    def __post_init__(self) -> None:
        _check_measured("latency.onnxruntime", self)
        _check_choice("latency.onnxruntime.precision", self.precision, ("fp32", "int8"))
        _check_choice("latency.onnxruntime.device", self.device, ("cpu",))
        _require(14 <= self.opset <= 20, "latency.onnxruntime.opset", "between 14 and 20", self.opset)


@dataclass
class TorchConfig:
    """The model in PyTorch, as transformers loads it."""

    batch_size: int = 1
    """Sequences per request, >= 1."""
    lengths: list[int] | None = None
    """Tokens per sequence; requests cycle through them. Null: quantiles of the lengths of the study's data."""
    precision: str = "fp32"
    """``fp32``, ``bf16`` or (on ``cuda``) ``fp16``: weights and arithmetic."""
    threads: int | None = None
    """Threads of the runtime, >= 1. Null: every physical core that this process may use."""
    target_relative_half_width: float = 0.02
    """Stop when half the 95 % interval of the median is below this share of it, > 0."""
    max_seconds: float = 2.0
    """Stop timing one model after this many seconds, > 0, whatever was reached."""
    min_repeats: int = 10
    """Requests per length at least, >= 1, unless ``max_seconds`` are over; an interval needs 6."""
    restart_after: int = 50
    """Start a fresh worker process after this many models, >= 1."""
    timeout_seconds: float = 120.0
    """Give a model up when the worker has not answered for so long, > 0."""
    compile: bool = False
    """Whether ``torch.compile`` takes the model first (every length compiles anew: raise ``timeout_seconds``)."""
    device: str = "cpu"
    """``cpu`` or ``cuda``."""

    def __post_init__(self) -> None:
        _check_measured("latency.torch", self)
        _check_choice("latency.torch.device", self.device, ("cpu", "cuda"))
        possible = ("fp32", "bf16", "fp16") if self.device == "cuda" else ("fp32", "bf16")
        _check_choice("latency.torch.precision", self.precision, possible)


@dataclass
class ReplayConfig:
    """Measurements read from a file; nothing is timed."""

    path: str = path_field("")
    """JSON file of measurements, as `autodistill.latency.replay.record` writes it; no default."""

    def __post_init__(self) -> None:
        _require(bool(self.path), "latency.replay.path", "the path of a file of measurements", repr(self.path))
