"""Trials that a user adds by hand, and architectures given in a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autodistill.components.architecture import Architecture
from autodistill.engine.explore import trial_seed
from autodistill.errors import ConfigError

if TYPE_CHECKING:
    from autodistill.engine.session import Session


def read_architecture(given: Mapping[str, Any], default_family: str) -> Architecture:
    """An architecture from configuration: ``{family: bert, choices: {...}}`` or the choices alone.

    Raises:
        ConfigError: it has another form.
    """
    choices = given.get("choices", given)
    family = given.get("family", default_family)
    plain = isinstance(choices, Mapping) and all(isinstance(v, (bool, int, float, str)) for v in choices.values())
    if not plain or not isinstance(family, str) or not choices:
        raise ConfigError(
            "architecture must be {family: NAME, choices: {PARAMETER: VALUE, ...}}, e.g. "
            "'architecture={family: bert, choices: {num_layers: 3, hidden_size: 384, num_heads: 12, "
            f"intermediate_size: 768}}}}', got {dict(given)!r}."
        )
    return Architecture(family, dict(choices))


def manual_trial(session: Session, given: Mapping[str, Any]) -> int:
    """The number of the trial of an architecture given by hand, added when it is new."""
    architecture = read_architecture(given, session.bench.family_name)
    session.bench.check_architecture(architecture)
    for trial in session.storage.trials(session.study.id):
        if trial.architecture == architecture and trial.origin != "baseline":
            return trial.number
    added = session.storage.add_trial(
        session.study.id,
        architecture,
        replicate=0,
        origin="manual",
        label=None,
        in_space=architecture in session.bench.space,
        note=None,
        seed=trial_seed(session, architecture, 0),
    )
    session.storage.update_trial(session.study.id, added.number, known=session.known.exact(architecture))
    return added.number
