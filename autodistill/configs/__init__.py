"""Configurations: composing, checking, ConfigStore nodes, and the one door for ``_target_``."""

from __future__ import annotations

from autodistill.configs.composition import compose
from autodistill.configs.settings import Settings
from autodistill.configs.targets import instantiate

__all__ = ["Settings", "compose", "instantiate"]
