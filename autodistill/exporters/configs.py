"""Configuration of the built-in exporters; the only home of their defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass

from autodistill.errors import ConfigError


def _check_tolerances(where: str, absolute: float, relative: float) -> None:
    for name, value in (("absolute_tolerance", absolute), ("relative_tolerance", relative)):
        if not 0 <= value < math.inf:
            raise ConfigError(f"{where}.{name} must be >= 0 and finite, got {value}.")


@dataclass
class HuggingFaceConfig:
    """A directory that transformers' Auto classes load without remote code."""

    absolute_tolerance: float = 1e-5
    """Largest difference of a logit from the trained model's, in logits, >= 0."""
    relative_tolerance: float = 1e-5
    """Additional difference allowed per unit of the trained model's logit, >= 0."""

    def __post_init__(self) -> None:
        _check_tolerances("export.huggingface", self.absolute_tolerance, self.relative_tolerance)


@dataclass
class OnnxConfig:
    """One ONNX file with free batch and token axes."""

    opset: int = 17
    """ONNX operator set, 14 to 20; 17 is the first with LayerNormalization as one operator."""
    absolute_tolerance: float = 1e-3
    """Largest difference of a logit from the trained model's, in logits, >= 0."""
    relative_tolerance: float = 1e-3
    """Additional difference allowed per unit of the trained model's logit, >= 0."""

    def __post_init__(self) -> None:
        if not 14 <= self.opset <= 20:  # what torch's TorchScript exporter can write for attention, and its limit
            raise ConfigError(f"export.onnx.opset must be between 14 and 20, got {self.opset}.")
        _check_tolerances("export.onnx", self.absolute_tolerance, self.relative_tolerance)
