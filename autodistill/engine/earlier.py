"""Earlier studies that a search may learn from: found by name, read-only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autodistill.components.search import EarlierStudy
from autodistill.engine.space import stored_space
from autodistill.errors import ConfigError, StudyError

if TYPE_CHECKING:
    from autodistill.configs.settings import Settings
    from autodistill.engine.storage import Storage

#: Parameter of a search strategy that names earlier studies; a strategy that has it gets `SearchContext.earlier`.
PARAMETER = "warm_start"


def earlier_studies(settings: Settings, storage: Storage | None, study: int | None = None) -> tuple[EarlierStudy, ...]:
    """The studies that the search strategy is to learn from, in the order of its parameter ``warm_start``.

    An earlier study may still run. The new one learns from what it had seen when it was first asked, so that every
    proposal can be reproduced; see `remember`.

    Args:
        settings: checked configuration.
        storage: where studies live, or None when there is none yet.
        study: the new study, where it exists already.

    Raises:
        ConfigError: a study is not there, or is this study itself.
    """
    names = list(settings.one("search").parameters.get(PARAMETER) or ())
    if names and storage is None:
        raise ConfigError(
            f"search.{PARAMETER} names {', '.join(names)}, but there is no study in {settings.storage_url} yet. "
            "Give storage.url or output_dir of the earlier studies, or leave search.warm_start out."
        )
    return tuple(_read(settings, storage, name, study) for name in names) if storage is not None else ()


def remember(storage: Storage, study: int, earlier: Sequence[EarlierStudy]) -> None:
    """Note how much the study knows of each earlier study; what was noted once stays."""
    for item in earlier:
        storage.set_step(study, _step(item.name), {"tells": 1 + max(item.history.told, default=-1)})


def _step(name: str) -> str:
    return f"earlier:{name}"


def _read(settings: Settings, storage: Storage, name: str, study: int | None) -> EarlierStudy:
    if name == settings.study_name:
        raise ConfigError(
            f"search.{PARAMETER} names {name!r}, which is this study itself: it goes on with its own history anyway. "
            "Leave it out, or give the new study another name: study.name=NAME."
        )
    try:
        record = storage.get_study(name)
    except StudyError as error:
        raise ConfigError(f"search.{PARAMETER}: {error}") from error
    space = stored_space(record.config["student"])
    history, noted = storage.history(record.id), None if study is None else storage.step(study, _step(name))
    until = len(history) if noted is None else int(noted["tells"])
    return EarlierStudy(name, space, history.take([row for row, told in enumerate(history.told) if 0 <= told < until]))
