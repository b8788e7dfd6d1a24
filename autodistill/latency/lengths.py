"""Lengths of a workload as the user gives them: a number, a list, a file, or nothing (the user's own data).

This module is light: `autodistill.latency.configs` checks with it before anything is imported.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autodistill.errors import ConfigError

#: Lengths that a file of many is reduced to: quantiles at the middles of so many equal shares, as for the data.
FILE_QUANTILES = 10

#: What messages say is possible.
POSSIBLE = "null, a number >= 1, a list of numbers >= 1, or the path of a file of lengths"


def read_lengths(value: Any, where: str) -> tuple[int, ...] | None:
    """The lengths that a configuration asks for, None for those of the data.

    A file holds one length per line, or a JSON list; more than `FILE_QUANTILES` are reduced to quantiles.

    Args:
        value: null, whole number, list of whole numbers or path.
        where: the key, for messages.

    Raises:
        ConfigError: it is none of these, or the file cannot be read.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return _from_file(Path(value).expanduser(), where)
    given = [value] if isinstance(value, int) else value
    return _checked(given, where, repr(value))


def _checked(given: Any, where: str, shown: str) -> tuple[int, ...]:
    whole = isinstance(given, list | tuple) and all(
        isinstance(item, int) and not isinstance(item, bool) and item >= 1 for item in given
    )
    if not whole or not given:
        raise ConfigError(f"{where} must be {POSSIBLE}, got {shown}.")
    return tuple(given)


def _from_file(path: Path, where: str) -> tuple[int, ...]:
    try:
        text = path.read_text()
        given = json.loads(text) if text.lstrip().startswith("[") else [int(line) for line in text.split()]
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{where} must be {POSSIBLE} (one length per line, or a JSON list); {str(path)!r} cannot be read: {error}"
        ) from error
    lengths = sorted(_checked(given, where, f"{str(path)!r} with {str(given)[:60]}"))
    if len(lengths) <= FILE_QUANTILES:
        return tuple(lengths)
    # The nearest sample at the middle of each share: (2 k + 1) / 20 for ten of them.
    places = [(2 * step + 1) / (2 * FILE_QUANTILES) for step in range(FILE_QUANTILES)]
    return tuple(lengths[round(place * (len(lengths) - 1))] for place in places)
