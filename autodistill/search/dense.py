"""Covariances and the marginal likelihood of the `botorch` strategy's Gaussian processes, by dense algebra.

Models, kernels, priors and constraints are GPyTorch's, and so is every number, but for rounding; but GPyTorch keeps
covariances as lazy structures, which pays for many thousand observations and is most of the time at a few hundred. Of
models with one output, without batches.
"""

from __future__ import annotations

import math
from functools import reduce
from operator import add, mul
from typing import TYPE_CHECKING, Any

import torch
from botorch.optim.closures.core import ForwardBackwardClosure
from gpytorch.kernels import AdditiveKernel, Kernel, LinearKernel, MaternKernel, ProductKernel, ScaleKernel
from linear_operator.utils.cholesky import psd_safe_cholesky
from torch import Tensor
from torch.autograd.function import once_differentiable

from autodistill.search.kernels import HammingKernel

if TYPE_CHECKING:
    from botorch.models import SingleTaskGP
    from gpytorch.mlls import ExactMarginalLogLikelihood

_LOG_2PI = math.log(2.0 * math.pi)


def covariance(kernel: Kernel, left: Tensor, right: Tensor) -> Tensor:
    """``n x m`` covariances of ``n x columns`` and ``m x columns``, which `Kernel.__call__` would give as well.

    Sums, products, multiples, Matern 5/2, linear and Hamming kernels are worked out here, others by GPyTorch.
    """
    # A multiple repeats those of its base, which is asked below.
    repeated = isinstance(kernel, ScaleKernel) and kernel.base_kernel.active_dims is not None
    if kernel.active_dims is not None and not repeated:
        left, right = left.index_select(-1, kernel.active_dims), right.index_select(-1, kernel.active_dims)
    if isinstance(kernel, AdditiveKernel):
        return reduce(add, (covariance(part, left, right) for part in kernel.kernels))
    if isinstance(kernel, ProductKernel):
        return reduce(mul, (covariance(part, left, right) for part in kernel.kernels))
    if isinstance(kernel, ScaleKernel):
        scale: Tensor = kernel.outputscale
        return scale * covariance(kernel.base_kernel, left, right)
    if isinstance(kernel, MaternKernel) and kernel.nu == 2.5:
        found: Tensor = _Matern.apply(_squares(left / kernel.lengthscale, right / kernel.lengthscale))
        return found
    if isinstance(kernel, LinearKernel):
        variance: Tensor = kernel.variance
        return (left * variance.view(1, -1)) @ right.mT
    if isinstance(kernel, HammingKernel):
        return kernel.forward(left, right)
    dense: Tensor = kernel.forward(left, right).to_dense()
    return dense


def factorised(model: SingleTaskGP, inputs: Tensor, residuals: Tensor, noises: Tensor) -> tuple[Tensor, Tensor]:
    """The factor of the covariance of ``n x columns`` that are observed with noise, and ``n x 1``, the weights by which
    ``n`` residuals count in a prediction.
    """
    factor = psd_safe_cholesky(covariance(model.covar_module, inputs, inputs) + torch.diag(noises))
    return factor, torch.cholesky_solve(residuals[:, None], factor)


def _squares(left: Tensor, right: Tensor) -> Tensor:
    """Squared distances of all pairs of rows."""
    centre = left.detach().mean(dim=0)
    left, right = left - centre, right - centre
    norms = left.square().sum(dim=1)[:, None] + right.square().sum(dim=1)
    return norms.addmm_(left, right.mT, alpha=-2.0).clamp_min_(0.0)


class _Matern(torch.autograd.Function):
    """Matern 5/2 of squared distances: smooth in them, also where they are 0 and their root has no slope."""

    @staticmethod
    def forward(ctx: Any, squares: Tensor) -> Tensor:
        root = (5.0 * squares).sqrt_()
        decay = root.neg().exp_()
        ctx.save_for_backward(root, decay)
        found: Tensor = torch.addcmul(root, root, root, value=1.0 / 3.0).add_(1.0).mul_(decay)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *above: Tensor) -> Tensor:
        root, decay = ctx.saved_tensors
        slope: Tensor = (root + 1.0).mul_(decay).mul_(-5.0 / 6.0)
        return slope.mul_(above[0])


class _LogDensity(torch.autograd.Function):
    """Log density of a normal variable with mean 0, at one point; the gradients are written out, since those through
    the factor of the covariance take twice as long as all the rest.
    """

    @staticmethod
    def forward(ctx: Any, covariance: Tensor, point: Tensor) -> Tensor:
        factor = psd_safe_cholesky(covariance)
        solved = torch.cholesky_solve(point[:, None], factor)[:, 0]
        ctx.save_for_backward(factor, solved)
        found: Tensor = -0.5 * (point @ solved + len(point) * _LOG_2PI) - factor.diagonal().log().sum()
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, Tensor]:
        factor, solved = ctx.saved_tensors
        inverse = torch.cholesky_inverse(factor)
        return 0.5 * above[0] * (torch.outer(solved, solved) - inverse), -above[0] * solved


def loss_with_gradients(likelihood: ExactMarginalLogLikelihood) -> ForwardBackwardClosure:
    """What `botorch.fit.fit_gpytorch_mll` minimises, as the closure that it takes: minus the log of the exact marginal
    likelihood and of the priors, over the number of observations.

    Args:
        likelihood: of a model with one output, in training mode.
    """
    model = likelihood.model
    inputs, targets = model.transform_inputs(model.train_inputs[0]), model.train_targets

    def loss() -> Tensor:
        noisy = covariance(model.covar_module, inputs, inputs)
        noisy = noisy + torch.diag(model.likelihood.noise.expand(len(targets)))
        total: Tensor = _LogDensity.apply(noisy, targets - model.mean_module(inputs))
        for _, module, prior, value, _ in model.named_priors():
            total = total + prior.log_prob(value(module)).sum()
        return -total / len(targets)

    free = {name: item for name, item in likelihood.named_parameters() if item.requires_grad}
    return ForwardBackwardClosure(loss, free)
