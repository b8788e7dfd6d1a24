"""Where models run apart from their training: the device of the study's trainer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Lightning's names of what torch calls ``cuda``; ``auto`` takes it where it is.
CUDA = ("cuda", "gpu", "auto")


def training_device(trainer: Mapping[str, Any]) -> torch.device:
    """Return the device on which a study trains, and so scores and runs the teacher: its first, where it has several.

    Args:
        trainer: the configuration's trainer group.
    """
    if str(trainer.get("accelerator", "cpu")) not in CUDA or not torch.cuda.is_available():
        return torch.device("cpu")
    devices = trainer.get("devices", 1)
    first = devices[0] if isinstance(devices, (list, tuple)) else 0
    return torch.device("cuda", int(first))


@contextlib.contextmanager
def placed(model: PreTrainedModel, device: str | torch.device) -> Iterator[None]:
    """Move a model to ``device`` for the block, and back to where it was."""
    home = next(model.parameters()).device
    model.to(device)
    try:
        yield
    finally:
        model.to(home)
