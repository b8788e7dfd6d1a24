"""Expected hypervolume improvement in closed form, for one uncertain objective beside exactly known ones.

With the known objectives fixed, what a candidate adds to the hypervolume is a sum over cells of them, in each of which
the front has one height: the cell's extent, as far as the candidate reaches into it, times the expected gain of a
normal variable above that height. No sampling, no integration, and everything in logarithms [Ament2023]_, so that
candidates are ranked even where the improvement is 1e-200.

.. [Ament2023] S. Ament et al., Unexpected improvements to expected improvement for Bayesian optimization.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import erfcx, log_ndtr, ndtr

from autodistill.search.chunks import by_chunks

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

_LOG_ROOT_2PI = 0.5 * math.log(2.0 * math.pi)
_ROOT_HALF_PI = math.sqrt(0.5 * math.pi)
# Below this z the bracket 1 + z * Mills(z) cancels; its asymptotic series z^-2 - 3 z^-4 is exact to 1e-11 there.
_ASYMPTOTIC = -1.0e3


@dataclass(frozen=True)
class Cells:
    """What lies inside the reference point in the known objectives, tiled by boxes over each of which the front has one
    height in the uncertain objective; all to be maximised.

    Args:
        lower: ``cells x known``.
        upper: ``cells x known``.
        bottom: ``cells`` heights, from which a gain counts.
    """

    lower: FloatArray
    upper: FloatArray
    bottom: FloatArray


def cells_of(known: FloatArray, uncertain: FloatArray, known_reference: FloatArray, reference: float) -> Cells:
    """Tile what the points leave: in at most three times as many cells as there are points, and one.

    Args:
        known: ``points x known``, to be maximised; no column is fine (then there is one cell), two are the most.
        uncertain: ``points``, to be maximised.
        known_reference: the reference point in the known objectives.
        reference: and in the uncertain one.
    """
    inside = (known > known_reference).all(axis=1) & (uncertain > reference)
    known, uncertain = known[inside], uncertain[inside]
    if known.shape[1] == 0:
        best = max(float(uncertain.max(initial=-np.inf)), reference)
        return Cells(np.empty((1, 0)), np.empty((1, 0)), np.array([best]))
    if known.shape[1] == 1:
        return _staircase(known[:, 0], uncertain, float(known_reference[0]), reference)
    return _terraces(known, uncertain, known_reference, reference)


def _staircase(known: FloatArray, uncertain: FloatArray, known_reference: float, reference: float) -> Cells:
    """One cell per step of the front: from a point's known value down to that of the next that is higher."""
    order = np.lexsort((-uncertain, -known))
    heights = np.maximum.accumulate(np.concatenate([[reference], uncertain[order]]))
    edges = np.concatenate([[np.inf], known[order], [known_reference]])
    rises = np.flatnonzero(np.diff(heights, prepend=-np.inf) > 0)
    upper, lower = edges[rises], edges[np.append(rises[1:], len(heights))]
    keep = upper > lower
    return Cells(lower[keep, None], upper[keep, None], heights[rises][keep])


def _terraces(known: FloatArray, uncertain: FloatArray, known_reference: FloatArray, reference: float) -> Cells:
    """The points from the highest down: each has the terrace that is below it in both known objectives and that no
    higher one has taken.

    What is taken is bounded by stairs, ``left`` rising and ``up`` falling, which a new terrace meets in one piece: a
    cell per stair that it meets. All but two of these stairs end there, so that cells stay few.
    """
    left, up = [float(known_reference[0]), math.inf], [math.inf, float(known_reference[1])]
    lower: list[tuple[float, float]] = []
    upper: list[tuple[float, float]] = []
    bottom: list[float] = []
    for row in np.argsort(-uncertain, kind="stable"):
        x, y = known[row].tolist()
        last = bisect_left(left, x)
        if up[last] >= y:
            continue  # a higher point has all of it
        first = last
        while up[first - 1] <= y:
            first -= 1
        for stair in range(first, last + 1):
            lower.append((left[stair - 1], up[stair]))
            upper.append((min(left[stair], x), y))
            bottom.append(float(uncertain[row]))
        ends = last + 1 if left[last] == x else last
        left[first:ends], up[first:ends] = [x], [y]
    for stair in range(1, len(left)):  # what nobody has taken
        lower.append((left[stair - 1], up[stair]))
        upper.append((left[stair], math.inf))
        bottom.append(reference)
    cells = Cells(np.array(lower), np.array(upper), np.array(bottom))
    keep = (cells.lower < cells.upper).all(axis=1)  # a terrace beside one that is as wide or as deep
    return Cells(cells.lower[keep], cells.upper[keep], cells.bottom[keep])


