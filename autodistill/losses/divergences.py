"""Divergences between two distributions, and the distributions that logits of each kind of task stand for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812

if TYPE_CHECKING:
    from torch import Tensor

#: Added to what is impossible: its probability is exactly 0 in float32, and gradients stay finite, unlike with -inf.
IMPOSSIBLE = -1e9


def kl(first: Tensor, second: Tensor) -> Tensor:
    """KL(first || second) of log-probabilities ``... x outcomes``: ``...``, >= 0 up to rounding."""
    return F.kl_div(second, first, reduction="none", log_target=True).sum(-1)


def divergence(name: str, teacher: Tensor, student: Tensor, beta: float) -> Tensor:
    """Return a divergence of two distributions; 0 exactly where they agree.

    Args:
        name: one of `autodistill.losses.configs.DIVERGENCES`. With P the teacher and Q the student: ``forward`` is
            KL(P || Q), ``reverse`` KL(Q || P) (MiniLLM, arXiv 2306.08543), ``symmetric`` the mean of both
            (Jeffreys' divergence halved), ``jsd`` the generalised Jensen-Shannon divergence of GKD (arXiv 2306.13649):
            ``beta KL(P || M) + (1 - beta) KL(Q || M)`` with ``M = beta P + (1 - beta) Q``.
        teacher: log-probabilities, ``... x outcomes``.
        student: the same shape.
        beta: in (0, 1); read by ``jsd`` only.

    Returns:
        ``...``, >= 0 up to rounding.
    """
    if name == "forward":
        return kl(teacher, student)
    if name == "reverse":
        return kl(student, teacher)
    if name == "symmetric":
        return 0.5 * (kl(teacher, student) + kl(student, teacher))
    mixture = torch.logaddexp(teacher + math.log(beta), student + math.log1p(-beta))
    return beta * kl(teacher, mixture) + (1 - beta) * kl(student, mixture)


def log_classes(logits: Tensor) -> Tensor:
    """One choice among all classes: log-probabilities of the same shape."""
    return F.log_softmax(logits, dim=-1)


def log_switches(logits: Tensor) -> Tensor:
    """One yes or no per class: ``... x classes x 2``."""
    return torch.stack([F.logsigmoid(logits), F.logsigmoid(-logits)], dim=-1)


def log_spans(logits: Tensor, mask: Tensor) -> Tensor:
    """One choice of a token for each end of a span.

    Args:
        logits: ``batch x tokens x 2``.
        mask: ``batch x tokens``, bool: tokens that can be chosen.

    Returns:
        ``batch x 2 x tokens``.
    """
    hidden = logits.transpose(1, 2).masked_fill(~mask[:, None, :], IMPOSSIBLE)
    return F.log_softmax(hidden, dim=-1)
