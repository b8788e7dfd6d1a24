"""A verb on an existing study starts from the study's own overrides; the command line's go on top."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autodistill.configs.composition import (
    GROUPS,
    SEARCH_PATH,
    compose_raw,
    prepare_hydra,
    translated_errors,
    user_search_path,
)
from autodistill.configs.settings import to_plain
from autodistill.errors import ConfigError
from autodistill.registry import Registry
from autodistill.report.formats import SECRET

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

#: Keys that say where a study is, not what it is; a preset of storage may be in a folder of the user's.
_LOCATING = ("study.name", "output_dir", "storage", "storage.url", SEARCH_PATH)


def with_stored_overrides(overrides: Sequence[str], registry: Registry) -> list[str]:
    """Put the overrides that an existing study was made with in front of ``overrides``.

    Only when ``study.name`` is given by name: a command without it means exactly what it says. A key that is given
    now replaces the stored override of the same key; a group that is chosen anew, those of its former choice.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    prepare_hydra(registry)
    with translated_errors(registry):
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    keys = {item.key_or_group for item in parsed}
    if "study.name" not in keys:
        return list(overrides)
    located = [item.input_line for item in parsed if item.key_or_group in _LOCATING and item.input_line]
    stored = _without_masked(_stored(located, registry), keys)
    with translated_errors(registry):
        before = OverridesParser.create().parse_overrides(stored)
    left_out = {item.input_line for item in _of_former_choices(before, parsed, registry)}
    kept = [
        item.input_line
        for item in before
        if item.key_or_group not in keys and item.input_line and item.input_line not in left_out
    ]
    if SEARCH_PATH not in keys:
        _check_stored_places(kept, registry)
    return [*kept, *overrides]


def _of_former_choices(stored: Sequence[Override], given: Sequence[Override], registry: Registry) -> Iterator[Override]:
    """Stored overrides below groups whose choice is another one now, which may not have such a key; says which."""
    choices: Mapping[str, Any] | None = None
    for group, chosen in _chosen(given).items():
        below = [item for item in stored if item.key_or_group.startswith(f"{group}.")]
        if isinstance(chosen, list):  # labels that are chosen now keep their parameters
            below = [item for item in below if item.is_delete() or item.key_or_group.split(".")[1] not in chosen]
        if not below:
            continue
        choices = _choices(stored, registry) if choices is None else choices
        if chosen is not None and choices.get(group) == chosen:
            continue
        lines = ", ".join(str(item.input_line) for item in below)
        print(
            f"autodistill: {group} is chosen anew, so what the study was given for its former choice is left out: "
            f"{lines}. Give it again where it still holds.",
            file=sys.stderr,
        )
        yield from below


def _chosen(given: Sequence[Override]) -> dict[str, str | list[str] | None]:
    """Group -> what is chosen for it, of the groups that are chosen by overrides; None for one that is taken away."""
    found: dict[str, str | list[str] | None] = {}
    for item in given:
        value: Any = item.value()
        if item.key_or_group in GROUPS and not isinstance(value, dict):
            found[item.key_or_group] = [str(one) for one in value] if isinstance(value, list) else value
    return found


def _choices(stored: Sequence[Override], registry: Registry) -> Mapping[str, Any]:
    """Group -> what the study chose for it; nothing where it cannot be composed any more."""
    try:
        return compose_raw([item.input_line for item in stored if item.input_line], registry)[1]
    except ConfigError:
        return {}


def _without_masked(stored: Sequence[str], given: Collection[str]) -> list[str]:
    """Stored overrides but for those whose secret was not stored; says which are missing."""
    kept = [override for override in stored if SECRET not in override]
    for override in sorted(set(stored) - set(kept)):
        key = override.partition("=")[0]
        if key.lstrip("+") not in given:
            print(
                f"autodistill: the study was made with {override}, whose secret is not stored, so it is left out. If "
                f"it is needed, give it again; '{key}=\"${{oc.env:NAME}}\"' takes it from the environment.",
                file=sys.stderr,
            )
    return kept


def _check_stored_places(stored: Sequence[str], registry: Registry) -> None:
    try:
        user_search_path(stored, registry)
    except ConfigError as error:
        raise ConfigError(
            f"{error} The study was made with presets from there. Say where they are now: {SEARCH_PATH}=[file:///DIR]."
        ) from error


def _stored(located: list[str], registry: Registry) -> list[str]:
    config, _ = compose_raw(located, registry)
    plain = {key: value for key, value in to_plain(config).items() if key in ("study", "storage")}
    url, name = str(plain["storage"]["url"]), plain["study"]["name"]
    from autodistill.engine.storage import Storage
    from autodistill.engine.storage_connection import missing_file

    if missing_file(url) is not None:
        return []  # opening would make the file

    with Storage(url) as storage:
        record = storage.find_study(str(name))
    return [] if record is None else [str(item) for item in record.components.get("overrides", [])]