def log_gain(z: FloatArray) -> FloatArray:
    """``log(phi(z) + z * Phi(z))``: the expected positive part of a standard normal variable shifted by ``z``."""
    z = np.asarray(z, dtype=np.float64)
    result = np.empty_like(z)
    high = z > -1.0
    upper = z[high]
    result[high] = np.log(np.exp(-0.5 * upper * upper - _LOG_ROOT_2PI) + upper * ndtr(upper))
    low = z[~high]
    inverse = 1.0 / (low * low)  # a power of an array takes ten times as long
    series = inverse * (1.0 - 3.0 * inverse)
    bracket = np.where(low < _ASYMPTOTIC, series, 1.0 + low * _ROOT_HALF_PI * erfcx(-low / math.sqrt(2.0)))
    result[~high] = -0.5 * low * low - _LOG_ROOT_2PI + np.log(bracket)
    return result


def log_expected_gain(mean: FloatArray, deviation: FloatArray, bottom: FloatArray) -> FloatArray:
    """``log E[(a - bottom)+]`` of ``a ~ N(mean, deviation^2)``; all of one shape after broadcasting."""
    return np.log(deviation) + log_gain((mean - bottom) / deviation)


def log_ehvi(
    cells: Cells, known: FloatArray, mean: FloatArray, deviation: FloatArray, least: float | None = None
) -> FloatArray:
    """Logarithm of the hypervolume that each candidate is expected to add; -inf where it can add nothing.

    Args:
        cells: of `cells_of`.
        known: ``candidates x known``, to be maximised.
        mean: ``candidates``, of the uncertain objective, to be maximised.
        deviation: ``candidates``, > 0.
        least: a gain counts only when the uncertain objective reaches this (a bound on it).
    """

    def chunk(rows: slice) -> FloatArray:
        widths = _widths(cells, known[rows])
        candidate, cell = np.nonzero(widths)  # those that it reaches: few of many
        gains = _gains(cells.bottom[cell], mean[rows][candidate], deviation[rows][candidate], least)
        terms = np.full(widths.shape, -np.inf)
        terms[candidate, cell] = np.log(widths[candidate, cell]) + gains
        return log_sum(terms)

    return _by_chunks(chunk, len(mean))


def log_ehvi_bound(cells: Cells, known: FloatArray, mean: FloatArray, deviation: FloatArray) -> FloatArray:
    """An upper bound of `log_ehvi` at a fraction of its cost, one gain per candidate: as if all cells that it reaches
    began as low as the lowest of them.
    """

    def chunk(rows: slice) -> FloatArray:
        widths = _widths(cells, known[rows])
        bottoms = np.where(widths > 0, cells.bottom[None], np.inf).min(axis=1)
        bottoms = np.where(np.isinf(bottoms), mean[rows], bottoms)  # reaches no cell: the widths say so
        with np.errstate(divide="ignore"):
            total = np.log(widths.sum(axis=1))
        return np.asarray(total + log_expected_gain(mean[rows], deviation[rows], bottoms))

    return _by_chunks(chunk, len(mean))


def hypervolume_added(cells: Cells, points: FloatArray) -> FloatArray:
    """What each of ``points x objectives`` alone adds where nothing is uncertain; heights are of the first column."""
    heights = np.maximum(points[:, [0]] - cells.bottom, 0.0)
    added: FloatArray = (_widths(cells, points[:, 1:]) * heights).sum(axis=1)
    return added


def _by_chunks(chunk: Callable[[slice], FloatArray], n: int) -> FloatArray:
    return np.concatenate(by_chunks(chunk, n)) if n else np.empty(0)


def _widths(cells: Cells, known: FloatArray) -> FloatArray:
    """``candidates x cells``: the extent of each cell that a candidate reaches, over the known objectives."""
    widths = np.ones((len(known), len(cells.bottom)))
    for column in range(known.shape[1]):
        reach = np.minimum(known[:, [column]], cells.upper[None, :, column]) - cells.lower[None, :, column]
        widths *= np.maximum(reach, 0.0, out=reach)
    return widths


def _gains(bottom: FloatArray, mean: FloatArray, deviation: FloatArray, least: float | None) -> FloatArray:
    """Logarithms of what is expected above the bottoms of cells; all of one shape."""
    if least is None:
        return log_expected_gain(mean, deviation, bottom)
    # A cell that starts below the bound gains nothing until the bound is reached, and then all up to there at once.
    start = np.maximum(bottom, least)
    gains = log_expected_gain(mean, deviation, start)
    with np.errstate(divide="ignore"):
        reached = np.log(start - bottom) + log_ndtr((mean - least) / deviation)
    return np.asarray(np.logaddexp(gains, reached))


def log_sum(logs: FloatArray) -> FloatArray:
    """``log(sum(exp(logs)))`` over the last axis; -inf where every term is."""
    top = logs.max(axis=-1)
    safe = np.where(np.isneginf(top), 0.0, top)
    with np.errstate(divide="ignore"):
        total: FloatArray = np.log(np.exp(logs - safe[..., None]).sum(axis=-1)) + safe
    return total
