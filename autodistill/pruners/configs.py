"""Parameters of the built-in pruners: the only home of their defaults and range checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from autodistill.errors import ConfigError


@dataclass
class NoneConfig:
    """Parameters of never stopping."""

    rungs: list[float] = field(default_factory=list)
    """Shares of a flash run, rising in (0, 1), at which it is scored for its learning curve; each costs a scoring."""

    def __post_init__(self) -> None:
        """Check the rungs."""
        check_rungs(self.rungs)


@dataclass
class LatencyBandsConfig:
    """Parameters of successive halving within bands of equal latency."""

    rungs: list[float] = field(default_factory=lambda: [0.25, 0.5])
    """Shares of a flash run, rising in (0, 1), at which it is scored and may be stopped; each costs a scoring."""
    bands: int = 3
    """Parts of about as many trials each, from fast to slow; >= 1."""
    reduction_factor: float = 2.0
    """The best 1 / reduction_factor of a band go on; > 1."""
    min_trials: int = 4
    """Trials of the band that must have reached the rung before one is stopped there; >= 2."""
    grace_trials: int = 4
    """Complete trials of the study before any is stopped; >= 1."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_rungs(self.rungs)
        if self.bands < 1:
            raise ConfigError(f"pruner.bands must be >= 1, got {self.bands}.")
        if not self.reduction_factor > 1:
            raise ConfigError(f"pruner.reduction_factor must be > 1, got {self.reduction_factor}.")
        if self.min_trials < 2:
            raise ConfigError(f"pruner.min_trials must be >= 2, got {self.min_trials}.")
        if self.grace_trials < 1:
            raise ConfigError(f"pruner.grace_trials must be >= 1, got {self.grace_trials}.")


@dataclass
class LearningCurveConfig:
    """Parameters of stopping by extrapolated learning curves."""

    rungs: list[float] = field(default_factory=lambda: [0.25, 0.5])
    """Shares of a flash run, rising in (0, 1), at which it is scored and may be stopped; each costs a scoring."""
    confidence: float = 0.9
    """Of the bound on the final score; a trial is stopped when its chance of the front is below 1 - confidence; in
    (0.5, 1)."""
    min_trials: int = 6
    """Complete trials that a prediction needs; >= 3."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_rungs(self.rungs)
        if not 0.5 < self.confidence < 1:
            raise ConfigError(f"pruner.confidence must be in (0.5, 1), got {self.confidence}.")
        if self.min_trials < 3:
            raise ConfigError(f"pruner.min_trials must be >= 3, got {self.min_trials}.")


def check_rungs(rungs: list[float]) -> None:
    """Raise `ConfigError` unless ``rungs`` rise strictly within (0, 1)."""
    if any(not 0 < rung < 1 for rung in rungs) or any(b <= a for a, b in pairwise(rungs)):
        raise ConfigError(f"pruner.rungs must rise strictly within (0, 1), e.g. [0.25, 0.5], got {rungs}.")
