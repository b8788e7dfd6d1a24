"""Reads a search space from configuration: parameters, derived values, conditions and rules.

The configuration maps a name to a list of ordinal choices, or to a mapping with ``type``. What is built from the
parts is `autodistill.engine.space.Space`; the language of rules is `autodistill.engine.expressions`.
"""

from __future__ import annotations

import graphlib
import keyword
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

from autodistill.components.architecture import Choice, canonical_choice
from autodistill.components.search import Parameter
from autodistill.engine.expression_kinds import NameValues
from autodistill.engine.expressions import RESERVED, Expression, parse_expression
from autodistill.errors import ConfigError, did_you_mean

ParameterType = Literal["ordinal", "categorical", "integer", "log_integer"]

#: Type of a parameter -> keys of its mapping, apart from ``type``, ``when`` and ``default``.
TYPE_KEYS: Mapping[ParameterType, tuple[str, ...]] = {
    "ordinal": ("values",),
    "categorical": ("values",),
    "integer": ("low", "high", "step"),
    "log_integer": ("low", "high", "count", "base"),
}

#: The type of a value that is worked out from others; no dimension.
DERIVED = "derived"

# Whole numbers beyond are rounded by whoever reads them as a float, e.g. JSON readers (IEEE 754: 53 bits).
LARGEST_INTEGER = 2**53

# More values than this are a slip of the pen (a missing step); no architecture has so fine a knob.
MOST_VALUES = 10_000


@dataclass(frozen=True)
class Condition:
    """Says when a parameter matters; where it does not, it has its default."""

    expression: Expression
    default: Choice


def parse_parameters(space: Mapping[str, Any], where: str) -> tuple[Parameter, ...]:
    """Return the parameters of ``space`` in its order; ``where`` is its configuration key.

    Raises:
        ConfigError: a name, type, key or value that cannot be; the message names the key.
    """
    if not isinstance(space, Mapping):
        raise ConfigError(f"{where} must map names to lists of choices, got {space!r}.")
    parameters = {name: given for name, given in space.items() if not _is_derived(given)}
    if not parameters:
        raise ConfigError(f"{where} has no parameter; give at least one, e.g. {where}.num_layers=[2,4,6].")
    return tuple(_parameter(name, given, f"{where}.{name}") for name, given in parameters.items())


def values_of(parameters: Iterable[Parameter], derived: Iterable[str]) -> NameValues:
    """What each name of a space may be; nothing is listed for derived values, which are numbers."""
    return {**{parameter.name: parameter.values for parameter in parameters}, **dict.fromkeys(derived, ())}


def parse_derived(space: Mapping[str, Any], parameters: Sequence[Parameter], where: str) -> dict[str, Expression]:
    """Return the derived values of ``space``, each after those it is worked out from.

    Raises:
        ConfigError: a derived value that is no expression over the other names, or some that need each other.
    """
    found = {name: given for name, given in space.items() if _is_derived(given)}
    values = values_of(parameters, found)
    parsed: dict[str, Expression] = {}
    for name, given in found.items():
        _check_name(name, f"{where}.{name}")
        _check_keys(given, DERIVED, ("type", "value"), f"{where}.{name}")
        if not isinstance(given.get("value"), str):
            raise ConfigError(
                f"{where}.{name}.value must be an expression such as 'hidden_size * 4', got {given.get('value')!r}."
            )
        parsed[name] = parse_expression(given["value"], _without(name, values), f"{where}.{name}")
    needs = {name: expression.names & parsed.keys() for name, expression in parsed.items()}
    return {name: parsed[name] for name in _sorted(needs, f"{where}: the derived values")}


