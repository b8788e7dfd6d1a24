"""Search spaces: the feasible architectures of one student family, counted, sampled, encoded and walked.

A space is built from configuration by `build_space` and implements `autodistill.components.search.SearchSpace`.
Rules cut architectures out; a condition (``when``) says where a parameter matters, and where it does not the
parameter has its default, so that no architecture exists twice. How the configuration is read is in
`autodistill.engine.space_config`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from autodistill.components.architecture import Architecture, Choice, canonical_choice
from autodistill.components.search import Parameter
from autodistill.engine.expressions import Expression
from autodistill.engine.space_config import Condition, parse_conditions, parse_parameters, parse_rules
from autodistill.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autodistill.components.search import FloatArray, IntArray

SPACE_KEY, RULES_KEY = "student.space", "student.rules"

# Up to so many architectures are counted and held as indices (a few megabytes).
COUNT_LIMIT = 200_000
# Partial architectures looked at while counting: about two seconds of work.
NODE_LIMIT = 2_000_000
# Draws without one feasible architecture before sampling gives up.
FRUITLESS_DRAWS = 200_000


class _TooManyError(Exception):
    """The enumeration met one of its limits."""


def build_space(family: str, space: Mapping[str, Any], rules: Mapping[str, str | None]) -> Space:
    """Build the search space of ``family`` from configuration.

    Args:
        family: registry name of the student family.
        space: name -> list of ordinal choices, or mapping with ``type`` (``ordinal`` or ``categorical`` with
            ``values``; ``integer`` with ``low``, ``high``, ``step``; ``log_integer`` with ``low``, ``high`` and
            ``count`` or ``base``), and optionally ``when`` (an expression) with ``default``.
        rules: label -> expression that must hold; null or an empty text switches a rule off.

    Raises:
        ConfigError: something of it cannot be, or no architecture satisfies the rules.
    """
    parameters = parse_parameters(space, SPACE_KEY)
    names = [parameter.name for parameter in parameters]
    conditions, order = parse_conditions(space, parameters, SPACE_KEY)
    parsed = parse_rules(rules or {}, names, RULES_KEY)
    built = Space(family, parameters, conditions, parsed, order, source=_plain({"space": space, "rules": rules or {}}))
    built.check_feasible()
    return built


@dataclass(frozen=True)
class Space:
    """The feasible architectures of one family; made by `build_space` or `Space.from_dict`.

    Args:
        family: registry name of the student family.
        parameters: the dimensions, in the order of the configuration.
        conditions: parameter name -> when it matters and its value where it does not.
        rules: label -> expression that must hold.
        order: names in an order in which conditions can be decided.
        source: the configuration it was built from, as plain JSON-able values.
    """

    family: str
    parameters: tuple[Parameter, ...]
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
        """Exact number of feasible architectures, or None above `COUNT_LIMIT` (or where counting takes too long)."""
        return None if self._points is None else len(self._points)

    def enumerate(self) -> Sequence[Architecture]:
        """Every feasible architecture in a fixed order, made one by one as they are read.

        Raises:
            ValueError: `size` is None.
        """
        if self._points is None:
            raise ValueError("This space is too large to enumerate (its size is None); use sample().")
        return _Architectures(self, self._points)

    def sample(self, n: int, seed: int) -> list[Architecture]:
        """``n`` feasible architectures, independent and uniform over the feasible set (repeats possible).

        Raises:
            ConfigError: the space is too large to count and no draw was feasible.
        """
        rng = np.random.default_rng(seed)
        if self._points is not None:
            return [self._architecture(row) for row in self._points[rng.integers(len(self._points), size=n)]]
        rows = self._draws(rng)
        return [self._architecture(next(rows)) for _ in range(n)]

    def encode(self, architectures: Sequence[Architecture]) -> FloatArray:
        """``n x len(parameters)`` in [0, 1]: the rank of each value.

        Numbers between two choices get a rank in between, numbers outside are clipped, and what cannot be ranked
        (a missing parameter, an unknown text) gets 0.5.
        """
        encoded = np.full((len(architectures), len(self.parameters)), 0.5)
        for column, parameter in enumerate(self.parameters):
            ranker = _Ranker(parameter)
            for row, architecture in enumerate(architectures):
                if parameter.name in architecture.choices:
                    encoded[row, column] = ranker(architecture.choices[parameter.name])
        return encoded

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """Feasible architectures that differ in one parameter by one step (any other value if categorical).

        Parameters that begin or cease to matter by the step get their default. Empty for an architecture that is
        not in the space.
        """
        if architecture not in self:
            return []
        moved = (self._moved(architecture, parameter, value) for parameter, value in self._steps(architecture))
        return list(dict.fromkeys(other for other in moved if other != architecture and other in self))

    def __contains__(self, architecture: object) -> bool:
        if not isinstance(architecture, Architecture) or architecture.family != self.family:
            return False
        choices = architecture.choices
        if set(choices) != set(self.order):
            return False
        known = all(_key(choices[parameter.name]) in self._ranks[parameter.name] for parameter in self.parameters)
        return known and self._canonical(choices) == choices and self._satisfies(choices)

    def check_feasible(self) -> None:
        """Raise `ConfigError` when no architecture satisfies the rules; names the rules that are in the way."""
        if self._points is not None and len(self._points) == 0:
            raise ConfigError(self._infeasible_message())
        if self._points is None:
            next(self._draws(np.random.default_rng(0)))

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
    def _points(self) -> NDArray[np.int32] | None:
        """Feasible architectures as ranks, ``size x len(parameters)`` in the order of `parameters`, or None."""
        if self._looks_too_large():
            return None
        try:
            rows = list(self._walk(self.rules, NODE_LIMIT, COUNT_LIMIT))
        except _TooManyError:
            return None
        return np.array(rows, dtype=np.int32).reshape(len(rows), len(self.parameters))

    def _looks_too_large(self) -> bool:
        """Whether a small sample says that counting would be in vain (20 times the limit leaves room for error)."""
        everything = math.prod(len(parameter.values) for parameter in self.parameters)
        if everything <= COUNT_LIMIT:
            return False
        rows = self._raw_draws(np.random.default_rng(0), 1000)
        share = sum(self._row_feasible(row) for row in rows) / len(rows)
        return share * everything > 20 * COUNT_LIMIT

    def _walk(self, rules: Mapping[str, Expression], node_limit: int, count_limit: int) -> Iterator[tuple[int, ...]]:
        """Yield feasible rows of ranks; a rule is asked as soon as all its names have values."""
        due = self._due(rules)
        columns = [self.parameters.index(self._by_name[name]) for name in self.order]
        values: dict[str, Choice] = {}
        ranks = [0] * len(self.order)
        nodes = found = 0

        def descend(depth: int) -> Iterator[tuple[int, ...]]:
            nonlocal nodes, found
            if depth == len(self.order):
                found += 1
                if found > count_limit:
                    raise _TooManyError
                yield tuple(ranks)
                return
            name = self.order[depth]
            for rank in self._possible(name, values):
                nodes += 1
                if nodes > node_limit:
                    raise _TooManyError
                values[name], ranks[columns[depth]] = self._by_name[name].values[rank], rank
                if all(rule.holds(values) for rule in due[depth]):
                    yield from descend(depth + 1)

        return descend(0)

    def _due(self, rules: Mapping[str, Expression]) -> list[list[Expression]]:
        due: list[list[Expression]] = [[] for _ in self.order]
        for rule in rules.values():
            due[max((self.order.index(name) for name in rule.names), default=0)].append(rule)
        return due

    def _possible(self, name: str, values: Mapping[str, Choice]) -> Sequence[int]:
        condition = self.conditions.get(name)
        if condition is None or condition.expression.holds(values):
            return range(len(self._by_name[name].values))
        return (self._ranks[name][_key(condition.default)],)

    def _raw_draws(self, rng: np.random.Generator, n: int) -> IntArray:
        return rng.integers(0, [len(parameter.values) for parameter in self.parameters], (n, len(self.parameters)))

    def _draws(self, rng: np.random.Generator) -> Iterator[IntArray]:
        """Endless uniform feasible rows by rejection."""
        fruitless = 0
        while True:
            for row in self._raw_draws(rng, 256):
                fruitless += 1
                if self._row_feasible(row):
                    fruitless = 0
                    yield row
            if fruitless >= FRUITLESS_DRAWS:
                raise ConfigError(
                    f"{SPACE_KEY}: none of {fruitless} architectures drawn at random satisfies the rules "
                    f"({self._rules_text()}); loosen a rule or make the space smaller."
                )

    def _row_feasible(self, row: IntArray) -> bool:
        choices = self._choices(row)
        return self._canonical(choices) == choices and self._satisfies(choices)

    def _choices(self, row: Sequence[int] | NDArray[np.int32] | IntArray) -> dict[str, Choice]:
        return {parameter.name: parameter.values[rank] for parameter, rank in zip(self.parameters, row, strict=True)}

    def _architecture(self, row: NDArray[np.int32] | IntArray) -> Architecture:
        return Architecture(self.family, self._choices(row))

    def _satisfies(self, choices: Mapping[str, Choice]) -> bool:
        return all(rule.holds(choices) for rule in self.rules.values())

    def _canonical(self, choices: Mapping[str, Choice]) -> dict[str, Choice]:
        """The choices with every parameter that does not matter at its default."""
        canonical = dict(choices)
        for name in self.order:
            condition = self.conditions.get(name)
            if condition is not None and not condition.expression.holds(canonical):
                canonical[name] = condition.default
        return canonical

    def _steps(self, architecture: Architecture) -> Iterator[tuple[Parameter, Choice]]:
        for parameter in self.parameters:
            rank = self._ranks[parameter.name][_key(architecture.choices[parameter.name])]
            categorical = parameter.type == "categorical"
            near = range(len(parameter.values)) if categorical else range(max(0, rank - 1), rank + 2)
            yield from ((parameter, value) for value in parameter.values[near.start : near.stop])

    def _moved(self, architecture: Architecture, parameter: Parameter, value: Choice) -> Architecture:
        return Architecture(self.family, self._canonical({**architecture.choices, parameter.name: value}))

    def _rules_text(self) -> str:
        return "; ".join(f"{label}: {rule.text}" for label, rule in self.rules.items()) or "none"

    def _infeasible_message(self) -> str:
        """Name the rules without which the space would not be empty."""
        head = f"{SPACE_KEY} is empty: no architecture satisfies {RULES_KEY}."
        advice = f"Loosen it, or switch it off with {RULES_KEY}.LABEL=null."
        alone = [label for label, rule in self.rules.items() if not self._any_point({label: rule})]
        if alone:
            return f"{head} {self._named(alone)} excludes every architecture by itself. {advice}"
        guilty = [label for label in self.rules if self._any_point(_without(self.rules, label))]
        if guilty:
            return f"{head} Without any one of these rules there would be some: {self._named(guilty)}. {advice}"
        return f"{head} The rules contradict each other: {self._named(list(self.rules))}. {advice}"

    def _any_point(self, rules: Mapping[str, Expression]) -> bool:
        try:
            return next(self._walk(rules, NODE_LIMIT, COUNT_LIMIT), None) is not None
        except _TooManyError:
            return False

    def _named(self, labels: Sequence[str]) -> str:
        return ", ".join(f"{label} ({self.rules[label].text})" for label in labels)


class _Architectures(Sequence[Architecture]):
    """Architectures that are made when they are read; only their ranks are held."""

    def __init__(self, space: Space, points: NDArray[np.int32]) -> None:
        self._space, self._points = space, points

    def __len__(self) -> int:
        return len(self._points)

    @overload
    def __getitem__(self, index: int) -> Architecture: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Architecture]: ...
    def __getitem__(self, index: int | slice) -> Architecture | Sequence[Architecture]:
        if isinstance(index, slice):
            return _Architectures(self._space, self._points[index])
        return self._space._architecture(self._points[index])


class _Ranker:
    """Maps a parameter's values to [0, 1] by rank, numbers in between by interpolation."""

    def __init__(self, parameter: Parameter) -> None:
        last = max(1, len(parameter.values) - 1)
        self.ranks = {_key(value): rank / last for rank, value in enumerate(parameter.values)}
        numbers = [value for value in parameter.values if not isinstance(value, bool | str)]
        self.numbers = numbers if parameter.type != "categorical" and len(numbers) == len(parameter.values) else []

    def __call__(self, value: Choice) -> float:
        value = canonical_choice(value)
        if _key(value) in self.ranks:
            return self.ranks[_key(value)]
        if not self.numbers or isinstance(value, bool | str):
            return 0.5
        return float(np.interp(value, self.numbers, np.linspace(0.0, 1.0, len(self.numbers))))


def _key(value: Choice) -> tuple[bool, Choice]:
    """A dictionary key under which True and 1 differ."""
    return isinstance(value, bool), value


def _without(rules: Mapping[str, Expression], label: str) -> dict[str, Expression]:
    return {other: rule for other, rule in rules.items() if other != label}


def _plain(value: Any) -> Any:
    """Copy configuration containers into dicts and lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value
