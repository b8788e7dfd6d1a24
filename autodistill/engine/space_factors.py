"""Rules and conditions of a search space as tests on ranks, and its derived values.

A row of ranks says which of its values each parameter has. Expressions work on values, one architecture at a time;
a `Factor` asks its expression once per combination of the parameters that occur in it and remembers the answer, so
that a hundred thousand rows cost an array look-up. What is done with factors (walking, counting, sampling) is in
`autodistill.engine.space` and `autodistill.engine.space_counting`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from autodistill.components.architecture import Choice
from autodistill.components.search import Parameter
from autodistill.engine.expression_parts import conjuncts, summands
from autodistill.engine.expressions import Expression
from autodistill.engine.space_config import LARGEST_INTEGER, Condition
from autodistill.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    #: ``n x parameters``: the rank of every parameter's value.
    Rows: TypeAlias = NDArray[np.int16]

# Answers are held in a table up to so many combinations (one byte each), else only those of the rows asked about.
TABLE_LIMIT = 4_000_000

# Rules over at most so many combinations are counted with as they are; so are summands of wider ones.
NARROW = 50_000

#: Answers of a factor for a row, beside 1: it is false, and its expression cannot be worked out.
FALSE, UNWORKABLE = 0, 2
_UNASKED = -1
_COMPARISONS: Mapping[str, Callable[..., Any]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


class Reader:
    """What names mean at given ranks.

    Args:
        parameters: the dimensions, in the order of the columns.
        derived: values worked out from others, each after those it needs.
    """

    def __init__(self, parameters: Sequence[Parameter], derived: Mapping[str, Expression]) -> None:
        self.parameters, self.derived = tuple(parameters), dict(derived)
        self.columns = {parameter.name: column for column, parameter in enumerate(parameters)}
        self._bases: dict[str, frozenset[int]] = {name: frozenset({column}) for name, column in self.columns.items()}
        for name, expression in self.derived.items():
            self._bases[name] = frozenset().union(*(self._bases[other] for other in expression.names))
        self._numbers: dict[tuple[str, tuple[int, ...]], Choice] = {}

    def scope(self, names: Iterable[str]) -> tuple[int, ...]:
        """The columns on which ``names`` depend, ascending."""
        return tuple(sorted(frozenset().union(*(self._bases[name] for name in names))))

    def needed(self, names: Collection[str]) -> tuple[str, ...]:
        """The derived values among ``names`` and those they are worked out from, in an order to work them out."""
        wanted = set(names)
        for name in reversed(self.derived):
            if name in wanted:
                wanted |= self.derived[name].names
        return tuple(name for name in self.derived if name in wanted)

    def values(self, columns: Sequence[int], ranks: Sequence[int], needed: Sequence[str]) -> dict[str, Choice]:
        """Values of the parameters in ``columns``, and the derived values ``needed``.

        Raises:
            ConfigError: a derived value is no finite number.
        """
        values: dict[str, Choice] = {
            self.parameters[column].name: self.parameters[column].values[rank]
            for column, rank in zip(columns, ranks, strict=True)
        }
        for name in needed:
            values[name] = self.derived[name].number(values)
        return values

    def derive(self, rows: Rows) -> dict[str, list[Choice]]:
        """Every derived value of every row; each combination that it depends on is worked out once.

        Raises:
            ConfigError: a derived value is no finite number.
        """
        return {name: self._derive(name, rows) for name in self.derived}

    def _derive(self, name: str, rows: Rows) -> list[Choice]:
        columns, needed = self.scope([name]), self.needed([name])
        found = []
        for ranks in map(tuple, rows[:, columns].tolist()):
            key = (name, ranks)
            if key not in self._numbers:
                self._numbers[key] = self.values(columns, ranks, needed)[name]
            found.append(self._numbers[key])
        return found


class Factor:
    """A yes or no that depends on some columns of a row.

    Args:
        label: what it is, for messages.
        columns: the columns it depends on, ascending.
        sizes: number of values of each of them.
        decide: answers for their ranks.
        unless: a column and a rank in it: rows that have it pass without being asked.
    """

    def __init__(
        self,
        label: str,
        columns: Sequence[int],
        sizes: Sequence[int],
        decide: Callable[[tuple[int, ...]], bool],
        unless: tuple[int, int] | None = None,
    ) -> None:
        self.label, self._asked, self._decide, self._unless = label, list(columns), decide, unless
        self.columns = frozenset(columns) | ({unless[0]} if unless else frozenset())
        self.width = math.prod(sizes)
        self._table: NDArray[np.int8] | None = None
        if self.width <= TABLE_LIMIT:
            self._table = np.full(self.width, _UNASKED, dtype=np.int8)
            self._strides = np.array([math.prod(sizes[index + 1 :]) for index in range(len(sizes))], dtype=np.int64)

    def holds(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether it is true, for every row.

        Raises:
            ConfigError: the expression cannot be worked out for one of the rows.
        """
        answers = self.answers(rows)
        for row in np.flatnonzero(answers == UNWORKABLE)[:1]:
            self._decide(tuple(rows[row, self._asked].tolist()))
        return np.asarray(answers != FALSE)

    def answers(self, rows: Rows) -> NDArray[np.int8]:
        """Whether it is true, for every row; `UNWORKABLE` where its expression cannot be worked out."""
        if self._unless is None:
            return self._answers(rows)
        held: NDArray[np.int8] = (rows[:, self._unless[0]] == self._unless[1]).astype(np.int8)
        asked = held == FALSE
        held[asked] = self._answers(rows[asked])
        return held

    def _answers(self, rows: Rows) -> NDArray[np.int8]:
        ranks = rows[:, self._asked]
        if self._table is None:
            unique, inverse = np.unique(ranks, axis=0, return_inverse=True)
            answers = np.array([self._answer(tuple(item)) for item in unique.tolist()], dtype=np.int8)
            return np.asarray(answers[inverse.reshape(-1)], dtype=np.int8)
        flat = ranks.astype(np.int64) @ self._strides
        unasked = np.flatnonzero(self._table[flat] == _UNASKED)
        for row in unasked[np.unique(flat[unasked], return_index=True)[1]].tolist():
            self._table[flat[row]] = self._answer(tuple(ranks[row].tolist()))
        return np.asarray(self._table[flat])

    def _answer(self, ranks: tuple[int, ...]) -> int:
        try:
            return int(self._decide(ranks))
        except ConfigError:
            return UNWORKABLE


