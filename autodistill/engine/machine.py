"""Errors of the machine, which are no failures of what was being done."""

from __future__ import annotations

from autodistill.errors import MachineError
from autodistill.training.health import disk_failed


def check_disk(error: Exception, what: str) -> None:
    """Raise `MachineError` when ``error`` is one of the disk; ``what`` was being done, e.g. ``"trial 3 (flash)"``."""
    if disk_failed(error):
        raise MachineError(
            f"The disk failed under {what}: {error}. That is no failure of the architecture, and is not recorded as "
            "one: make room, and the same command goes on."
        ) from error
