"""Pareto fronts and their hypervolume, in NumPy; everything is to be minimised.

Who wants a metric maximised passes its negative. What a study makes of its front (picks, curves) is elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from autodistill.components.search import FloatArray


def non_dominated(values: ArrayLike) -> NDArray[np.bool_]:
    """Which rows no other row dominates: nowhere worse and somewhere better.

    Args:
        values: ``n x m``, smaller is better. Equal rows are kept together; rows with NaN are never on the front.

    Returns:
        ``n`` booleans.
    """
    points = _matrix(values)
    front = np.zeros(len(points), dtype=bool)
    # In this order nothing is dominated by what comes later.
    remaining = np.lexsort(points.T[::-1])
    remaining = remaining[~np.isnan(points[remaining]).any(axis=1)]
    while len(remaining):
        best, rest = points[remaining[0]], points[remaining]
        front[remaining[0]] = True
        beaten = (best <= rest).all(axis=1) & (best < rest).any(axis=1)
        beaten[0] = True
        remaining = remaining[~beaten]
    return front


def hypervolume(points: ArrayLike, reference: ArrayLike) -> float:
    """Volume that ``points`` dominate within the box below ``reference``.

    Exact: a sweep for two objectives, the WFG recursion [While2012]_ for more.

    Args:
        points: ``n x m``, smaller is better; points that are not better than ``reference`` everywhere (and rows
            with NaN) add nothing.
        reference: ``m`` values.

    .. [While2012] L. While, L. Bradstreet, L. Barone, A fast way of calculating exact hypervolumes.
    """
    corner = np.asarray(reference, dtype=np.float64)
    matrix = _matrix(points)
    if matrix.shape[1] != len(corner):
        raise ValueError(f"points have {matrix.shape[1]} objectives, the reference has {len(corner)}.")
    inside = matrix[(matrix < corner).all(axis=1)]
    front = np.unique(inside[non_dominated(inside)], axis=0)
    if len(corner) <= 2:
        return _sweep(front, corner)
    return _wfg(front, corner)


def hypervolume_curve(points: ArrayLike, reference: ArrayLike) -> FloatArray:
    """Hypervolume after each point, as the sum of what each adds to the front before it.

    Args:
        points: ``n x m`` in order, smaller is better; as in `hypervolume`, some add nothing.
        reference: ``m`` values.

    Returns:
        ``n`` values that never fall.
    """
    matrix, corner = _matrix(points), np.asarray(reference, dtype=np.float64)
    curve, front, volume = np.zeros(len(matrix)), np.empty((0, len(corner))), 0.0
    for index, point in enumerate(matrix):
        if (point < corner).all() and not (front <= point).all(axis=1).any():
            shared = hypervolume(np.maximum(front, point), corner)
            volume += max(0.0, float(np.prod(corner - point)) - shared)  # rounding must not let it fall
            front = np.vstack([front[(front < point).any(axis=1)], point])
        curve[index] = volume
    return curve


def _matrix(values: ArrayLike) -> FloatArray:
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"values must be n x objectives, got an array of shape {matrix.shape}.")
    return matrix


def _sweep(front: FloatArray, corner: FloatArray) -> float:
    """Sum of the rectangles under a sorted front of one or two objectives."""
    if not len(front):
        return 0.0
    if len(corner) == 1:
        return float(corner[0] - front[0, 0])
    # Sorted by the first objective, the second falls from row to row.
    heights = np.concatenate([[corner[1]], front[:-1, 1]]) - front[:, 1]
    return float(((corner[0] - front[:, 0]) * heights).sum())


def _wfg(front: FloatArray, corner: FloatArray) -> float:
    """Sum over the points of what each dominates alone, compared with the points after it."""
    total = 0.0
    for index, point in enumerate(front):
        limited = np.maximum(front[index + 1 :], point)
        others = np.unique(limited[non_dominated(limited)], axis=0)
        total += float(np.prod(corner - point)) - (_wfg(others, corner) if len(others) else 0.0)
    return total
