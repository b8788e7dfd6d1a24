"""AdamW with linear warm-up and linear decay, as `autodistill.components.training.Optimisation` says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from autodistill.components.training import Optimisation

if TYPE_CHECKING:
    from torch.nn import Parameter


def learning_rate_factor(step: int, steps: int, warmup_share: float) -> float:
    """Return the factor of the peak learning rate for a step.

    It rises to 1 over ``round(warmup_share * steps)`` steps and falls to 0 just after the last one; no step has 0.

    Args:
        step: from 0.
        steps: of the run.
        warmup_share: in [0, 1].
    """
    warmup = round(warmup_share * steps)
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (steps - step) / max(1, steps - warmup))


def adamw(
    model: nn.Module, extra: Iterable[Parameter], optimisation: Optimisation, *, fused: bool
) -> torch.optim.AdamW:
    """Return AdamW over a model's weights and some more.

    Biases and the weights of normalisations (everything with fewer than two dimensions) do not decay.

    Args:
        model: its parameters that need gradients are trained.
        extra: projections of losses and the like.
        optimisation: learning rate and weight decay.
        fused: one kernel for all parameters; False where gradients are scaled (fp16).
    """
    parameters = [parameter for parameter in (*model.parameters(), *extra) if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [item for item in parameters if item.dim() >= 2], "weight_decay": optimisation.weight_decay},
        {"params": [item for item in parameters if item.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=optimisation.lr, fused=fused)
