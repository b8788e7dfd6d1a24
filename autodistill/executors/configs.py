"""Parameters of the built-in executors: the only home of their defaults and range checks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class SequentialConfig:
    """One job after the other has no parameters."""
