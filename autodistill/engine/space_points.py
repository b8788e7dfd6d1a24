"""A search space as rows of ranks: counted, walked, drawn from, and stepped through.

A row says which of its values each parameter has; rows are what is fast. The same space as architectures is
`autodistill.engine.space.Space`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.search import Parameter, SizeEstimate
from autodistill.engine.expressions import Expression
from autodistill.engine.space_config import Condition
from autodistill.engine.space_counting import Count, UnworkableError, count_points
from autodistill.engine.space_factors import (
    FALSE,
    UNWORKABLE,
    Factor,
    Reader,
    Sum,
    activity_factor,
    condition_factor,
    default_rank,
    rule_factors,
)
from autodistill.engine.space_messages import infeasible_message, too_rare_message
from autodistill.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autodistill.components.architecture import Choice
    from autodistill.engine.space_factors import Rows

SPACE_KEY, RULES_KEY = "student.space", "student.rules"

# Draws looked at together.
CHUNK = 256
# Up to so many architectures are enumerated and held as ranks (a few megabytes).
COUNT_LIMIT = 200_000
# Points looked at one by one where some rules are too entangled to be counted with: about a second of work.
WALK_LIMIT = 500_000
# Draws without one feasible architecture before sampling gives up.
FRUITLESS_DRAWS = 200_000
# Draws behind an estimate of the size: a share of one in a hundred is known to within a fourteenth.
ESTIMATE_DRAWS = 20_000
# Neighbours of one architecture; only where parameters with very many values begin to matter there are more.
MOST_NEIGHBOURS = 10_000


class Points:
    """The feasible rows of a space.

    Args:
        parameters: the dimensions, in the order of the columns.
        derived: values worked out from others, each after those it needs.
        conditions: parameter name -> when it matters and its value where it does not.
        rules: label -> expression that must hold.
        order: names of the parameters in an order in which conditions can be decided.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        derived: Mapping[str, Expression],
        conditions: Mapping[str, Condition],
        rules: Mapping[str, Expression],
        order: Sequence[str],
    ) -> None:
        self.parameters, self.conditions, self.rules, self.order = tuple(parameters), conditions, rules, order
        self._reader = Reader(parameters, derived)
        factors = (rule_factors(label, rule, self._reader) for label, rule in rules.items())
        self._rules = tuple(itertools.chain.from_iterable(factors))

    def check(self) -> None:
        """Raise `ConfigError` when there is no point, or a derived value cannot be worked out; name the rules."""
        rows = self.draw(CHUNK, np.random.default_rng(0)) if self.all is None else self.all
        if len(rows) == 0:
            raise ConfigError(infeasible_message(self.rules, self._is_possible, SPACE_KEY, RULES_KEY))
        self.derive(rows)

    @cached_property
    def all(self) -> Rows | None:
        """Every point, ordered by `order` from its first parameter on; None when there are too many."""
        count, rest = self._count
        if count.total > (WALK_LIMIT if rest else COUNT_LIMIT):
            return None
        rows = count.rows()
        rows = rows[_holds(rest, rows)]
        columns = [self._reader.columns[name] for name in self.order]
        return None if len(rows) > COUNT_LIMIT else rows[np.lexsort(rows[:, columns[::-1]].T)]

    @cached_property
    def size(self) -> SizeEstimate:
        """Number of points: exact where it can be counted, else from the share of feasible draws.

        The draws are uniform over the points that satisfy all rules but the most entangled ones (an exact number), so
        that the estimate is unbiased.
        """
        if self.all is not None:
            return SizeEstimate(len(self.all))
        count, rest = self._count
        if not rest:
            return SizeEstimate(count.total)
        hits = int(_holds(rest, count.sample(ESTIMATE_DRAWS, np.random.default_rng(0))).sum())
        # Without a hit the error is that of one hit; integers, because the total may be beyond any float.
        spread = max(hits, 1) * max(ESTIMATE_DRAWS - hits, 1)
        error = math.isqrt(count.total**2 * spread // ESTIMATE_DRAWS**3)
        return SizeEstimate(count.total * hits // ESTIMATE_DRAWS, max(error, 1))

    def holds(self, rows: Rows) -> NDArray[np.bool_]:
        """Which rows satisfy the rules."""
        return _holds(self._rules, rows)

    def derive(self, rows: Rows) -> dict[str, list[Choice]]:
        """Derived value -> its number for every row.

        Raises:
            ConfigError: one cannot be worked out.
        """
        return self._reader.derive(rows)

    def neighbours(self, row: Rows) -> Rows:
        """The feasible rows one step from the feasible ``row``, distinct; see `SearchSpace.neighbours`."""
        rows = self._settled(row, self._steps(row))
        rows = rows[self.holds(rows) & (rows != row).any(axis=1)]
        distinct = list(dict.fromkeys(map(tuple, rows.tolist())))
        return np.array(distinct, dtype=np.int16).reshape(-1, len(row))

    @cached_property
    def _activities(self) -> dict[str, tuple[int, int, Factor]]:
        """Parameter that does not always matter -> its column, its default's rank, and when it matters."""
        found = {}
        for name in self.order:
            if name in self.conditions:
                column = self._reader.columns[name]
                rank = default_rank(self.conditions[name], self.parameters[column])
                found[name] = column, rank, activity_factor(name, self.conditions[name], self._reader)
        return found

    @cached_property
    def _count(self) -> tuple[Count, tuple[Factor | Sum, ...]]:
        """The points that satisfy all factors but the most entangled, counted; and those that were left out."""
        conditions = [condition_factor(name, item, self._reader) for name, item in self.conditions.items()]
        return self._counted([*self._rules, *conditions])

    def _counted(self, factors: Sequence[Factor | Sum]) -> tuple[Count, tuple[Factor | Sum, ...]]:
        sizes = [len(parameter.values) for parameter in self.parameters]
        kept, rest = sorted(factors, key=lambda factor: factor.width), list[Factor | Sum]()
        while True:
            try:
                if (count := count_points(sizes, kept)) is not None:
                    return count, tuple(rest)
                left_out = kept[-1]
            except UnworkableError as error:
                if not rest:
                    raise
                left_out = error.factor  # one that was left out before may forbid what it cannot be worked out for
            kept.remove(left_out)
            rest.append(left_out)

    def draw(self, n: int, rng: np.random.Generator) -> Rows:
        """``n`` uniform feasible rows; by rejection where some rules could not be counted with."""
        count, rest = self._count
        if not rest:
            return count.sample(n, rng) if count.total else np.zeros((0, len(self.parameters)), dtype=np.int16)
        found: list[Rows] = []
        fruitless = 0
        while sum(map(len, found)) < n:
            rows = count.sample(CHUNK, rng)
            found.append(rows[_holds(rest, rows)])
            fruitless = 0 if len(found[-1]) else fruitless + CHUNK
            if fruitless >= FRUITLESS_DRAWS:
                labels = [factor.label for factor in rest]
                raise ConfigError(too_rare_message(self.rules, labels, fruitless, SPACE_KEY))
        return np.concatenate(found)[:n]

    def canonical(self, rows: Rows) -> Rows:
        """The rows with every parameter that does not matter at its default."""
        rows = rows.copy()
        for column, rank, activity in self._activities.values():
            rows[~activity.holds(rows), column] = rank
        return rows

    def matters(self, rows: Rows) -> NDArray[np.bool_]:
        """Which parameters matter, ``n x parameters``, in rows in which what does not is at its default."""
        found = np.ones(rows.shape, dtype=bool)
        for column, _, activity in self._activities.values():
            found[:, column] = activity.holds(rows)
        return found

    def _settled(self, row: Rows, rows: Rows) -> Rows:
        """As `canonical`, but a parameter that does not matter in ``row`` and begins to matter takes every value."""
        for column, rank, activity in self._activities.values():
            matters = activity.holds(rows)
            rows[~matters, column] = rank
            values = len(self.parameters[column].values)
            if activity.holds(row[None])[0] or len(rows) + values * matters.sum() > MOST_NEIGHBOURS:
                continue
            copies = np.where(matters, values, 1)
            ranks = np.arange(copies.sum()) - np.repeat(np.cumsum(copies) - copies, copies)
            rows, awake = np.repeat(rows, copies, axis=0), np.repeat(matters, copies)
            rows[awake, column] = ranks[awake]
        return rows

    def _steps(self, row: Rows) -> Rows:
        """The row with one parameter a step away, for every parameter."""
        steps = []
        for column, parameter in enumerate(self.parameters):
            rank, values = int(row[column]), len(parameter.values)
            near = range(values) if parameter.type == "categorical" else range(max(0, rank - 1), min(values, rank + 2))
            steps += [(column, other) for other in near if other != rank]
        rows = np.repeat(row[None], len(steps), axis=0)
        for index, (column, other) in enumerate(steps):
            rows[index, column] = other
        return rows

    def _is_possible(self, labels: Sequence[str]) -> bool:
        """Whether some architecture satisfies these rules (as far as they can be counted with)."""
        try:
            return self._counted([factor for factor in self._rules if factor.label in labels])[0].total > 0
        except ConfigError:  # they do not forbid what one of them cannot be worked out for
            return True


def _holds(factors: Sequence[Factor | Sum], rows: Rows) -> NDArray[np.bool_]:
    """Which rows satisfy all factors, in whatever order these are.

    Raises:
        ConfigError: one cannot be worked out for a row that no other forbids.
    """
    left, doubtful = np.arange(len(rows)), list[Factor | Sum]()
    for factor in factors:
        answers = factor.answers(rows[left])
        if (answers == UNWORKABLE).any():
            doubtful.append(factor)
        left = left[answers != FALSE]
    for factor in doubtful:
        factor.holds(rows[left])
    held = np.zeros(len(rows), dtype=bool)
    held[left] = True
    return held
