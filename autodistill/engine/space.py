"""Search spaces: the feasible architectures of one student family, counted, sampled, encoded and walked.

A space is built from configuration by `build_space` and implements `autodistill.components.search.SearchSpace`.
Rules cut architectures out; a condition (``when``) says where a parameter matters, and where it does not the
parameter has its default, so that no architecture exists twice; a derived value is worked out from parameters. How
the configuration is read is in `autodistill.engine.space_config`; the same space as rows of ranks, which is where the
work is done, in `autodistill.engine.space_points`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from autodistill.components.architecture import Architecture, Choice
from autodistill.components.search import Parameter, SizeEstimate
from autodistill.engine.expressions import Expression
from autodistill.engine.space_config import (
    Condition,
    parse_conditions,
    parse_derived,
    parse_parameters,
    parse_rules,
    values_of,
)
from autodistill.engine.space_points import RULES_KEY, SPACE_KEY, Points
from autodistill.errors import ConfigError

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray, IntArray
    from autodistill.engine.space_factors import Rows


def stored_space(student: Mapping[str, Any]) -> Space:
    """The search space of a stored configuration ``student``; see `build_space`."""
    return build_space(student["name"], student["space"], student.get("rules") or {})


def build_space(family: str, space: Mapping[str, Any], rules: Mapping[str, str | None]) -> Space:
    """Build the search space of ``family`` from configuration.

    Args:
        family: registry name of the student family.
        space: name -> list of ordinal choices, or mapping with ``type`` (``ordinal`` or ``categorical`` with
            ``values``; ``integer`` with ``low``, ``high``, ``step``; ``log_integer`` with ``low``, ``high`` and
            ``count`` or ``base``), and optionally ``when`` (an expression) with ``default``; or ``type: derived``
            with ``value`` (an expression over the other names that gives a number).
        rules: label -> expression that must hold; null or an empty text switches a rule off.

    Raises:
        ConfigError: something of it cannot be, or no architecture satisfies the rules.
    """
    parameters = parse_parameters(space, SPACE_KEY)
    derived = parse_derived(space, parameters, SPACE_KEY)
    conditions, order = parse_conditions(space, parameters, derived, SPACE_KEY)
    parsed = parse_rules(rules or {}, values_of(parameters, derived), RULES_KEY)
    source = _plain({"space": space, "rules": rules or {}})
    built = Space(family, parameters, derived, conditions, parsed, order, source=source)
    built.check_feasible()
    return built


@dataclass(frozen=True)
class Space:
    """The feasible architectures of one family; made by `build_space` or `Space.from_dict`.

    Args:
        family: registry name of the student family.
        parameters: the dimensions, in the order of the configuration.
        derived: name -> expression of the choices that are worked out, each after those it needs.
        conditions: parameter name -> when it matters and its value where it does not.
        rules: label -> expression that must hold.
        order: names of the parameters in an order in which conditions can be decided.
        source: the configuration it was built from, as plain JSON-able values.
    """

    family: str
    parameters: tuple[Parameter, ...]
    derived: Mapping[str, Expression]
    conditions: Mapping[str, Condition]
    rules: Mapping[str, Expression]
    order: tuple[str, ...]
    source: Mapping[str, Any] = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able mapping from which `from_dict` builds an equal space."""
        return {"family": self.family, **_plain(self.source)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Space:
        """Build the space that `to_dict` wrote.

        Raises:
            ConfigError: as `build_space`.
        """
        return build_space(data["family"], data["space"], data["rules"])

    @property
    def size(self) -> int | None:
        """Exact number of feasible architectures, or None where there are too many to enumerate."""
        return None if self._points.all is None else len(self._points.all)

    @property
    def estimated_size(self) -> SizeEstimate:
        """Number of feasible architectures: exact where it can be counted, else an unbiased estimate."""
        return self._points.size

    def enumerate(self) -> Sequence[Architecture]:
        """Every feasible architecture in a fixed order, made one by one as they are read.

        Raises:
            ValueError: `size` is None.
        """
        if self._points.all is None:
            raise ValueError("This space is too large to enumerate (its size is None); use sample().")
        return _Architectures(self, self._points.all)

    def sample(self, n: int, seed: int) -> list[Architecture]:
        """``n`` feasible architectures, independent and uniform over the feasible set (repeats possible).

        Raises:
            ConfigError: some rules are too entangled to be counted with, and no draw satisfied them.
        """
        rng = np.random.default_rng(seed)
        everything = self._points.all
        if everything is not None:
            return list(self._built(everything[rng.integers(len(everything), size=n)]))
        return list(self._built(self._points.draw(n, rng)))

    def ranks(self, architectures: Sequence[Architecture]) -> IntArray:
        """``n x len(parameters)``: which of a parameter's values each has; -1 for another value or none.

        The slices of `enumerate` are answered without making an architecture.
        """
        if isinstance(architectures, _Architectures) and architectures.space == self:
            return architectures.points.astype(np.int64)
        ranks = np.full((len(architectures), len(self.parameters)), -1, dtype=np.int64)
        for column, parameter in enumerate(self.parameters):
            name, known = parameter.name, self._ranks[parameter.name]
            for row, architecture in enumerate(architectures):
                value = architecture.choices.get(name)
                if value is not None:
                    ranks[row, column] = known.get((isinstance(value, bool), value), -1)
        return ranks

    def encode(self, architectures: Sequence[Architecture]) -> FloatArray:
        """``n x len(parameters)`` in [0, 1]: the rank of each value.

        Numbers between two choices get a rank in between, numbers outside are clipped, and what cannot be ranked
        (a missing parameter, an unknown text) gets 0.5.
        """
        ranks = self.ranks(architectures)
        last = np.array([max(1, len(parameter.values) - 1) for parameter in self.parameters], dtype=np.float64)
        encoded: FloatArray = ranks / last
        for row, column in np.argwhere(ranks < 0).tolist():
            parameter = self.parameters[column]
            encoded[row, column] = _between(parameter, architectures[row].choices.get(parameter.name))
        return encoded

    def complete(self, choices: Sequence[Mapping[str, Choice]]) -> list[Architecture | None]:
        """The architectures with these choices of parameters, or None for each that is not feasible.

        Parameters that do not matter get their defaults, derived values are worked out (what was given for either, if
        anything, is ignored).
        """
        ranks = self.ranks([Architecture(self.family, item) for item in choices])
        rows = self._points.canonical(np.maximum(ranks, 0).astype(np.int16))
        lacking = ((ranks < 0) & self._points.matters(rows)).any(axis=1)
        feasible = ~lacking & self._points.holds(rows)
        built = self._built(rows[feasible])
        return [next(built) if good else None for good in feasible]

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """Feasible architectures that differ in one parameter by one step (any other value if categorical).

        Parameters that cease to matter by the step get their default, those that begin to matter have any value; so
        whoever is a neighbour of an architecture has it as a neighbour. Empty for one that is not in the space.
        """
        if architecture not in self:
            return []
        row = self.ranks([architecture])[0].astype(np.int16)
        return list(self._built(self._points.neighbours(row)))

    def __contains__(self, architecture: object) -> bool:
        if not isinstance(architecture, Architecture) or architecture.family != self.family:
            return False
        choices = architecture.choices
        if len(choices) != len(self.order) + len(self.derived) or any(name not in choices for name in self.order):
            return False
        if any(_key(choices[name]) not in self._ranks[name] for name in self.order):
            return False
        if any(isinstance(choices.get(name, ""), bool | str) for name in self.derived):
            return False
        try:
            return self._allows(choices)
        except ConfigError:  # e.g. a division by zero: of what is in the space, `check_feasible` has worked out all
            return False

    def _allows(self, choices: Mapping[str, Choice]) -> bool:
        """Whether derived values, rules and conditions admit these choices, each of which is a value of the space."""
        return (
            all(choices[name] == expression.number(choices) for name, expression in self.derived.items())
            and all(rule.holds(choices) for rule in self.rules.values())
            and all(
                choices[name] == condition.default or condition.expression.holds(choices)
                for name, condition in self.conditions.items()
            )
        )

    def check_feasible(self) -> None:
        """Raise `ConfigError` when no architecture satisfies the rules, or a derived value cannot be worked out."""
        self._points.check()

    @cached_property
    def helpers(self) -> frozenset[str]:
        """Parameters that derived values read; a family that does not know them need not be told of them."""
        return frozenset(self._by_name) & frozenset().union(*(item.names for item in self.derived.values()))

    @cached_property
    def _by_name(self) -> dict[str, Parameter]:
        return {parameter.name: parameter for parameter in self.parameters}

    @cached_property
    def _ranks(self) -> dict[str, dict[tuple[bool, Choice], int]]:
        return {
            parameter.name: {_key(value): rank for rank, value in enumerate(parameter.values)}
            for parameter in self.parameters
        }

    @cached_property
    def _points(self) -> Points:
        return Points(self.parameters, self.derived, self.conditions, self.rules, self.order)

    def _built(self, rows: Rows) -> Iterator[Architecture]:
        """The architectures of feasible rows."""
        derived = self._points.derive(rows)
        for index, row in enumerate(rows.tolist()):
            choices = {item.name: item.values[rank] for item, rank in zip(self.parameters, row, strict=True)}
            for name, values in derived.items():
                choices[name] = values[index]
            yield Architecture(self.family, choices)


class _Architectures(Sequence[Architecture]):
    """Architectures that are made when they are read; only their ranks are held."""

    def __init__(self, space: Space, points: Rows) -> None:
        self.space, self.points = space, points

    def __len__(self) -> int:
        return len(self.points)

    def __iter__(self) -> Iterator[Architecture]:
        return self.space._built(self.points)

    @overload
    def __getitem__(self, index: int) -> Architecture: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Architecture]: ...
    def __getitem__(self, index: int | slice) -> Architecture | Sequence[Architecture]:
        if isinstance(index, slice):
            return _Architectures(self.space, self.points[index])
        return next(self.space._built(self.points[index][None]))


def _between(parameter: Parameter, value: Choice | None) -> float:
    """Where a value that is none of the parameter's lies among them, in [0, 1]; 0.5 if it cannot be told."""
    numbers = [item for item in parameter.values if not isinstance(item, bool | str)]
    if value is None or isinstance(value, bool | str) or not numbers or parameter.type == "categorical":
        return 0.5
    return float(np.interp(value, numbers, np.linspace(0.0, 1.0, len(numbers))))


def _key(value: Choice) -> tuple[bool, Choice]:
    """A dictionary key under which True and 1 differ."""
    return isinstance(value, bool), value


def _plain(value: Any) -> Any:
    """Copy configuration containers into dicts and lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value
