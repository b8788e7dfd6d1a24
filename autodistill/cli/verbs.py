"""What each verb does with checked settings; one function per verb."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autodistill.configs.settings import Settings
from autodistill.errors import ConfigError, StudyError

if TYPE_CHECKING:
    from autodistill.registry import Registry

#: Verbs that read stored studies and need no data source.
READING = ("report", "studies")

#: Verbs that work on a saved model.
ON_A_MODEL = ("evaluate", "export")


def check(verb: str, settings: Settings) -> None:
    """Refuse settings that the verb cannot work with, before any folder is made.

    Raises:
        ConfigError: says what is missing.
    """
    if verb not in READING:
        settings.one("data")
    if verb in ON_A_MODEL and settings.model is None:
        raise ConfigError(f"autodistill {verb} needs model=DIR, a saved model directory.")
    if settings.model is not None and not (Path(settings.model) / "config.json").is_file():
        raise ConfigError(
            f"model={settings.model} is no saved model: there is no config.json in it. Give the directory that "
            "holds config.json and model.safetensors, e.g. outputs/quickstart/picks/N/hf, where N is a pick's number."
        )
    if settings.trial is not None and (isinstance(settings.trial, bool) or not isinstance(settings.trial, int)):
        raise ConfigError(f"trial must be a trial's number, got {settings.trial!r}.")


def perform(verb: str, settings: Settings, registry: Registry, overrides: Sequence[str]) -> int:
    """Run a verb; returns the exit code."""
    from autodistill.cli import latency_verb, model_verbs, study_verbs

    verbs: dict[str, Callable[[Settings, Registry, Sequence[str]], int]] = {
        "run": study_verbs.run,
        "explore": study_verbs.explore,
        "distill": study_verbs.distill,
        "report": study_verbs.report,
        "studies": study_verbs.studies,
        "plan": study_verbs.plan,
        "evaluate": model_verbs.evaluate,
        "latency": latency_verb.latency,
        "export": model_verbs.export,
    }
    if verb not in verbs:
        raise StudyError(f"Unknown verb {verb!r}.")
    return verbs[verb](settings, registry, overrides)
