"""Checks of an architecture's choices that every family needs."""

from __future__ import annotations

from collections.abc import Sequence

from autodistill.components.architecture import Architecture
from autodistill.errors import ConfigError, did_you_mean


def integer_choices(architecture: Architecture, family: str, names: Sequence[str]) -> dict[str, int]:
    """Return the choices of an architecture as whole numbers.

    Raises:
        ConfigError: another family, a missing or unknown choice, or a value that is no whole number >= 1.
    """
    if architecture.family != family:
        raise ConfigError(
            f"The student family {family!r} cannot build {architecture}: it is of {architecture.family!r}."
        )
    missing = [name for name in names if name not in architecture.choices]
    if missing:
        raise ConfigError(f"{architecture} lacks {', '.join(missing)}; the family {family!r} needs {', '.join(names)}.")
    for name in architecture.choices:
        if name not in names:
            raise ConfigError(
                f"{architecture} has the unknown choice {name!r}.{did_you_mean(name, names)} "
                f"The family {family!r} has {', '.join(names)}."
            )
    return {name: _positive_integer(architecture, name) for name in names}


def _positive_integer(architecture: Architecture, name: str) -> int:
    value = architecture.choices[name]
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} must be a whole number >= 1, got {value!r} in {architecture}.")
    return value
