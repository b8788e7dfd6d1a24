"""What a training run leaves: how it ended, and its checkpoint on the disk."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from autodistill.errors import StudyError
from autodistill.training.stream import ORDER

logger = logging.getLogger(__name__)

RunState = Literal["complete", "stopped", "interrupted"]

#: Name of the checkpoint in a run's directory.
CHECKPOINT = "last.ckpt"

#: Our part of a Lightning checkpoint.
SECTION = "autodistill"

#: What torch raises for files that are empty, end early, or have holes or other bytes in them.
DAMAGED = (OSError, EOFError, RuntimeError, ValueError, LookupError, AttributeError, pickle.UnpicklingError)


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended.

    Args:
        state: ``complete``; ``stopped`` at a rung or by a callback, for good; ``interrupted``, to be gone on with.
        steps: optimiser steps taken, over all sessions.
        examples: examples read, over all sessions; without those of a run whose trunk this one went on from.
        seconds: wall clock of training, rungs included, over all sessions (what a crash undid is not counted).
        losses: label -> value at the last step, before weighting, and ``total``, their weighted sum.
    """

    state: RunState
    steps: int
    examples: int
    seconds: float
    losses: dict[str, float]


@dataclass
class RunProgress:
    """Where a run stands; travels in the checkpoint, so plain values only.

    Args:
        step: optimiser steps taken.
        seconds: wall clock so far.
        state: ``"running"`` or how it ended.
        losses: see `TrainingResult.losses`.
        random_states: device -> state of torch's generator.
        watch: fields of `autodistill.training.health.LossWatch`.
        parts: in how many parts the examples of a step go through the model.
        taken_over: steps that another run took, on whose trunk this one goes on.
    """

    step: int = 0
    seconds: float = 0.0
    state: str = "running"
    losses: dict[str, float] = field(default_factory=dict)
    random_states: dict[str, torch.Tensor] = field(default_factory=dict)
    watch: dict[str, Any] = field(default_factory=dict)
    parts: int = 1
    taken_over: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The fields, for the checkpoint."""
        return dict(vars(self))


def identity_text(identity: Mapping[str, Any]) -> str:
    """Return what must be the same for a run to go on, as canonical JSON."""
    return json.dumps(identity, sort_keys=True, default=str)


def _read(path: Path) -> dict[str, Any] | None:
    """A checkpoint, read without unpickling code; None where there is none, or a damaged one, with a warning."""
    if not path.is_file():
        return None
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        RunProgress(**checkpoint[SECTION]["progress"])
    except (*DAMAGED, TypeError) as error:  # TypeError: what another version keeps of a run
        # Nothing is lost but time: the run takes its steps again, to the same result.
        logger.warning(
            "%s is damaged and not gone on from (%s: %s); its steps are taken again.", path, type(error).__name__, error
        )
        return None
    return checkpoint


def load_checkpoint(directory: Path, identity: str) -> dict[str, Any] | None:
    """Return a run's checkpoint, or None when there is none that can be read.

    Args:
        directory: of the run.
        identity: of the run that wants to go on.

    Raises:
        StudyError: the checkpoint is of another run.
    """
    path = directory / CHECKPOINT
    checkpoint = _read(path)
    if checkpoint is not None and checkpoint[SECTION].get("order") != ORDER:
        logger.warning("%s is of an earlier version, which read examples in another order; this run starts anew.", path)
        return None
    if checkpoint is not None and checkpoint[SECTION]["identity"] != identity:
        raise StudyError(
            f"The checkpoint {path} is of a run with other settings, so this run cannot go on from it.\n"
            f"  there: {checkpoint[SECTION]['identity']}\n  here:  {identity}\n"
            "Use the same settings, or another checkpoint directory."
        )
    return checkpoint


def load_trunk(path: Path, identity: str, end: int) -> dict[str, Any] | None:
    """Return the state that another run kept at the end of its trunk, as the start of a longer run.

    What cannot be used is not needed either: the run then takes all of its steps itself, to the same result.

    Args:
        path: where it is, if it is.
        identity: what runs on one trunk have in common.
        end: step at which the longer run's trunk ends.
    """
    checkpoint = _read(path)
    if checkpoint is None:
        return None
    section = checkpoint[SECTION]
    step = section["progress"]["step"]
    if section["shared"] != identity or section.get("order") != ORDER or step > end:
        logger.warning(
            "%s is of a run with other settings or of an earlier version; this one starts from the beginning.", path
        )
        return None
    section["progress"] |= {"taken_over": step, "seconds": 0.0}
    return checkpoint