class Sum:
    """A comparison of a sum with zero; each summand is a whole number that depends on some columns of a row.

    Args:
        label: what it is, for messages.
        terms: columns of each summand, and its value for every combination of their ranks (one axis per column).
        compare: compares an array of sums with zero.
    """

    def __init__(
        self, label: str, terms: Sequence[tuple[tuple[int, ...], NDArray[np.int64]]], compare: Callable[..., Any]
    ) -> None:
        self.label, self.terms, self._compare = label, tuple(terms), compare
        self.columns = frozenset().union(*(columns for columns, _ in terms))
        span = sum(int(table.max()) - int(table.min()) for _, table in terms) + 1
        # What must be remembered half way: one summand's columns and a running sum.
        self.width = span * max(table.size for _, table in terms)

    @property
    def constant(self) -> int:
        """The part of the sum that depends on no column."""
        return sum(int(table) for columns, table in self.terms if not columns)

    def holds(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether it is true, for every row."""
        sums = np.zeros(len(rows), dtype=np.int64)
        for term in range(len(self.terms)):
            sums += self.summand(term, rows)
        return self.holds_for(sums)

    def answers(self, rows: Rows) -> NDArray[np.int8]:
        """As `Factor.answers`; a sum can always be worked out."""
        return self.holds(rows).astype(np.int8)

    def summand(self, term: int, rows: Rows) -> NDArray[np.int64]:
        """One summand for every row."""
        columns, table = self.terms[term]
        found = table[tuple(rows[:, column] for column in columns)]
        return np.broadcast_to(found, len(rows)) if not columns else found

    def holds_for(self, sums: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether it is true, for every sum."""
        return np.asarray(self._compare(sums, 0), dtype=bool)


def rule_factors(label: str, rule: Expression, reader: Reader) -> list[Factor | Sum]:
    """The rule as factors that must all hold, taken apart as far as that helps to count with it."""
    factors: list[Factor | Sum] = []
    for part in conjuncts(rule):
        wide = math.prod(len(reader.parameters[column].values) for column in reader.scope(part.names)) > NARROW
        factors.append((_sum(label, part, reader) if wide else None) or _factor(label, part, reader, None))
    return factors


def _sum(label: str, rule: Expression, reader: Reader) -> Sum | None:
    """The comparison as a sum of whole numbers, or None when it is none of small summands."""
    found = summands(rule)
    if found is None:
        return None
    symbol, parts = found
    terms = []
    for sign, part in parts:
        columns, needed = reader.scope(part.names), reader.needed(part.names)
        sizes = [len(reader.parameters[column].values) for column in columns]
        if math.prod(sizes) > NARROW:
            return None
        table = np.zeros(sizes, dtype=np.int64)
        for ranks in np.ndindex(*sizes):
            try:
                value = part.number(reader.values(columns, ranks, needed))
            except ConfigError:  # text, or a division by zero that another rule may forbid: ask the rule itself
                return None
            if not isinstance(value, int) or abs(value) > LARGEST_INTEGER:
                return None
            table[ranks] = sign * value
        terms.append((columns, table))
    return Sum(label, terms, _COMPARISONS[symbol])


def activity_factor(name: str, condition: Condition, reader: Reader) -> Factor:
    """Whether the parameter ``name`` matters; where that cannot be worked out, which only rules keep from being asked
    of an architecture, it does not.
    """
    return _factor(name, condition.expression, reader, None, workable=False)


def condition_factor(name: str, condition: Condition, reader: Reader) -> Factor:
    """Whether the parameter ``name`` has its default or matters."""
    column = reader.columns[name]
    return _factor(name, condition.expression, reader, (column, default_rank(condition, reader.parameters[column])))


def default_rank(condition: Condition, parameter: Parameter) -> int:
    """The rank of the parameter's value where it does not matter."""
    return parameter.values.index(condition.default)


def _factor(
    label: str, expression: Expression, reader: Reader, unless: tuple[int, int] | None, *, workable: bool = True
) -> Factor:
    """The factor of an expression that is, or need not be, workable for every row that is asked about."""
    columns, needed = reader.scope(expression.names), reader.needed(expression.names)
    sizes = [len(reader.parameters[column].values) for column in columns]

    def decide(ranks: tuple[int, ...]) -> bool:
        try:
            return expression.holds(reader.values(columns, ranks, needed))
        except ConfigError:
            if workable:
                raise
            return False

    return Factor(label, columns, sizes, decide, unless)
