"""``autodistill plugins``: every component, who provides it, and what failed to load. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence

from autodistill.components.specs import KINDS
from autodistill.errors import UserError
from autodistill.registry import Registered, Registry, default_registry


def plugins(arguments: Sequence[str]) -> int:
    """Print the table; with ``--check`` return 1 when a plugin is broken.

    A component that misses what it requires is no failure: the table says what to install.
    """
    unknown = [argument for argument in arguments if argument != "--check"]
    if unknown:
        raise UserError(f"autodistill plugins takes --check only, got {' '.join(unknown)}.")
    registry = default_registry()
    print("\n".join(plugin_table(registry)))
    return 1 if "--check" in arguments and registry.failures else 0


def plugin_table(registry: Registry) -> list[str]:
    """The lines of the table: components by kind, then failures."""
    lines: list[str] = []
    for kind in KINDS.values():
        found = [registry.get(kind.name, name) for name in registry.names(kind.name)]
        lines += [f"{kind.plural} ({kind.name}=NAME{', several' if kind.several else ''})"]
        lines += [_row(registered) for registered in found] or ["  (none)"]
        lines.append("")
    lines += [f"FAILED {failure}" for failure in registry.failures]
    return lines if registry.failures else lines[:-1]


def _row(registered: Registered) -> str:
    spec = registered.spec
    missing = f" [needs {', '.join(registered.missing)}: {registered.install_hint}]" if registered.missing else ""
    return f"  {spec.name:<20} {registered.provider!s:<34} {spec.summary}{missing}"
