"""A verb on an existing study starts from the study's own overrides; the command line's go on top."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence

from autodistill.configs.composition import SEARCH_PATH, compose_raw, prepare_hydra, translated_errors, user_search_path
from autodistill.configs.settings import to_plain
from autodistill.errors import ConfigError
from autodistill.registry import Registry
from autodistill.report.formats import SECRET

#: Keys that say where a study is, not what it is; a preset of storage may be in a folder of the user's.
_LOCATING = ("study.name", "output_dir", "storage", "storage.url", SEARCH_PATH)


def with_stored_overrides(overrides: Sequence[str], registry: Registry) -> list[str]:
    """Put the overrides that an existing study was made with in front of ``overrides``.

    Only when ``study.name`` is given by name: a command without it means exactly what it says. A key that is given
    now replaces the stored override of the same key.
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
        kept = [
            item.input_line
            for item in OverridesParser.create().parse_overrides(stored)
            if item.key_or_group not in keys and item.input_line
        ]
    if SEARCH_PATH not in keys:
        _check_stored_places(kept, registry)
    return [*kept, *overrides]


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
