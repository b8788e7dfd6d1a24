"""Lengths of a workload as the user gives them: a number, a list, a file, or nothing (the user's own data).

This module is light: `autodistill.latency.configs` checks with it before anything is imported.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autodistill.errors import ConfigError

#: Quantiles that stand for many lengths, each for a tenth of the requests: the middles of nine tenths, and of the
#: longest tenth its 99th percentile. Its middle would leave out the requests that decide p99; so p99 is that of long
#: requests, and what averages over all (throughput, load) is a little on the safe side.
LENGTH_QUANTILES = (*((2 * step + 1) / 20 for step in range(9)), 0.99)

#: What messages say is possible.
POSSIBLE = "null, a number >= 1, a list of numbers >= 1, or the path of a file of lengths"


def read_lengths(value: Any, where: str) -> tuple[int, ...] | None:
    """The lengths that a configuration asks for, None for those of the data.

    A file holds one length per line, or a JSON list; more than ten are reduced to `LENGTH_QUANTILES`.

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
    if len(lengths) <= len(LENGTH_QUANTILES):
        return tuple(lengths)
    return tuple(lengths[round(place * (len(lengths) - 1))] for place in LENGTH_QUANTILES)  # the nearest sample
