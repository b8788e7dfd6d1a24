"""Parameters of the schedules: the only home of their defaults and range checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autodistill.errors import ConfigError
from autodistill.schedules.layer_mapping import check_layer_mapping


@dataclass
class OnePhaseConfig:
    """Parameters of `autodistill.schedules.one_phase.OnePhase`."""

    examples: int = 40000
    """Examples of the full recipe (fidelity 1), >= 1; passes over the train split follow from its size."""

    flash_fidelity: float = 0.05
    """Share of the full recipe that a flash run gets, in (0, 1]; 5 % as in the AutoDistill paper's flash runs."""

    batch_size: int = 32
    """Examples per step, >= 1."""

    lr: float = 3e-4
    """Peak learning rate, > 0."""

    warmup_share: float = 0.1
    """Share of the steps with rising learning rate, in [0, 1]."""

    weight_decay: float = 0.01
    """AdamW's weight decay, >= 0; not applied to biases and normalisation weights."""

    clip_norm: float = 1.0
    """Gradient norm is clipped to this, >= 0; 0 = not at all."""

    optimizer: dict[str, Any] | None = None
    """``{_target_: torch.optim.CLASS, ARGUMENT: VALUE}`` without lr and weight_decay; null is AdamW."""

    layer_mapping: Any = "uniform"
    """Teacher layers that transfer losses compare with: uniform, last, first, skip, or a list such as [4,8,12]."""

    def __post_init__(self) -> None:
        self._check("examples", self.examples >= 1, ">= 1")
        self._check("flash_fidelity", 0 < self.flash_fidelity <= 1, "in (0, 1]")
        self._check("batch_size", self.batch_size >= 1, ">= 1")
        self._check("lr", self.lr > 0, "> 0")
        self._check("warmup_share", 0 <= self.warmup_share <= 1, "in [0, 1]")
        self._check("weight_decay", self.weight_decay >= 0, ">= 0")
        self._check("clip_norm", self.clip_norm >= 0, ">= 0")
        check_layer_mapping(self.layer_mapping)

    def _check(self, name: str, holds: bool, condition: str) -> None:
        """Raise `ConfigError` that names the field and its range."""
        if not holds:
            raise ConfigError(f"schedule.{name} must be {condition}, got {getattr(self, name)}.")
