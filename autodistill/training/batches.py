"""Small helpers around batches and models, shared by everything that runs a model."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.training import Batch

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch.nn import Module


def on_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch with its tensors on ``device``."""
    if batch.input_ids.device == device:
        return batch
    return Batch(
        input_ids=batch.input_ids.to(device),
        attention_mask=batch.attention_mask.to(device),
        token_type_ids=batch.token_type_ids.to(device),
        labels=None if batch.labels is None else batch.labels.to(device),
        rows=batch.rows.to(device),
    )


def columns_of(batch: Batch) -> dict[str, NDArray[np.int64]]:
    """What other runtimes take of a batch on the CPU: int64 arrays, ``batch x tokens``."""
    return {
        "input_ids": batch.input_ids.numpy(),
        "attention_mask": batch.attention_mask.numpy().astype(np.int64),
        "token_type_ids": batch.token_type_ids.numpy(),
    }


def in_parts(batch: Batch, parts: int) -> list[Batch]:
    """Return the batch in parts whose sizes differ by one example at most; no more parts than examples.

    Args:
        batch: of one example at least; every tensor of it begins with the dimension of the examples.
        parts: >= 1.
    """
    size = len(batch.rows)
    parts = min(parts, size)
    if parts == 1:
        return [batch]
    borders = [index * size // parts for index in range(parts + 1)]
    tensors = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return [
        replace(batch, **{name: value[start:stop] for name, value in tensors.items() if value is not None})
        for start, stop in itertools.pairwise(borders)
    ]


@contextlib.contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Put a model into evaluation mode, and every module of it back into its mode at the end."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
