"""Parameters of the built-in baselines and their range checks."""

from __future__ import annotations

from dataclasses import dataclass, field

from autodistill.errors import ConfigError


@dataclass
class TeacherTruncatedConfig:
    """Parameters of the baseline ``teacher_truncated``."""

    layers: list[int] | None = None
    """Numbers of layers to keep, each >= 1, one baseline for each; null is half of the teacher's."""

    def __post_init__(self) -> None:
        if self.layers is not None and (not self.layers or min(self.layers) < 1):
            raise ConfigError(
                f"baseline.teacher_truncated.layers must be null or a list of whole numbers >= 1, got {self.layers}."
            )


@dataclass
class UniformScalingConfig:
    """Parameters of the baseline ``uniform_scaling``."""

    scales: list[float] = field(default_factory=lambda: [0.25, 0.5, 0.75])
    """Factors in (0, 1) on depth, heads (width with them) and feed-forward width; one baseline for each."""

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale < 1 for scale in self.scales):
            raise ConfigError(
                f"baseline.uniform_scaling.scales must be a list of at least one number in (0, 1), got {self.scales}."
            )


@dataclass
class PublishedArchitectureConfig:
    """A baseline with published sizes has no parameters."""
