"""What a strategy may still propose: feasible, not seen, and not known to break a constraint.

Shared by the built-in strategies, and open to plugins. Everything here is a pure function of the context and the
history; `Candidates` only remembers what it worked out about the space.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn, overload

import numpy as np

from autodistill.components.architecture import Architecture
from autodistill.components.search import Constraint, History, SearchContext
from autodistill.errors import SpaceExhaustedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autodistill.components.search import FloatArray

# Architectures asked of `known` at once while drawing: enough to be fast, few enough to stop early.
CHUNK = 256
# Draws without one candidate before a space that is too large to count is given up.
FRUITLESS_DRAWS = 50 * CHUNK


def generator(context: SearchContext, history: History) -> np.random.Generator:
    """The random numbers of one proposal: a function of the seed and of how much was asked before."""
    return np.random.default_rng([context.seed, len(history)])


@dataclass(frozen=True)
class Pool:
    """Architectures with what is known of them.

    Args:
        architectures: ``n`` of them.
        encoded: ``n x parameters`` in [0, 1], see `SearchSpace.encode`.
        known: metric -> ``n`` values.
        variances: metric -> ``n`` variances of the known values; 0 is exact.
    """

    architectures: Sequence[Architecture]
    encoded: FloatArray
    known: Mapping[str, FloatArray]
    variances: Mapping[str, FloatArray]

    def __len__(self) -> int:
        return len(self.architectures)

    def joined(self, other: Pool) -> Pool:
        """The rows of both, this one's first; both must know the same metrics."""
        return Pool(
            [*self.architectures, *other.architectures],
            np.concatenate([self.encoded, other.encoded]),
            {metric: np.concatenate([values, other.known[metric]]) for metric, values in self.known.items()},
            {metric: np.concatenate([values, other.variances[metric]]) for metric, values in self.variances.items()},
        )

    def take(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Pool:
        """The rows for which ``keep`` is true, or those that it numbers."""
        rows = np.flatnonzero(keep) if keep.dtype == bool else np.asarray(keep, dtype=np.intp)
        return Pool(
            _Rows.of(self.architectures, rows),
            self.encoded[rows],
            {metric: values[rows] for metric, values in self.known.items()},
            {metric: values[rows] for metric, values in self.variances.items()},
        )


class _Rows(Sequence[Architecture]):
    """Some rows of a sequence of architectures, which are made only when they are read."""

    def __init__(self, whole: Sequence[Architecture], rows: NDArray[np.intp]) -> None:
        self._whole, self._rows = whole, rows

    @classmethod
    def of(cls, architectures: Sequence[Architecture], rows: NDArray[np.intp]) -> _Rows:
        """Rows of a sequence, which may be rows of another one itself."""
        if isinstance(architectures, _Rows):
            return cls(architectures._whole, architectures._rows[rows])
        return cls(architectures, rows)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Architecture: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Architecture]: ...
    def __getitem__(self, index: int | slice) -> Architecture | Sequence[Architecture]:
        if isinstance(index, slice):
            return _Rows(self._whole, self._rows[index])
        return self._whole[int(self._rows[index])]


