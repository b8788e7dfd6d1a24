"""Architectures that are given in a configuration: by hand, or to be tried before the search proposes any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autodistill.components.architecture import Architecture, Choice
from autodistill.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from autodistill.engine.space import Space


def read_architecture(given: Mapping[str, Any], default_family: str, where: str = "architecture") -> Architecture:
    """An architecture from configuration: ``{family: bert, choices: {...}}`` or the choices alone.

    Raises:
        ConfigError: it has another form; the message begins with ``where``.
    """
    mapping = given if isinstance(given, Mapping) else {}
    choices = mapping.get("choices", mapping)
    family = mapping.get("family", default_family)
    plain = isinstance(choices, Mapping) and all(isinstance(v, (bool, int, float, str)) for v in choices.values())
    if not plain or not isinstance(family, str) or not choices:
        raise ConfigError(
            f"{where} must be {{family: NAME, choices: {{PARAMETER: VALUE, ...}}}}, e.g. "
            "'architecture={family: bert, choices: {num_layers: 3, hidden_size: 384, num_heads: 12, "
            f"intermediate_size: 768}}}}', got {dict(mapping) or given!r}."
        )
    return Architecture(family, dict(choices))


def first_architectures(space: Space, given: Sequence[Mapping[str, Any]]) -> tuple[Architecture, ...]:
    """The architectures of ``first_trials``, in their order and without repeats.

    Parameters that do not matter and derived values need not be given.

    Raises:
        ConfigError: one is not in the space; the message says why.
    """
    listed = (_in_space(space, item, f"first_trials[{place}]") for place, item in enumerate(given))
    return tuple(dict.fromkeys(listed))


def _in_space(space: Space, given: Mapping[str, Any], where: str) -> Architecture:
    wanted = read_architecture(given, space.family, where)
    if wanted.family != space.family:
        raise ConfigError(f"{where} is of the family {wanted.family!r}, but the study searches {space.family!r}.")
    names = [*(parameter.name for parameter in space.parameters), *space.derived]
    for name in wanted.choices:
        if name not in names:
            raise ConfigError(
                f"{where}: the space has no {name!r}.{did_you_mean(name, names)} It has: {', '.join(names)}."
            )
    [found] = space.complete([wanted.choices])
    if found is None:
        raise ConfigError(f"{where} is not in the space: {_reason(space, wanted)}.")
    for name, value in wanted.choices.items():
        if found.choices[name] != value:
            raise ConfigError(
                f"{where}.{name} is {value!r}, but follows from the other choices, by which it is "
                f"{found.choices[name]!r}. Leave it out."
            )
    return found


def _reason(space: Space, wanted: Architecture) -> str:
    """Why an architecture whose choices have known names is not in the space."""
    choices = wanted.choices
    for parameter, rank in zip(space.parameters, space.ranks([wanted])[0], strict=True):
        if rank < 0 and parameter.name in choices:
            values = ", ".join(map(str, parameter.values))
            return f"{parameter.name} is {choices[parameter.name]!r}, must be one of {values}"
    always = [parameter.name for parameter in space.parameters if parameter.name not in space.conditions]
    missing = [name for name in always if name not in choices]
    if missing:
        return f"it lacks {', '.join(missing)}"
    broken = [label for label, rule in space.rules.items() if not rule.holds(_worked_out(space, choices))]
    if broken:
        return f"it breaks student.rules.{broken[0]}"
    return f"it lacks {', '.join(name for name in space.conditions if name not in choices)}"


def _worked_out(space: Space, choices: Mapping[str, Choice]) -> dict[str, Choice]:
    """The choices with defaults for what was not given, and with the derived values."""
    full = {**{name: condition.default for name, condition in space.conditions.items()}, **choices}
    for name, expression in space.derived.items():
        full[name] = expression.number(full)
    return full
