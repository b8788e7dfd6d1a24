"""JSON as the storage keeps it: NaN and infinities survive, numpy scalars and mappings are welcome.

Strict JSON has no word for NaN and infinities; they are written as ``{"$float": "nan"}`` (``"inf"``, ``"-inf"``).
Keys become strings and tuples become lists, as in any JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

#: The only key of an object that stands for a float which JSON cannot write.
MARK = "$float"


def dumps(value: Any) -> str:
    """``value`` as strict JSON in ASCII, without white space.

    Raises:
        TypeError: something in it is neither JSON nor a numpy scalar, array or mapping.
        ValueError: a mapping uses the reserved key ``$float``.
    """
    return json.dumps(_encode(value), allow_nan=False, separators=(",", ":"))


def _encode(value: Any) -> Any:
    if value is None or isinstance(value, bool | str) or type(value) is int:
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {MARK: repr(float(value))}
    if isinstance(value, Mapping):
        if MARK in value:
            raise ValueError(f"The key {MARK!r} is reserved, got {value!r}.")
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return _encode(value.tolist())
    return value


def loads(text: str) -> Any:
    """What `dumps` wrote."""
    # The hook makes reading several times slower, and hardly any text needs it.
    return json.loads(text, object_hook=_decode if MARK in text else None)


def _decode(value: dict[str, Any]) -> Any:
    return float(value[MARK]) if MARK in value else value
