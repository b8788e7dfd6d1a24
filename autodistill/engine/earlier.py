"""Earlier studies that a search may learn from: found by name, read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autodistill.components.search import EarlierStudy
from autodistill.engine.space import build_space
from autodistill.errors import ConfigError, StudyError

if TYPE_CHECKING:
    from autodistill.configs.settings import Settings
    from autodistill.engine.storage import Storage

#: Parameter of a search strategy that names earlier studies; a strategy that has it gets `SearchContext.earlier`.
PARAMETER = "warm_start"


def earlier_studies(settings: Settings, storage: Storage | None) -> tuple[EarlierStudy, ...]:
    """The studies that the search strategy is to learn from, in the order of its parameter ``warm_start``.

    Args:
        settings: checked configuration.
        storage: where studies live, or None when there is none yet.

    Raises:
        ConfigError: a study is not there, or is this study itself.
    """
    names = list(settings.one("search").parameters.get(PARAMETER) or ())
    if names and storage is None:
        raise ConfigError(
            f"search.{PARAMETER} names {', '.join(names)}, but there is no study in {settings.storage_url} yet. "
            "Give storage.url or output_dir of the earlier studies, or leave search.warm_start out."
        )
    return tuple(_read(settings, storage, name) for name in names) if storage is not None else ()


def _read(settings: Settings, storage: Storage, name: str) -> EarlierStudy:
    if name == settings.study_name:
        raise ConfigError(
            f"search.{PARAMETER} names {name!r}, which is this study itself: it goes on with its own history anyway. "
            "Leave it out, or give the new study another name: study.name=NAME."
        )
    try:
        record = storage.get_study(name)
    except StudyError as error:
        raise ConfigError(f"search.{PARAMETER}: {error}") from error
    student = record.config["student"]
    space = build_space(student["name"], student["space"], student.get("rules") or {})
    return EarlierStudy(name, space, storage.history(record.id))
