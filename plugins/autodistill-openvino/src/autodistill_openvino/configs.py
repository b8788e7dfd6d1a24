"""Parameters of the plugin's backend: the only home of their defaults and range checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from autodistill.errors import ConfigError
from autodistill.latency.configs import MeasuredConfig, check_choice


@dataclass
class OpenVinoConfig(MeasuredConfig):
    """The model as ONNX, timed by OpenVINO on the CPU."""

    precision: str = "fp32"
    """``fp32``; ``bf16``, a hint to the runtime, which takes fp32 where the CPU has no bf16; ``int8``: weights as int8,
    activations quantised as they come."""
    opset: int = 17
    """ONNX operator set of the conversion, 14 to 20."""
    device: str = "cpu"
    """Only ``cpu``."""

    _where: ClassVar[str] = "latency.openvino"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(f"{self._where}.device", self.device, ("cpu",))
        check_choice(f"{self._where}.precision", self.precision, ("fp32", "bf16", "int8"))
        if not 14 <= self.opset <= 20:
            raise ConfigError(f"{self._where}.opset must be between 14 and 20, got {self.opset}.")
