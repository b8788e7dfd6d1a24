"""The learning rate's rule of width and depth, one form for all families; its numbers are the families' own."""

from __future__ import annotations

import math


def lr_factor(*, width: int, depth: int, reference_width: int, reference_depth: int, width_power: float = 1.0) -> float:
    """Return ``(reference_width / width)^width_power * sqrt(reference_depth / depth)``, on the learning rate.

    Adam moves every weight by about the learning rate, whatever its gradient, so the change of a layer's output grows
    with its fan-in: a rate in inverse proportion to the width keeps it (Yang et al. 2022, arXiv 2203.03466). The
    changes of the layers add up along the residual stream, in proportion to the root of their number while they are
    independent (Yang et al. 2023, arXiv 2310.02244). What it gains is measured by
    `benchmarks/distillation/learning_rate.py`.

    Args:
        width: fan-in of most matrices, >= 1.
        depth: layers, >= 1.
        reference_width: at which, with ``reference_depth``, the factor is 1.
        reference_depth: see ``reference_width``.
        width_power: less than 1 where only a part of the matrices is as wide as ``width``.
    """
    wider: float = (reference_width / width) ** width_power
    return wider * math.sqrt(reference_depth / depth)