def parse_conditions(
    space: Mapping[str, Any], parameters: Sequence[Parameter], derived: Mapping[str, Expression], where: str
) -> tuple[dict[str, Condition], tuple[str, ...]]:
    """Return the conditions by parameter, and all parameters in an order in which conditions can be decided.

    Raises:
        ConfigError: a condition that cannot be parsed, a default that is no choice, or conditions in a circle.
    """
    values = values_of(parameters, derived)
    conditions = {
        parameter.name: _condition(space[parameter.name], parameter, values, f"{where}.{parameter.name}")
        for parameter in parameters
        if isinstance(space[parameter.name], Mapping) and space[parameter.name].get("when") not in (None, "")
    }
    expressions = {**derived, **{name: condition.expression for name, condition in conditions.items()}}
    needs = {name: expressions[name].names if name in expressions else frozenset() for name in values}
    order = _sorted(needs, f"{where}: the conditions (`when`)")
    return conditions, tuple(name for name in order if name not in derived)


def parse_rules(rules: Mapping[str, Any], values: NameValues, where: str) -> dict[str, Expression]:
    """Return the rules that are switched on, by label; null or an empty text switches one off.

    Raises:
        ConfigError: a rule that is no expression over the names of the space, or compares what can never be equal.
    """
    parsed: dict[str, Expression] = {}
    for label, text in rules.items():
        if text is None or text == "":
            continue
        if not isinstance(text, str):
            raise ConfigError(f"{where}.{label} must be an expression such as 'a <= b', got {text!r}.")
        parsed[label] = parse_expression(text, values, f"{where}.{label}")
    return parsed


def _parameter(name: object, given: Any, where: str) -> Parameter:
    _check_name(name, where)
    name = str(name)
    if _is_list(given):
        return Parameter(name, "ordinal", _choices(given, "ordinal", where))
    if isinstance(given, Mapping):
        return _typed_parameter(name, given, where)
    raise ConfigError(f"{where} must be a list of choices or a mapping with 'type', got {given!r}.")


def _check_name(name: object, where: str) -> None:
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name in RESERVED:
        raise ConfigError(f"{where}: a parameter needs a name of letters, digits and underscores, got {name!r}.")


def _check_keys(given: Mapping[str, Any], kind: str, allowed: Sequence[str], where: str) -> None:
    for key in given:
        if key not in allowed:
            hint = did_you_mean(str(key), allowed)
            raise ConfigError(f"{where} has an unknown key {key!r}.{hint} A {kind} has: {', '.join(allowed)}.")


