"""Counts a search space exactly and draws from it uniformly, without walking through its points.

Parameters are decided one after the other. Two beginnings that agree in what later rules still ask of them have the
same continuations; so a beginning is remembered only by those ranks (its *state*), and the number of ways to go on
from a state is worked out once, from the last parameter back (variable elimination [Dechter1999]_). A point is drawn
by walking forwards and taking every step in proportion to the ways that follow it: exactly uniform, and no step leads
nowhere, however few of all combinations are feasible.

.. [Dechter1999] R. Dechter, Bucket elimination: a unifying framework for reasoning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from autodistill.engine.space_factors import FALSE, UNWORKABLE, Sum
from autodistill.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autodistill.engine.space_factors import Factor, Rows

# Steps looked at while counting: about a second of work and a hundred megabytes.
STEP_LIMIT = 1_000_000
# Counts below are exact in floating point, which is far faster than Python's integers.
EXACT_FLOAT = 2**53


@dataclass(frozen=True)
class _Layer:
    """The steps that decide one parameter; step = (state before, rank, state after), ordered by the state before.

    Args:
        column: the parameter's.
        starts: first step of every state, one entry more than states.
        ranks: rank of every step.
        targets: state that every step leads to.
    """

    column: int
    starts: NDArray[np.int64]
    ranks: NDArray[np.int16]
    targets: NDArray[np.int64]

    @property
    def sources(self) -> NDArray[np.int64]:
        """State that every step starts from."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))


