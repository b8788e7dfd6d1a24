"""Every environment that a study was worked on in: its numbers come from all of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from autodistill.engine.cache import cache_key
from autodistill.engine.storage import Storage

#: What the names of their steps begin with.
PREFIX = "environment/"

#: When a study was first worked on in an environment, in UTC.
FIRST_USED = "first_used"


def remember_environment(
    storage: Storage, study_id: int, environment: Mapping[str, Any], last: Mapping[str, Any] | None
) -> str | None:
    """Add an environment to those of a study, unless it is among them.

    Args:
        storage: of the study.
        study_id: of the study.
        environment: see `describe_environment`.
        last: the one that the study was worked on in last, or None for a new study.

    Returns:
        In words how a new one differs from the last one; None where there is nothing to say.
    """
    if last and not environments_of(storage, study_id):  # of a study that an earlier version made
        _add(storage, study_id, last)
    if not _add(storage, study_id, environment) or not last:
        return None
    changed = differences([last, environment])
    changes = [f"{name} {_short(old)} -> {_short(new)}" for name, (old, new) in changed.items()]
    return (
        f"This study was worked on in another environment before ({'; '.join(changes)}). Its report lists both: "
        "what was trained here and there agrees only as far as these do."
    )


def _add(storage: Storage, study_id: int, environment: Mapping[str, Any]) -> bool:
    """Whether it was new: the first of several processes has added it."""
    now = datetime.now(UTC).isoformat(timespec="microseconds")  # several processes may start within a second
    stored = storage.set_step(study_id, PREFIX + cache_key(_telling(environment)), {**environment, FIRST_USED: now})
    return bool(stored[FIRST_USED] == now)


def environments_of(storage: Storage, study_id: int) -> list[dict[str, Any]]:
    """All environments of a study, the first used first; empty for a study of an earlier version."""
    return sorted(storage.steps(study_id, PREFIX).values(), key=lambda item: str(item[FIRST_USED]))


def differences(environments: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Name, ``libraries.torch`` say -> values of what is not the same in all; None where one does not have it."""
    flat = [_flat(item) for item in environments]
    names = dict.fromkeys(name for item in flat for name in item)
    columns = {name: [item.get(name) for item in flat] for name in names}
    return {name: values for name, values in columns.items() if any(value != values[0] for value in values)}


def _telling(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What may change a number: virtual machines of one type differ in pages of memory, and kernels are mended."""
    told = {name: value for name, value in environment.items() if name not in (FIRST_USED, "memory_bytes")}
    if isinstance(told.get("platform"), str):
        system, *_, machine = told["platform"].split()
        told["platform"] = f"{system} {machine}"
    return told


def _flat(environment: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in _telling(environment).items():
        inner = value if isinstance(value, Mapping) else None
        found.update({name: value} if inner is None else {f"{name}.{key}": item for key, item in inner.items()})
    return found


def _short(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else "none" if value is None else str(value)
