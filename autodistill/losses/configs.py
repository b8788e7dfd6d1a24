"""Parameters of the distillation losses: the only home of their defaults and range checks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from autodistill.errors import ConfigError


def check_weight(name: str, weight: float) -> None:
    """Raise `ConfigError` unless ``weight`` is a finite number >= 0."""
    if not (math.isfinite(weight) and weight >= 0):
        raise ConfigError(f"loss.{name}.weight must be finite and >= 0, got {weight}.")


@dataclass
class LogitsKLConfig:
    """Parameters of `autodistill.losses.logits_kl.LogitsKL`."""

    weight: float = 1.0
    """Factor of this loss in the sum, >= 0."""

    temperature: float = 2.0
    """Softening temperature of both distributions, > 0; not used for regression."""

    def __post_init__(self) -> None:
        check_weight("logits_kl", self.weight)
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ConfigError(f"loss.logits_kl.temperature must be > 0, got {self.temperature}.")


@dataclass
class HiddenMSEConfig:
    """Parameters of `autodistill.losses.hidden_mse.HiddenMSE`."""

    weight: float = 1.0
    """Factor of this loss in the sum, >= 0."""

    embeddings: bool = True
    """Whether the outputs of the embedding blocks are compared too."""

    def __post_init__(self) -> None:
        check_weight("hidden_mse", self.weight)


@dataclass
class AttentionKLConfig:
    """Parameters of `autodistill.losses.attention_kl.AttentionKL`."""

    weight: float = 1.0
    """Factor of this loss in the sum, >= 0."""

    def __post_init__(self) -> None:
        check_weight("attention_kl", self.weight)


@dataclass
class HardLabelConfig:
    """Parameters of `autodistill.losses.hard_label.HardLabel`."""

    weight: float = 1.0
    """Factor of this loss in the sum, >= 0."""

    def __post_init__(self) -> None:
        check_weight("hard_label", self.weight)
