from __future__ import annotations

import json
import math
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.engine.storage_json import dumps, loads

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text().filter(lambda key: key != "$float"), inner),
    max_leaves=20,
)


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return (math.isnan(left) and math.isnan(right)) or (
            left == right and math.copysign(1, left) == math.copysign(1, right)
        )
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return type(left) is type(right) and bool(left == right)


@given(JSON)
def test_everything_that_json_knows_and_every_float_survives(value: Any) -> None:
    text = dumps(value)
    assert text.isascii()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert same(loads(text), value)


def test_numpy_values_and_mappings_become_plain_ones() -> None:
    value = MappingProxyType({"a": np.float32("nan"), "b": np.int64(3), "c": np.arange(2), "d": (np.bool_(True),)})
    read = loads(dumps(value))
    assert math.isnan(read.pop("a"))
    assert read == {"b": 3, "c": [0, 1], "d": [True]}


def test_what_json_cannot_hold_is_an_error() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        dumps({"a": object()})
    with pytest.raises(ValueError, match="reserved"):
        dumps({"$float": "nan"})
