"""The learning rate's rule of width and depth, one form for all families; its numbers are the families' own."""

from __future__ import annotations

import math


def lr_factor(*, width: int, depth: int, reference_width: int, reference_depth: int) -> float:
    """Return the factor on the learning rate: ``sqrt(reference_width / width * reference_depth / depth)``.

    Adam moves every weight by about the learning rate, whatever its gradient, so the change of a layer's output grows
    with its fan-in, and that of the residual stream with the number of layers. A rate in inverse proportion would keep
    the change of a freshly started network (Yang et al. 2022, arXiv 2203.03466); students start from their teacher,
    whose smaller embeddings, biases and heads bear more, hence the root.

    Args:
        width: fan-in of most matrices, >= 1.
        depth: layers, >= 1.
        reference_width: at which, with ``reference_depth``, the factor is 1.
        reference_depth: see ``reference_width``.
    """
    return math.sqrt(reference_width / width * reference_depth / depth)
