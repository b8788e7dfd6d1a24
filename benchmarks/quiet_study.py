"""A study that a benchmark opens: its messages on the terminal would hide the benchmark's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import autodistill
from autodistill.engine.session import Session, open_session
from autodistill.engine.stop import StopSignal
from autodistill.registry import default_registry
from autodistill.report.progress import QuietProgress


@contextmanager
def quiet_session(overrides: Sequence[str]) -> Iterator[Session]:
    """Open the study of these overrides, making it and its teacher when they are not there."""
    settings = autodistill.compose(overrides)
    with (
        StopSignal() as stop,
        QuietProgress() as progress,
        open_session(settings, default_registry(), overrides=overrides, progress=progress, stop=stop) as session,
    ):
        yield session
