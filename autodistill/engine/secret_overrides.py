"""Overrides that hold a password or token: what is written down has something in its place.

What is a secret is known to `autodistill.report.formats.without_secrets`. One that is only referred to, as in
``storage.url='postgresql+psycopg://me:${oc.env:PASSWORD}@host/studies'``, is none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from autodistill.errors import ConfigError
from autodistill.report.formats import SECRET, without_secrets


def without_secret(override: str, instead: Callable[[str], str] = lambda _: SECRET) -> str:
    """An override with ``instead`` of each of its secrets; as it was given when it has none.

    Raises:
        ConfigError: a sweep over secrets, which its studies would be named by.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import ChoiceSweep

    item = OverridesParser.create().parse_override(override)
    key = item.key_or_group.rpartition(".")[2]
    given = item.value()
    if isinstance(given, ChoiceSweep):
        if any(_masked(key, choice, instead) != choice for choice in map(_plain, given.list)):
            raise ConfigError(
                f"A sweep cannot vary {item.key_or_group}, which holds passwords: its studies would be named by them."
            )
        return override
    masked = _masked(key, given, instead)
    if masked == given:
        return override
    return f"{item.get_key_element()}={replace(item, _value=_quoted(masked)).get_value_element_as_str()}"


def _masked(key: str, value: Any, instead: Callable[[str], str]) -> Any:
    return without_secrets({key: value}, instead)[key]


def _plain(choice: Any) -> Any:
    return getattr(choice, "text", choice)  # of a quoted string


def _quoted(value: Any) -> Any:
    """A value of Hydra's grammar, with its texts in quotes, in which references are followed."""
    from hydra.core.override_parser.types import Quote, QuotedString

    if isinstance(value, dict):
        return {key: _quoted(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_quoted(entry) for entry in value]
    return QuotedString(value, Quote.double) if isinstance(value, str) else value
