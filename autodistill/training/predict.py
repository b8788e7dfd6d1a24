"""Answers of a model on a whole split."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from autodistill.training.batches import evaluating, on_device
from autodistill.training.features import forward_features

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from autodistill.training.tokenised import TokenisedSplit


def predict(
    model: PreTrainedModel, split: TokenisedSplit, batch_size: int = 64, device: str | torch.device = "cpu"
) -> NDArray[np.float32]:
    """Return the logits of every example, in the split's order.

    Examples of like length share a batch, so that little is padded. The model runs in evaluation mode on ``device``
    and is given back in its mode, on its device.

    Args:
        model: with logits.
        split: what to answer.
        batch_size: examples per forward pass.
        device: where to run.

    Returns:
        ``examples x classes``, float32.
    """
    order = np.argsort(-split.lengths, kind="stable").astype(np.int64)  # longest first: lack of memory shows at once
    answers: list[NDArray[Any]] = []
    with evaluating(model), torch.inference_mode(), _placed(model, device):
        for start in range(0, len(order), batch_size):
            batch = on_device(split.batch(order[start : start + batch_size]), torch.device(device))
            logits = forward_features(model, batch, frozenset({("logits", None)}))["logits", None]
            answers.append(logits.float().cpu().numpy())
    width = answers[0].shape[1] if answers else int(model.config.num_labels)
    logits_in_order = np.empty((len(order), width), dtype=np.float32)
    if answers:
        logits_in_order[order] = np.concatenate(answers)
    return logits_in_order


@contextlib.contextmanager
def _placed(model: PreTrainedModel, device: str | torch.device) -> Iterator[None]:
    """Move a model to ``device`` and back to where it was."""
    home = next(model.parameters()).device
    model.to(device)
    try:
        yield
    finally:
        model.to(home)