@dataclass(frozen=True)
class Count:
    """The points that satisfy all factors, as layers of steps.

    Args:
        columns: number of parameters.
        total: exact number of points.
        layers: one per parameter, in the order in which they are decided; every step leads to some point.
        shares: per layer and step, the share of the points behind the step among those behind its state.
    """

    columns: int
    total: int
    layers: tuple[_Layer, ...]
    shares: tuple[NDArray[np.float64], ...]

    @cached_property
    def _cumulated(self) -> list[NDArray[np.float64]]:
        """Per layer, the running sum of the shares; every state adds one."""
        return [np.concatenate([[0.0], np.cumsum(shares)]) for shares in self.shares]

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """``n`` independent points, each as likely as any other.

        Raises:
            ValueError: there is no point.
        """
        if not self.total:
            raise ValueError("There is no point to draw.")
        rows = np.zeros((n, self.columns), dtype=np.int16)
        states = np.zeros(n, dtype=np.int64)
        for layer, sums in zip(self.layers, self._cumulated, strict=True):
            first, last = layer.starts[states], layer.starts[states + 1]
            wanted = sums[first] + rng.random(n) * (sums[last] - sums[first])
            steps = np.clip(np.searchsorted(sums, wanted, side="right") - 1, first, last - 1)
            rows[:, layer.column], states = layer.ranks[steps], layer.targets[steps]
        return rows

    def rows(self) -> Rows:
        """Every point, ``total x columns``; work and memory are in proportion to the answer."""
        rows = np.zeros((1 if self.total else 0, self.columns), dtype=np.int16)
        states = np.zeros(len(rows), dtype=np.int64)
        for layer in self.layers:
            counts = layer.starts[states + 1] - layer.starts[states]
            steps = np.repeat(layer.starts[states] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
            rows = np.repeat(rows, counts, axis=0)
            rows[:, layer.column], states = layer.ranks[steps], layer.targets[steps]
        return rows


class UnworkableError(ConfigError):
    """A factor cannot be worked out for a point that none of the others forbids.

    Args:
        factor: which.
        text: of the error.
    """

    def __init__(self, factor: Factor | Sum, text: str) -> None:
        super().__init__(text)
        self.factor = factor


def count_points(sizes: Sequence[int], factors: Sequence[Factor | Sum], limit: int = STEP_LIMIT) -> Count | None:
    """Count the points that satisfy ``factors``.

    Args:
        sizes: number of values of every parameter.
        factors: what must hold.
        limit: steps to look at.

    Returns:
        None when more steps would be needed.

    Raises:
        UnworkableError: an expression cannot be worked out for a point that no other factor forbids.
    """
    layers: list[_Layer] = []
    open_factors, decided = list(factors), set[int]()
    # A state is a row (zero in what nobody asks for any more) and a running sum for every factor.
    states = np.zeros((1, len(sizes)), dtype=np.int16)
    sums = np.array([[item.constant if isinstance(item, Sum) else 0 for item in factors]], dtype=np.int64)
    for column in elimination_order(sizes, factors):
        limit -= len(states) * sizes[column]
        if limit < 0:
            return None
        rows = np.repeat(states, sizes[column], axis=0)
        rows[:, column] = np.tile(np.arange(sizes[column]), len(states))
        sources = np.repeat(np.arange(len(states)), sizes[column])
        sums = sums[sources]
        decided.add(column)
        for index, factor in [(index, item) for index, item in enumerate(factors) if item in open_factors]:
            if isinstance(factor, Sum):
                _add_up(factor, column, decided, rows, sums[:, index])
            if factor.columns <= decided:
                answers = factor.holds_for(sums[:, index]) if isinstance(factor, Sum) else factor.answers(rows)
                kept = answers != FALSE
                rows, sources, sums = rows[kept], sources[kept], sums[kept]
                sums[:, index] = 0
                if not (answers == UNWORKABLE).any():  # else asked again, of what later factors do not forbid
                    open_factors.remove(factor)
        while len(decided) == len(sizes) and open_factors:  # none of these factors is left that could forbid it
            factor = open_factors.pop()
            try:
                factor.holds(rows)
            except ConfigError as error:
                raise UnworkableError(factor, str(error)) from error
        starts = np.searchsorted(sources, np.arange(len(states) + 1))
        ranks = rows[:, column].copy()
        states, sums, targets = _distinct(rows, sums, sorted(_frontier(decided, open_factors)))
        layers.append(_Layer(column, starts, ranks, targets))
    return _counted(len(sizes), layers, exact=math.prod(sizes) < EXACT_FLOAT)


def _add_up(factor: Sum, column: int, decided: set[int], rows: Rows, sums: NDArray[np.int64]) -> None:
    """Add to ``sums`` the summands that ``column`` has decided, in place."""
    for term, (columns, _) in enumerate(factor.terms):
        if column in columns and decided.issuperset(columns):
            sums += factor.summand(term, rows)


def elimination_order(sizes: Sequence[int], factors: Sequence[Factor | Sum]) -> list[int]:
    """An order of the parameters in which few combinations must be remembered at a time (greedy)."""
    order: list[int] = []
    while len(order) < len(sizes):
        left = [column for column in range(len(sizes)) if column not in order]

        def remembered(column: int) -> tuple[int, int]:
            decided = {*order, column}
            open_factors = [factor for factor in factors if not factor.columns <= decided]
            return math.prod(sizes[item] for item in _frontier(decided, open_factors)), column

        order.append(min(left, key=remembered))
    return order


def _frontier(decided: set[int], open_factors: Sequence[Factor | Sum]) -> set[int]:
    """The decided columns that some factor still asks for."""
    asked: set[int] = set()
    for factor in open_factors:
        if isinstance(factor, Sum):
            groups = [set(columns) for columns, _ in factor.terms]
            asked |= set().union(*(group & decided for group in groups if not group <= decided))
        else:  # one that is decided is still open where it could not be worked out
            asked |= factor.columns & decided
    return asked


def _distinct(
    rows: Rows, sums: NDArray[np.int64], columns: list[int]
) -> tuple[Rows, NDArray[np.int64], NDArray[np.int64]]:
    """The distinct rows in ``columns``, zero elsewhere, with their sums; and which of them each row is."""
    flat = np.zeros(len(rows), dtype=np.int64)
    for values in (*rows[:, columns].T.astype(np.int64), *sums.T):
        # Ranks of what was met so far stay small, so that no product overflows.
        _, column = np.unique(values, return_inverse=True)
        _, flat = np.unique(flat * (int(column.max(initial=0)) + 1) + column, return_inverse=True)
    _, first = np.unique(flat, return_index=True)
    states = np.zeros((len(first), rows.shape[1]), dtype=np.int16)
    states[:, columns] = rows[first][:, columns]
    return states, sums[first], flat.astype(np.int64)


def _counted(columns: int, layers: Sequence[_Layer], exact: bool) -> Count:
    """Count the points behind every step, from the last layer back, and drop the steps that lead to none.

    Args:
        columns: number of parameters.
        layers: all steps that no factor forbids.
        exact: whether floats hold the counts exactly; else Python's integers do.
    """
    ways: NDArray[Any] = np.ones(1) if exact else np.array([1], dtype=object)
    alive_layers: list[_Layer] = []
    shares: list[NDArray[np.float64]] = []
    for layer in reversed(layers):
        behind, states = ways[layer.targets], len(layer.starts) - 1
        alive = np.asarray(behind > 0, dtype=bool)
        behind, sources = behind[alive], layer.sources[alive]
        ways = np.zeros(states, dtype=np.float64 if exact else object)
        np.add.at(ways, sources, behind)
        shares.insert(0, np.array(behind / ways[sources], dtype=np.float64))
        starts = np.searchsorted(sources, np.arange(states + 1))
        alive_layers.insert(0, _Layer(layer.column, starts, layer.ranks[alive], layer.targets[alive]))
    return Count(columns, int(ways[0]), tuple(alive_layers), tuple(shares))
