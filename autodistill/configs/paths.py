"""Paths in a configuration: what is given relative to the working directory is made absolute when it is composed.

A config dataclass marks such a field with `path_field`. What is stored with a study then means the same file
wherever the study goes on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from autodistill.components.specs import KINDS, PATH_MARK
from autodistill.registry import Registry

#: Values that Hydra's grammar takes without quotes.
_PLAIN = re.compile(r"[\w./-]+")


def with_absolute_paths(raw: Mapping[str, Any], registry: Registry) -> tuple[dict[str, Any], dict[str, str]]:
    """Make the paths of a composed configuration absolute.

    A value that names nothing in the working directory stays as it is: a teacher's name on a hub, or a mistake that
    its component reports as it was given.

    Args:
        raw: plain containers.
        registry: what the components are.

    Returns:
        The configuration, and configuration key -> absolute path of what was changed.
    """
    changed: dict[str, str] = {}
    found = dict(raw)
    for kind in KINDS.values():
        group = raw.get(kind.name)
        if not isinstance(group, Mapping):
            continue
        if kind.several:
            found[kind.name] = {
                label: _absolute(kind.name, node, f"{kind.name}.{label}", registry, changed)
                for label, node in group.items()
            }
        else:
            found[kind.name] = _absolute(kind.name, group, kind.name, registry, changed)
    section = raw.get("fine_tuning")
    if isinstance(section, Mapping) and isinstance(section.get("tasks"), Mapping):
        tasks = {
            label: _absolute("data", node, f"fine_tuning.tasks.{label}", registry, changed)
            for label, node in section["tasks"].items()
        }
        found["fine_tuning"] = {**section, "tasks": tasks}
    return found, changed


def _absolute(kind: str, node: Any, where: str, registry: Registry, changed: dict[str, str]) -> Any:
    if not isinstance(node, Mapping) or node.get("name") not in registry.names(kind):
        return node
    found = dict(node)
    for name in path_fields(registry.get(kind, str(node["name"])).spec.config):
        value = node.get(name)
        if isinstance(value, str) and value and not os.path.isabs(value):
            path = os.path.abspath(Path(value).expanduser())
            if os.path.exists(path):
                found[name] = changed[f"{where}.{name}"] = path
    return found


def path_fields(config: type[Any]) -> Iterator[str]:
    """Names of the fields of a config dataclass that hold paths."""
    return (field.name for field in fields(config) if field.metadata.get(PATH_MARK))


def overrides_with_paths(overrides: Sequence[str], changed: Mapping[str, str]) -> list[str]:
    """Overrides that mean the same in every working directory.

    Args:
        overrides: as they were given.
        changed: see `with_absolute_paths`.
    """
    kept = [item for item in overrides if item.partition("=")[0].lstrip("+") not in changed]
    return [*kept, *(f"++{key}={quoted(path)}" for key, path in changed.items())]


def quoted(text: str) -> str:
    """Text as a value of Hydra's grammar."""
    if _PLAIN.fullmatch(text):
        return text
    # A quote is escaped, and so are backslashes before one, the closing quote included.
    escaped = re.sub(r'(\\*)("|$)', lambda found: 2 * found[1] + found[2].replace('"', '\\"'), text)
    return f'"{escaped}"'
