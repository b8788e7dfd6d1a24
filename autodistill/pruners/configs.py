"""Parameters of the built-in pruners: the only home of their defaults and range checks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class NoneConfig:
    """Never stopping has no parameters."""
