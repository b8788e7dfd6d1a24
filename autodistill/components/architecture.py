"""Architectures: what a search proposes, a family builds and a study remembers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Choice: TypeAlias = "bool | int | float | str"

# One encoder for all: json.dumps would make one for every architecture.
_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def canonical_choice(value: Choice) -> Choice:
    """Return ``value`` with whole floats as integers, so that 4 and 4.0 are one architecture."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


@dataclass(frozen=True, slots=True, eq=False)
class Architecture:
    """A student family and the choices that fix one member of it.

    Two architectures are equal when their canonical forms are; the order in which choices were given does not
    matter. An architecture need not lie in a study's search space (a baseline rarely does).

    Args:
        family: registry name of the student family.
        choices: parameter name -> value.
    """

    family: str
    choices: Mapping[str, Choice]
    _text: str | None = field(default=None, init=False, repr=False)
    """The canonical form once it was asked for: sets and dictionaries of architectures ask for nothing else."""

    def __post_init__(self) -> None:
        ordered = {name: canonical_choice(self.choices[name]) for name in sorted(self.choices)}
        object.__setattr__(self, "choices", ordered)

    @property
    def canonical(self) -> str:
        """The canonical form: JSON with sorted keys and no white space."""
        if self._text is None:
            object.__setattr__(self, "_text", _ENCODE({"choices": dict(self.choices), "family": self.family}))
        return str(self._text)

    @property
    def digest(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the canonical form."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()[:16]

    @classmethod
    def from_canonical(cls, text: str) -> Architecture:
        """Read back what `canonical` wrote."""
        data = json.loads(text)
        return cls(data["family"], data["choices"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self.canonical == other.canonical

    def __hash__(self) -> int:
        return hash(self.canonical)

    def __str__(self) -> str:
        return f"{self.family}({', '.join(f'{name}={value}' for name, value in self.choices.items())})"