def _is_derived(given: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(given, Mapping) and given.get("type") == DERIVED


def _typed_parameter(name: str, given: Mapping[str, Any], where: str) -> Parameter:
    kind = given.get("type", "ordinal" if "values" in given else None)
    if kind not in TYPE_KEYS:
        types = (*TYPE_KEYS, DERIVED)
        hint = did_you_mean(str(kind), types)
        raise ConfigError(f"{where}.type must be one of {', '.join(types)}, got {kind!r}.{hint}")
    _check_keys(given, kind, ("type", *TYPE_KEYS[kind], "when", "default"), where)
    if given.get("default") is not None and "when" not in given:
        raise ConfigError(
            f"{where}.default is the value where the condition {where}.when does not hold, and there is no condition. "
            "Give one, or take the default out."
        )
    if kind in ("ordinal", "categorical"):
        if not _is_list(given.get("values")):
            raise ConfigError(f"{where}.values must be a list of choices, got {given.get('values')!r}.")
        return Parameter(name, kind, _choices(given["values"], kind, where))
    return Parameter(name, kind, _range(given, kind, where))


def _is_list(given: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(given, Sequence) and not isinstance(given, str | bytes)


def _choices(given: Sequence[Any], kind: ParameterType, where: str) -> tuple[Choice, ...]:
    if not given:
        raise ConfigError(f"{where} has no choices; give at least one.")
    if len(given) > MOST_VALUES:
        raise ConfigError(f"{where} must have at most {MOST_VALUES} choices, got {len(given)}.")
    kinds = {_kind_of(value, where) for value in given}
    if len(kinds) > 1:
        raise ConfigError(f"{where} mixes {' and '.join(sorted(kinds))}: {list(given)!r}; use one of them.")
    values = tuple(canonical_choice(value) for value in given)
    repeated = sorted(str(value) for value, count in Counter(values).items() if count > 1)
    if repeated:
        raise ConfigError(f"{where} repeats {', '.join(repeated)}; every choice may stand there once.")
    if kind == "ordinal" and kinds == {"numbers"}:
        return tuple(sorted(values))
    return values


def _kind_of(value: object, where: str) -> str:
    if isinstance(value, bool):
        return "true/false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        raise ConfigError(f"{where}: a whole number must be between -2**53 and 2**53, got {value}.")
    if isinstance(value, int | float) and math.isfinite(value):
        return "numbers"
    raise ConfigError(f"{where}: a choice must be a finite number, text, true or false, got {value!r}.")


def _range(given: Mapping[str, Any], kind: ParameterType, where: str) -> tuple[int, ...]:
    low, high = (_integer(given, key, where) for key in ("low", "high"))
    if low > high:
        raise ConfigError(f"{where}.low must be <= high, got low={low}, high={high}.")
    if kind == "integer":
        step = _integer(given, "step", where, default=1, least=1)
        count = (high - low) // step + 1
        if count > MOST_VALUES:
            raise ConfigError(f"{where} has {count} values, at most {MOST_VALUES} can be; raise its step.")
        return tuple(range(low, high + 1, step))
    if low < 1:
        raise ConfigError(f"{where}.low of a log_integer must be >= 1, got {low}.")
    if given.get("count") is None:
        return tuple(_powers(low, high, _integer(given, "base", where, default=2, least=2)))
    if given.get("base") is not None:
        raise ConfigError(f"{where} takes either count or base, got count={given['count']} and base={given['base']}.")
    return _geometric(low, high, _integer(given, "count", where, least=1), where)


def _integer(
    given: Mapping[str, Any], key: str, where: str, default: int | None = None, least: int | None = None
) -> int:
    value = given.get(key)
    value = default if value is None else canonical_choice(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{where}.{key} must be a whole number, got {given.get(key)!r}.")
    if least is not None and value < least:
        raise ConfigError(f"{where}.{key} must be >= {least}, got {value}.")
    if abs(value) > LARGEST_INTEGER:
        raise ConfigError(f"{where}.{key} must be between -{LARGEST_INTEGER} and {LARGEST_INTEGER}, got {value}.")
    return value


def _powers(low: int, high: int, base: int) -> Iterator[int]:
    value = low
    while value <= high:
        yield value
        value *= base


def _geometric(low: int, high: int, count: int, where: str) -> tuple[int, ...]:
    if count == 1 and low != high:
        raise ConfigError(f"{where}.count of a log_integer from {low} to {high} must be >= 2, got 1.")
    if count > MOST_VALUES:
        raise ConfigError(f"{where}.count must be <= {MOST_VALUES}, got {count}.")
    ratio = (high / low) ** (1 / max(1, count - 1))
    inner = (min(high, round(low * ratio**index)) for index in range(1, count - 1))
    return tuple(sorted({low, *inner, high}))


def _condition(given: Mapping[str, Any], parameter: Parameter, values: NameValues, where: str) -> Condition:
    when = given["when"]
    if not isinstance(when, str):
        raise ConfigError(f"{where}.when must be an expression such as 'a <= b', got {when!r}.")
    default = parameter.values[0] if given.get("default") is None else canonical_choice(given["default"])
    if default not in parameter.values:
        possible = ", ".join(str(value) for value in parameter.values[:20])
        raise ConfigError(f"{where}.default must be one of its choices ({possible}), got {default!r}.")
    return Condition(parse_expression(when, _without(parameter.name, values), f"{where}.when"), default)


def _without(name: str, values: NameValues) -> NameValues:
    """The other names of the space; what an expression of ``name`` may use."""
    return {other: possible for other, possible in values.items() if other != name}


def _sorted(needs: Mapping[str, Collection[str]], what: str) -> tuple[str, ...]:
    """Names after those they need; ``what`` begins the message when there is no such order."""
    try:
        return tuple(graphlib.TopologicalSorter({name: sorted(needs[name]) for name in needs}).static_order())
    except graphlib.CycleError as error:
        circle = " -> ".join(error.args[1])
        raise ConfigError(f"{what} of {circle} depend on each other in a circle.") from None
