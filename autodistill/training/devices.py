"""Where models run apart from their training: the device of the study's trainer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

from autodistill.errors import ConfigError

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
    named = named_devices(trainer.get("devices", 1))
    return torch.device("cuda", named[0] if named else 0)


def named_devices(devices: Any) -> list[int] | None:
    """Return the numbers of devices that are given one by one, as in ``[0, 1]`` or ``"1,"``; None of a mere count.

    Args:
        devices: the Trainer's argument.

    Raises:
        ConfigError: one of them is no number.
    """
    text = isinstance(devices, str) and "," in devices
    if not text and not isinstance(devices, (list, tuple)):
        return None
    parts = [part for part in devices.split(",") if part.strip()] if text else devices
    try:
        return [int(part) for part in parts]
    except (TypeError, ValueError):
        raise ConfigError(
            f"trainer.devices must be a number of devices, auto, or the numbers of some, got {devices!r}. Give one "
            'number, as in trainer.devices=1, or a list of them: trainer.devices="1," is the second device alone.'
        ) from None


@contextlib.contextmanager
def placed(model: PreTrainedModel, device: str | torch.device) -> Iterator[None]:
    """Move a model to ``device`` for the block, and back to where it was."""
    home = next(model.parameters()).device
    model.to(device)
    try:
        yield
    finally:
        model.to(home)
