"""What a strategy may still propose: feasible, not seen, and not known to break a constraint.

Shared by the built-in strategies, and open to plugins. Everything here is a pure function of the context and the
history; `Candidates` only remembers what it worked out about the space.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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
# Draws without one candidate before a space that is too large to count is searched by steps instead.
FRUITLESS_DRAWS = 50 * CHUNK
# Rounds of such steps, and centres whose neighbours a round looks at.
ROUNDS, CENTRES = 256, 8


def generator(context: SearchContext, history: History) -> np.random.Generator:
    """The random numbers of one proposal: a function of the seed and of how much was asked before."""
    return np.random.default_rng([context.seed, asked(history)])


def asked(history: History) -> int:
    """How many trials were asked for: those of the space. Baselines outside it, added at any time, change nothing."""
    return sum(history.in_space)


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

    @property
    def origin(self) -> tuple[Sequence[Architecture], NDArray[np.intp]] | None:
        """The sequence that the architectures were taken from and their rows in it; None where they stand alone.

        Who remembers something of every architecture finds it by row, without making the architecture.
        """
        chosen = self.architectures
        return (chosen.whole, chosen.rows) if isinstance(chosen, _Rows) else None

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
        self.whole, self.rows = whole, rows

    @classmethod
    def of(cls, architectures: Sequence[Architecture], rows: NDArray[np.intp]) -> _Rows:
        """Rows of a sequence, which may be rows of another one itself."""
        if isinstance(architectures, _Rows):
            return cls(architectures.whole, architectures.rows[rows])
        return cls(architectures, rows)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Architecture: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Architecture]: ...
    def __getitem__(self, index: int | slice) -> Architecture | Sequence[Architecture]:
        if isinstance(index, slice):
            return _Rows(self.whole, self.rows[index])
        return self.whole[int(self.rows[index])]


class Candidates:
    """The architectures of a context that may be proposed.

    Args:
        context: space, constraints and known metrics.
    """

    def __init__(self, context: SearchContext) -> None:
        self.context = context
        self.constraints = tuple(item for item in context.constraints if item.metric in context.known.metrics)

    def draw(self, history: History, n: int, rng: np.random.Generator) -> list[Architecture]:
        """Up to ``n`` distinct candidates, see `drawn`.

        Raises:
            SpaceExhaustedError: there is none, or none was found.
        """
        drawn = self.drawn(history, n, rng)
        if not drawn:
            self.exhausted(history)
        return drawn

    def drawn(self, history: History, n: int, rng: np.random.Generator) -> list[Architecture]:
        """Up to ``n`` distinct candidates, uniform over all of them; empty when there is none.

        Where draws from a space that is too large to count find none, because constraints leave so little of it,
        candidates are sought step by step from what was tried; these are not uniform.
        """
        seen = set(history.architectures)
        drawn: dict[Architecture, None] = {}
        for chunk in self._shuffled(rng):
            fresh = [item for item in dict.fromkeys(chunk) if item not in seen]
            drawn.update(dict.fromkeys(self.admissible(fresh)))
            seen.update(fresh)
            if len(drawn) >= n:
                break
        if drawn or self.context.space.size is not None:
            return list(drawn)[:n]
        return self._sought(history, n, rng)

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
            found = dict.fromkeys([*self.drawn(history, sample, rng), *self.near(around, history)])
            if not found:
                self.exhausted(history)
            return self.describe(list(found))
        unseen = np.ones(len(self._whole), dtype=bool)
        # One outside may have the ranks of one inside: of another family, or with other choices beside them.
        inside = [item for item, here in zip(history.architectures, history.in_space, strict=True) if here]
        tried = (row.tobytes() for row in self.context.space.ranks(inside))
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
        size, seen = self.context.space.size, sum(history.in_space)
        bounds = ", ".join(_bound(constraint) for constraint in self.constraints)
        if size is None:
            wanted = f"satisfies the constraints on what is known before training ({bounds})" if bounds else "is new"
            raise SpaceExhaustedError(
                f"No further architecture of the space that {wanted} was found in {FRUITLESS_DRAWS:,} draws, nor step "
                f"by step from what was tried; {seen} were proposed already. Loosen a constraint or widen the space."
            )
        if not self.constraints:
            raise SpaceExhaustedError(
                f"Every feasible architecture of the space ({size} in all) has been proposed already."
            )
        raise SpaceExhaustedError(
            f"No architecture of the space ({size} in all) is left that satisfies the constraints on what is known "
            f"before training ({bounds}); {seen} were proposed already. Loosen a constraint or widen the space."
        )

    def out_of_reach(self) -> str:
        """Per constraint on what is known, how near the space comes to its bound; for a space that has no candidate."""
        where = "that was found" if self.context.space.size is None else "in the space"
        return "; ".join(
            f"constraints.{item.label} wants {_bound(item)}, and the {'smallest' if item.sense == '<=' else 'largest'} "
            f"{where} is {self._nearest(item):,.6g}"
            for item in self.constraints
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
        if not architectures:  # what answers need not answer about nobody
            return {metric: (np.zeros(0), np.zeros(0)) for metric in self.context.known.metrics}
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

    def _nearest(self, constraint: Constraint) -> float:
        """The value of the space that comes nearest to a constraint's bound, or goes farthest beyond it."""
        space = self.context.space
        if space.size is not None:
            values = self._known(space.enumerate())[constraint.metric][0]
        else:
            alone = Candidates(replace(self.context, constraints=(constraint,)))
            seen = alone._steps([], 1, np.random.default_rng(self.context.seed))
            values = self._known(list(seen))[constraint.metric][0]
        return float(np.nanmin(values) if constraint.sense == "<=" else np.nanmax(values))

    def _sought(self, history: History, n: int, rng: np.random.Generator) -> list[Architecture]:
        """Up to ``n`` candidates, found step by step from what was tried and from the ends of the space."""
        tried = [item for item, inside in zip(history.architectures, history.in_space, strict=True) if inside]
        seen = set(tried)
        excess = self._steps(tried, n, rng)
        return [item for item, broken in excess.items() if broken == 0 and item not in seen][:n]

    def _steps(self, tried: Sequence[Architecture], n: int, rng: np.random.Generator) -> dict[Architecture, float]:
        """Architectures and by how much they break constraints: best first, each round the neighbours of the best.

        Ends with ``n`` that break none beyond those tried.
        """
        space = self.context.space
        ends = [{item.name: item.values[end] for item in space.parameters} for end in (0, -1)]
        started = [*tried, *filter(None, space.complete(ends)), *space.sample(CHUNK, int(rng.integers(2**63)))]
        near = list(dict.fromkeys(started))
        excess: dict[Architecture, float] = {}
        expanded, seen, found = set[Architecture](), set(tried), 0
        for _ in range(ROUNDS):
            broken = dict(zip(near, self._excess(near), strict=True))
            excess |= broken
            found += sum(much == 0 and item not in seen for item, much in broken.items())
            left = (item for item in excess if item not in expanded)
            centres = heapq.nsmallest(CENTRES, left, key=excess.__getitem__)
            if found >= n or not centres:
                break
            expanded.update(centres)
            others = dict.fromkeys(other for centre in centres for other in space.neighbours(centre))
            near = [other for other in others if other not in excess]
        return excess

    def _excess(self, architectures: Sequence[Architecture]) -> list[float]:
        """By how much each breaks the constraints, in units of their bounds; 0 where it breaks none."""
        total, known = np.zeros(len(architectures)), self._known(architectures) if architectures else {}
        for item in self.constraints if architectures else ():
            beyond = (known[item.metric][0] - item.bound) * (1.0 if item.sense == "<=" else -1.0)
            total += np.maximum(np.nan_to_num(beyond), 0.0) / (abs(item.bound) or 1.0)
        return total.tolist()

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
