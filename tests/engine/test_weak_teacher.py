"""A teacher that has not learnt the task stops a study before its students cost anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_studies import replaced, tiny_study

import autodistill
from autodistill.engine.session import open_session
from autodistill.engine.stop import StopSignal
from autodistill.errors import TeacherError
from autodistill.registry import default_registry
from autodistill.report.progress import QuietProgress

#: One step at a rate that changes nothing: the head stays as random as it was.
UNTAUGHT = ("teacher.fine_tune_epochs=0.1", "teacher.fine_tune_lr=1e-9")


def open_it(overrides: list[str]) -> None:
    settings = autodistill.compose(overrides)
    with (
        StopSignal() as stop,
        QuietProgress() as progress,
        open_session(settings, default_registry(), progress=progress, stop=stop) as session,
    ):
        assert session.step("teacher")["metrics"]


def test_a_teacher_at_chance_stops_the_study_unless_that_is_allowed(tmp_path: Path) -> None:
    overrides = replaced(tiny_study(tmp_path), *UNTAUGHT)
    with pytest.raises(
        TeacherError, match=r"The teacher .* than the trivial answer.*teacher.fine_tune_epochs.*allow_weak=true goes on"
    ):
        open_it(overrides)
    open_it([*overrides, "teacher.allow_weak=true"])
