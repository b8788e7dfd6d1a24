from __future__ import annotations

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.components.architecture import Architecture, Choice

CHOICES = st.dictionaries(
    st.text(min_size=1, max_size=5),
    st.one_of(st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    max_size=4,
)


@given(CHOICES, st.text(min_size=1))
def test_the_canonical_form_is_sorted_json_and_is_read_back(choices: dict[str, Choice], family: str) -> None:
    architecture = Architecture(family, choices)
    written = {"choices": dict(architecture.choices), "family": family}
    assert architecture.canonical == json.dumps(written, sort_keys=True, separators=(",", ":"))
    again = Architecture.from_canonical(architecture.canonical)
    assert again == architecture
    assert hash(again) == hash(architecture)
    assert again.digest == architecture.digest


def test_the_digest_is_what_studies_have_stored() -> None:
    architecture = Architecture("bert", {"num_layers": 2, "hidden_size": 128.0, "activation": "gelu", "tied": True})
    assert architecture.canonical == (
        '{"choices":{"activation":"gelu","hidden_size":128,"num_layers":2,"tied":true},"family":"bert"}'
    )
    assert architecture.digest == "6c387a9ea2ae317b"


def test_order_does_not_matter_and_true_is_not_one() -> None:
    assert Architecture("toy", {"a": 1, "b": 2}) == Architecture("toy", {"b": 2.0, "a": 1})
    assert Architecture("toy", {"a": True}) != Architecture("toy", {"a": 1})
    assert Architecture("toy", {"a": 1}) != Architecture("bert", {"a": 1})
    assert Architecture("toy", {"a": 1}) != "toy"


@pytest.mark.parametrize("asked", [False, True], ids=["new", "hashed"])
def test_copies_are_equal(asked: bool) -> None:
    architecture = Architecture("toy", {"a": 1, "b": "x"})
    if asked:
        hash(architecture)
    for twin in (copy.deepcopy(architecture), pickle.loads(pickle.dumps(architecture))):
        assert twin == architecture
        assert twin.canonical == architecture.canonical
