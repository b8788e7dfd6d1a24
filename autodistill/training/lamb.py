"""LAMB, the optimiser of MobileBERT's recipe, which torch does not have.

``schedule.optimizer={_target_: autodistill.training.lamb.Lamb}`` chooses it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor


class Lamb(torch.optim.Optimizer):
    """Adam's direction, scaled per tensor to the size of its weights (You et al. 2020, arXiv 1904.00962, algorithm 2).

    With the bias-corrected moments ``m`` and ``v`` of the gradient, for each tensor ``w``,

    ``r = m / (sqrt(v) + eps) + weight_decay * w``, ``w <- w - lr * (|w| / |r|) * r``,

    where the ratio of norms is 1 if either is 0. Tensors of fewer than two dimensions (biases, normalisations), which
    do not decay, are not scaled either.

    Args:
        params: tensors or groups of them.
        lr: learning rate, >= 0.
        betas: decay of the two moments, each in [0, 1).
        eps: added to the root of the second moment, > 0.
        weight_decay: >= 0.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),  # the paper's
        eps: float = 1e-6,  # the paper's
        weight_decay: float = 0.0,
    ) -> None:
        betas = (float(betas[0]), float(betas[1]))
        if not (lr >= 0 and eps > 0 and weight_decay >= 0 and all(0 <= beta < 1 for beta in betas)):
            raise ValueError(
                f"Lamb needs lr >= 0, eps > 0, weight_decay >= 0 and betas in [0, 1), got lr={lr}, eps={eps}, "
                f"weight_decay={weight_decay} and betas={betas}."
            )
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take a step; tensors without a gradient stay as they are."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """One tensor's step."""
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        first, second = group["betas"]
        mean = state["exp_avg"].lerp_(gradient, 1 - first)
        square = state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        root = square.sqrt().div_(math.sqrt(1 - second ** state["step"])).add_(group["eps"])
        direction = mean.div(1 - first ** state["step"]).div_(root)
        direction.add_(parameter, alpha=group["weight_decay"])
        if parameter.dim() < 2:
            parameter.sub_(direction, alpha=group["lr"])
            return
        weight, size = parameter.norm(), direction.norm()
        ratio = torch.where((weight > 0) & (size > 0), weight / size, 1.0)
        parameter.sub_(direction * (ratio * group["lr"]))
