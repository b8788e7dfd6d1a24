"""Trials that a user adds by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autodistill.engine.explore import add_beside_search
from autodistill.engine.given_architectures import read_architecture

if TYPE_CHECKING:
    from autodistill.engine.session import Session


def manual_trial(session: Session, given: Mapping[str, Any]) -> int:
    """The number of the trial of an architecture given by hand, added when it is new."""
    architecture = read_architecture(given, session.bench.family_name)
    session.bench.check_architecture(architecture)
    for trial in session.storage.trials(session.study.id):
        if trial.architecture == architecture and trial.origin not in ("baseline", "repeat"):
            return trial.number
    return add_beside_search(session, architecture, "manual").number
