"""Grid search, coarse to fine: the order of a sparse grid [Smolyak1963]_, so that it is useful when cut short.

The values of an ordered parameter have levels: the middle one is on level 0, the two ends on level 1, what lies
halfway between on level 2, and so on; of a categorical one the first value is on level 0, the others on level 1.
Architectures are visited by the sum of their levels: the middle of the space, then what differs from it in one
coarse step, then in two coarse steps or a finer one. The order depends on neither results nor seed.

.. [Smolyak1963] S. A. Smolyak, Quadrature and interpolation formulas for tensor products of certain classes of
   functions.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.architecture import Architecture
from autodistill.components.search import History, Parameter, Proposal, SearchContext
from autodistill.search.candidates import Candidates, asked

if TYPE_CHECKING:
    from autodistill.components.search import IntArray

# Architectures looked at together.
CHUNK = 256
# Combinations looked at in a space that is too large to enumerate; then architectures are drawn from the rest.
LONGEST_WALK = 16 * CHUNK


class GridSearch:
    """Walks through the feasible architectures in a fixed order, from coarse to fine.

    Args:
        context: space, constraints and known metrics.
    """

    def __init__(self, context: SearchContext) -> None:
        self.context = context
        self.candidates = Candidates(context)
        self.levels = [levels_of(parameter) for parameter in context.space.parameters]

    def propose(self, history: History, n: int) -> list[Proposal]:
        """The next up to ``n`` architectures of the walk.

        Raises:
            SpaceExhaustedError: none is left.
        """
        found: dict[Architecture, None] = {}
        for chunk in self._walk():
            found.update(dict.fromkeys(self.candidates.fresh(chunk, history)))
            if len(found) >= n:
                break
        if not found and self.context.space.size is None:
            found = dict.fromkeys(self.candidates.draw(history, n, np.random.default_rng(asked(history))))
        if not found:
            self.candidates.exhausted(history)
        return [Proposal(architecture) for architecture in list(found)[:n]]

    def _walk(self) -> Iterator[Sequence[Architecture]]:
        space = self.context.space
        if space.size is not None:
            everything = space.enumerate()
            for start in range(0, space.size, CHUNK):
                yield [everything[index] for index in self._order[start : start + CHUNK].tolist()]
            return
        names = [parameter.name for parameter in space.parameters]
        values = [parameter.values for parameter in space.parameters]
        combinations = itertools.islice(by_level(self.levels), LONGEST_WALK)
        while chunk := list(itertools.islice(combinations, CHUNK)):
            choices = [
                {name: value[rank] for name, value, rank in zip(names, values, ranks, strict=True)} for ranks in chunk
            ]
            yield [architecture for architecture in space.complete(choices) if architecture is not None]

    @cached_property
    def _order(self) -> IntArray:
        """Indices of the enumeration, ordered by level; equal levels are mixed, lest one parameter stands still."""
        ranks = self.context.space.ranks(self.context.space.enumerate())
        levels = np.stack([np.array(level)[ranks[:, column]] for column, level in enumerate(self.levels)], axis=1)
        mixed = np.random.default_rng(0).permutation(len(ranks))  # any fixed number: the order is always the same
        return np.lexsort((mixed, levels.max(axis=1), levels.sum(axis=1)))


def levels_of(parameter: Parameter) -> tuple[int, ...]:
    """The level of each of the parameter's values, by rank."""
    count = len(parameter.values)
    if parameter.type == "categorical":
        return (0, *(1,) * (count - 1))
    levels = {(count - 1) // 2: 0}
    for end in (0, count - 1):
        levels.setdefault(end, 1)
    level = 1
    while len(levels) < count:
        level += 1
        known = sorted(levels)
        levels |= {(low + high) // 2: level for low, high in itertools.pairwise(known) if high - low > 1}
    return tuple(levels[rank] for rank in range(count))


def by_level(levels: Sequence[Sequence[int]]) -> Iterator[tuple[int, ...]]:
    """Every combination of ranks, by the sum of their levels."""
    most = [max(level) for level in levels]
    for total in range(sum(most) + 1):
        yield from _with_total(levels, most, total)


def _with_total(levels: Sequence[Sequence[int]], most: Sequence[int], total: int) -> Iterator[tuple[int, ...]]:
    """The combinations whose levels add up to ``total``; the last parameters change first."""
    if not levels:
        yield from [()] if total == 0 else []
        return
    for rank in sorted(range(len(levels[0])), key=lambda rank: (levels[0][rank], rank)):
        left = total - levels[0][rank]
        if 0 <= left <= sum(most[1:]):
            yield from ((rank, *rest) for rest in _with_total(levels[1:], most[1:], left))
