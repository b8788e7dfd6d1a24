"""Parameters of the plugin's components: the only home of their defaults and range checks."""

from __future__ import annotations

from dataclasses import dataclass

from autodistill.errors import ConfigError


@dataclass
class AnnealingConfig:
    """Parameters of ``template_annealing``."""

    initial: int = 4
    """Random architectures before the first step, >= 1."""
    start_temperature: float = 0.5
    """How far from the best a starting point may be at first, in ranks relative to all trials, in (0, 1]."""
    cooling: float = 0.9
    """Factor on the temperature after every trial, in (0, 1)."""

    def __post_init__(self) -> None:
        if self.initial < 1:
            raise ConfigError(f"search.initial must be >= 1, got {self.initial}.")
        if not 0 < self.start_temperature <= 1:
            raise ConfigError(f"search.start_temperature must be in (0, 1], got {self.start_temperature}.")
        if not 0 < self.cooling < 1:
            raise ConfigError(f"search.cooling must be in (0, 1), got {self.cooling}.")
