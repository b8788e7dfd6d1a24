"""Kernels of the `botorch` strategy that GPyTorch and BoTorch lack, or compute in a way that is too slow here."""

from __future__ import annotations

from typing import Any

import torch
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import Kernel
from torch import Tensor

# Below this length scale two categories share nothing at all.
LEAST_LENGTHSCALE = 1e-3


class HammingKernel(Kernel):
    """``exp(-mean_p [x_p != y_p] / lengthscale_p)`` over categorical parameters, as BoTorch's ``CategoricalKernel``.

    BoTorch's compares every pair of rows in every column, which takes minutes for a hundred thousand candidates. Here
    a parameter is a block of one-hot columns, so that all comparisons are one product of matrices.

    Args:
        counts: number of categories of each parameter; their columns stand in this order.
        active_dims: the one-hot columns.
    """

    def __init__(self, counts: tuple[int, ...], active_dims: tuple[int, ...]) -> None:
        super().__init__(active_dims=active_dims)
        self._counts = torch.tensor(counts)
        # Not GPyTorch's own length scales: it wants one per column, and here a parameter has as many as categories.
        self.register_parameter("raw_scales", torch.nn.Parameter(torch.zeros(len(counts))))
        self.register_constraint("raw_scales", GreaterThan(LEAST_LENGTHSCALE))

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """Covariances, ``... x n x m``, or ``... x n`` with ``diag``; inputs are ``... x n x columns``."""
        scales: Tensor = self.raw_scales_constraint.transform(self.raw_scales)
        weights = 1.0 / (scales * len(self._counts))
        weighted = x1 * weights.repeat_interleave(self._counts)
        same = (weighted * x2).sum(dim=-1) if diag else weighted @ x2.mT
        return torch.exp(same - weights.sum())
