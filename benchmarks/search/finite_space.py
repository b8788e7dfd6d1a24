"""A search space of listed architectures: what a search over a table may propose."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.architecture import Architecture, Choice
from autodistill.components.search import Parameter, SizeEstimate
from autodistill.engine.space import Space

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray, IntArray

#: Neighbours of an architecture: about as many as one step in each of five parameters would give.
NEIGHBOURS = 8


class FiniteSpace:
    """Some architectures of a space; an `autodistill.components.search.SearchSpace`.

    Args:
        grid: the space that they were drawn from; encodes, and gives the parameters.
        architectures: distinct.
    """

    def __init__(self, grid: Space, architectures: Sequence[Architecture]) -> None:
        self._grid = grid
        self._listed = tuple(architectures)
        self._members = frozenset(architectures)

    @property
    def family(self) -> str:
        """The grid's family."""
        return self._grid.family

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The grid's parameters."""
        return self._grid.parameters

    @property
    def derived(self) -> Collection[str]:
        """The grid's derived choices."""
        return self._grid.derived

    @property
    def size(self) -> int | None:
        """How many are listed."""
        return len(self._listed)

    @property
    def estimated_size(self) -> SizeEstimate:
        """How many are listed."""
        return SizeEstimate(len(self._listed))

    def __contains__(self, architecture: object) -> bool:
        """Whether it is listed."""
        return architecture in self._members

    def enumerate(self) -> Sequence[Architecture]:
        """All of them."""
        return self._listed

    def sample(self, n: int, seed: int) -> list[Architecture]:
        """Independent and uniform."""
        indices = np.random.default_rng(seed).integers(len(self._listed), size=n)
        return [self._listed[index] for index in indices]

    def encode(self, architectures: Sequence[Architecture]) -> FloatArray:
        """As the grid does."""
        return self._grid.encode(architectures)

    def ranks(self, architectures: Sequence[Architecture]) -> IntArray:
        """As the grid does."""
        return self._grid.ranks(architectures)

    def complete(self, choices: Sequence[Mapping[str, Choice]]) -> list[Architecture | None]:
        """As the grid does, where it is listed."""
        return [item if item in self._members else None for item in self._grid.complete(choices)]

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """The nearest others: one step on the grid hardly ever meets a listed one."""
        return [other for other in self.nearest(architecture, NEIGHBOURS + 1) if other != architecture][:NEIGHBOURS]

    def nearest(self, architecture: Architecture, n: int) -> list[Architecture]:
        """The ``n`` listed architectures whose encodings are nearest to that of any architecture, nearest first."""
        distances = np.square(self._encoded - self.encode([architecture])).sum(axis=1)
        return [self._listed[index] for index in np.argsort(distances, kind="stable")[:n]]

    @cached_property
    def _encoded(self) -> FloatArray:
        return self.encode(self._listed)
