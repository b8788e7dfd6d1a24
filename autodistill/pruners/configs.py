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
        check_rungs("none", self.rungs)


def check_rungs(pruner: str, rungs: list[float]) -> None:
    """Raise `ConfigError` unless ``rungs`` rise strictly within (0, 1)."""
    if any(not 0 < rung < 1 for rung in rungs) or any(b <= a for a, b in pairwise(rungs)):
        raise ConfigError(f"pruner.{pruner}.rungs must rise strictly within (0, 1), e.g. [0.25, 0.5], got {rungs}.")