class Candidates:
    """The architectures of a context that may be proposed.

    Args:
        context: space, constraints and known metrics.
    """

    def __init__(self, context: SearchContext) -> None:
        self.context = context
        self.constraints = tuple(item for item in context.constraints if item.metric in context.known.metrics)

    def draw(self, history: History, n: int, rng: np.random.Generator) -> list[Architecture]:
        """Up to ``n`` distinct candidates, uniform over all of them.

        Raises:
            SpaceExhaustedError: there is none.
        """
        seen = set(history.architectures)
        drawn: dict[Architecture, None] = {}
        for chunk in self._shuffled(rng):
            fresh = [item for item in dict.fromkeys(chunk) if item not in seen]
            drawn.update(dict.fromkeys(self.admissible(fresh)))
            seen.update(fresh)
            if len(drawn) >= n:
                break
        if not drawn:
            self.exhausted(history)
        return list(drawn)[:n]

    def admissible(self, architectures: Iterable[Architecture]) -> list[Architecture]:
        """Those that are not known to break a constraint, in their order."""
        listed = list(architectures)
        if not listed or not self.constraints:
            return listed
        keep = self._keeps({metric: values for metric, (values, _) in self._known(listed).items()}, len(listed))
        return [item for item, kept in zip(listed, keep, strict=True) if kept]

    def fresh(self, architectures: Iterable[Architecture], history: History) -> list[Architecture]:
        """Those of ``architectures`` that may be proposed, in their order and without repeats."""
        seen = set(history.architectures)
        distinct = [item for item in dict.fromkeys(architectures) if item not in seen and item in self.context.space]
        return self.admissible(distinct)

    def pool(
        self, history: History, limit: int, sample: int, around: Sequence[Architecture], rng: np.random.Generator
    ) -> Pool:
        """Candidates with what is known of them.

        Spaces of at most ``limit`` architectures are taken whole, of larger ones ``sample`` drawn candidates and
        the neighbours of ``around``.

        Raises:
            SpaceExhaustedError: there is none.
        """
        if not self.countable(limit):
            drawn = self.draw(history, sample, rng)
            near = self.near(around, history)
            return self.describe(list(dict.fromkeys([*drawn, *near])))
        unseen = np.ones(len(self._whole), dtype=bool)
        tried = (row.tobytes() for row in self.context.space.ranks(history.architectures))
        unseen[[self._position[ranks] for ranks in tried if ranks in self._position]] = False
        if not unseen.any():
            self.exhausted(history)
        return self._whole.take(unseen)

    def countable(self, limit: int) -> bool:
        """Whether the space has at most ``limit`` architectures, so that it can be looked at whole."""
        size = self.context.space.size
        return size is not None and size <= limit

    def near(self, around: Sequence[Architecture], history: History) -> list[Architecture]:
        """The neighbours of some architectures that may be proposed, in their order and without repeats."""
        return self.fresh((other for centre in around for other in self.context.space.neighbours(centre)), history)

    def describe(self, architectures: Sequence[Architecture]) -> Pool:
        """Encode the architectures and ask what is known of them."""
        known = self._known(architectures)
        return Pool(
            architectures,
            self.context.space.encode(architectures),
            {metric: values for metric, (values, _) in known.items()},
            {metric: variances for metric, (_, variances) in known.items()},
        )

    def exhausted(self, history: History) -> NoReturn:
        """Say why nothing is left.

        Raises:
            SpaceExhaustedError: always.
        """
        size = self.context.space.size
        space = "the space" if size is None else f"the space ({size} in all)"
        seen = sum(history.in_space)
        if not self.constraints:
            raise SpaceExhaustedError(f"Every feasible architecture of {space} has been proposed already.")
        bounds = ", ".join(_bound(constraint) for constraint in self.constraints)
        raise SpaceExhaustedError(
            f"No architecture of {space} is left that satisfies the constraints on what is known before training "
            f"({bounds}); {seen} were proposed already. Loosen a constraint or widen the space."
        )

    @cached_property
    def _described(self) -> tuple[Pool, NDArray[np.intp]]:
        """All architectures of a countable space, and which of them are not known to break a constraint."""
        pool = self.describe(self.context.space.enumerate())
        return pool, np.flatnonzero(self._keeps(pool.known, len(pool)))

    @cached_property
    def _whole(self) -> Pool:
        """All feasible architectures of a countable space that are not known to break a constraint."""
        pool, kept = self._described
        return pool.take(kept)

    @cached_property
    def _position(self) -> dict[bytes, int]:
        """Ranks of an architecture -> its row in `_whole`; no architecture is made for it."""
        pool, kept = self._described
        ranks = self.context.space.ranks(pool.architectures)[kept]
        return {row.tobytes(): position for position, row in enumerate(ranks)}

    def _known(self, architectures: Sequence[Architecture]) -> dict[str, tuple[FloatArray, FloatArray]]:
        if not self.context.known.metrics:
            return {}
        answers = self.context.known(architectures)
        return {metric: (np.asarray(values), np.asarray(spread)) for metric, (values, spread) in answers.items()}

    def _keeps(self, known: Mapping[str, FloatArray], n: int) -> NDArray[np.bool_]:
        keep = np.ones(n, dtype=bool)
        for constraint in self.constraints:
            values = known[constraint.metric]
            holds = values <= constraint.bound if constraint.sense == "<=" else values >= constraint.bound
            keep &= holds | np.isnan(values)
        return keep

    def _shuffled(self, rng: np.random.Generator) -> Iterable[list[Architecture]]:
        """Chunks of feasible architectures in random order; endless repeats are cut off."""
        space = self.context.space
        if space.size is not None:
            order, everything = rng.permutation(space.size), space.enumerate()
            for start in range(0, len(order), CHUNK):
                yield [everything[int(index)] for index in order[start : start + CHUNK]]
            return
        for _ in range(FRUITLESS_DRAWS // CHUNK):
            yield space.sample(CHUNK, int(rng.integers(2**63)))


def _bound(constraint: Constraint) -> str:
    return f"{constraint.metric} {constraint.sense} {constraint.bound:g}"
