"""Derived values: worked out from parameters, part of every architecture, no dimension of the space."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autodistill.components.architecture import Architecture
from autodistill.engine.space import Space, build_space
from autodistill.errors import ConfigError

COUPLED: dict[str, Any] = {
    "hidden_size": [128, 256, 384],
    "ffn_ratio": [1.5, 2, 4],
    "intermediate_size": {"type": "derived", "value": "hidden_size * ffn_ratio"},
    "half": {"type": "derived", "value": "intermediate_size / 2"},
    "bottleneck": {"values": [32, 64], "when": "half > 200", "default": 64},
}
RULES = {"slim": "intermediate_size <= 1024"}


def test_a_derived_value_is_a_choice_and_no_dimension() -> None:
    space = build_space("toy", COUPLED, {})
    assert [parameter.name for parameter in space.parameters] == ["hidden_size", "ffn_ratio", "bottleneck"]
    assert list(space.derived) == ["intermediate_size", "half"]
    for item in space.enumerate():
        choices = item.choices
        assert choices["intermediate_size"] == choices["hidden_size"] * choices["ffn_ratio"]  # type: ignore[operator]
        assert choices["bottleneck"] == 64 or choices["half"] > 200  # type: ignore[operator]
    assert space.encode(space.enumerate()).shape == (space.size, 3)


def test_whole_results_are_integers_so_that_a_family_can_build_them() -> None:
    space = build_space("toy", COUPLED, {})
    first = next(item for item in space.enumerate() if item.choices["ffn_ratio"] == 1.5)
    assert isinstance(first.choices["intermediate_size"], int)


def test_rules_and_conditions_may_use_them_and_the_round_trip_keeps_them() -> None:
    space = build_space("toy", COUPLED, RULES)
    assert {item.choices["intermediate_size"] for item in space.enumerate()} == {192, 256, 384, 512, 576, 768, 1024}
    again = Space.from_dict(json.loads(json.dumps(space.to_dict())))
    assert again == space
    assert list(again.enumerate()) == list(space.enumerate())


def test_an_architecture_with_another_derived_value_is_not_in_the_space() -> None:
    space = build_space("toy", COUPLED, RULES)
    inside = space.enumerate()[0]
    for value in (inside.choices["intermediate_size"] + 1, "many", True):  # type: ignore[operator]
        assert Architecture("toy", {**inside.choices, "intermediate_size": value}) not in space
    assert Architecture("toy", {k: v for k, v in inside.choices.items() if k != "half"}) not in space


def test_complete_works_them_out_and_ignores_what_is_given_for_them() -> None:
    space = build_space("toy", COUPLED, RULES)
    given = {"hidden_size": 128, "ffn_ratio": 2, "bottleneck": 32, "intermediate_size": 7}
    completed, outside, forbidden = space.complete(
        [given, {**given, "hidden_size": 129}, {**given, "hidden_size": 384, "ffn_ratio": 4}]
    )
    assert completed is not None
    assert completed.choices == {
        "hidden_size": 128,
        "ffn_ratio": 2,
        "bottleneck": 64,
        "intermediate_size": 256,
        "half": 128,
    }
    assert outside is None
    assert forbidden is None


def test_complete_needs_what_matters_and_nothing_else() -> None:
    space = build_space("toy", COUPLED, RULES)
    without, lacking, strange = space.complete(
        [
            {"hidden_size": 128, "ffn_ratio": 2},
            {"hidden_size": 256, "ffn_ratio": 4},  # wide enough for the bottleneck to matter
            {"hidden_size": 128, "ffn_ratio": 2, "bottleneck": 7},
        ]
    )
    assert without is not None
    assert without.choices["bottleneck"] == 64
    assert strange == without
    assert lacking is None


def test_neighbours_have_the_derived_values_of_their_parameters() -> None:
    space = build_space("toy", COUPLED, RULES)
    for item in space.enumerate():
        near = space.neighbours(item)
        assert near
        assert all(other in space and item in space.neighbours(other) for other in near)


def test_helpers_are_the_parameters_that_derived_values_read() -> None:
    assert build_space("toy", COUPLED, RULES).helpers == {"hidden_size", "ffn_ratio"}


def test_a_rule_protects_a_derived_value_from_a_division_by_zero() -> None:
    space = {"a": [0, 1, 2], "b": [4], "c": {"type": "derived", "value": "b // a"}}
    built = build_space("toy", space, {"positive": "a > 0"})
    assert [item.choices["c"] for item in built.enumerate()] == [4, 2]
    assert Architecture("toy", {"a": 0, "b": 4, "c": 4}) not in built


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"value": "a // (b - 4)"},
            r"student\.space\.c: 'a // \(b - 4\)' cannot be worked out for a=1, b=4: .* by zero",
        ),
        ({"value": "a > b"}, r"must be a finite number, got False"),
        ({"value": "t"}, r"the whole expression needs numbers, got 'x'"),
        ({"value": "a * t"}, r"needs numbers, got 'x'"),
        ({"value": "a * missing"}, r"student\.space\.c: unknown name 'missing'"),
        ({"value": "a * c"}, r"unknown name 'c'"),
        ({"value": "a *"}, r"is no expression"),
        ({"value": 3}, r"student\.space\.c\.value must be an expression such as .*, got 3"),
        ({}, r"c\.value must be an expression .* got None"),
        ({"value": "a", "values": [1]}, r"unknown key 'values'.* A derived has: type, value"),
        ({"value": "d + 1", "other": "c + 1"}, r"the derived values of .* depend on each other in a circle"),
    ],
)
def test_impossible_derived_values_are_refused(entry: dict[str, Any], message: str) -> None:
    entry = dict(entry)
    space: dict[str, Any] = {"a": [1, 2], "b": [4], "t": {"type": "categorical", "values": ["x"]}}
    if "other" in entry:
        space["d"] = {"type": "derived", "value": entry.pop("other")}
    space["c"] = {"type": "derived", **entry}
    with pytest.raises(ConfigError, match=message):
        build_space("toy", space, {})


def test_a_condition_on_a_value_derived_from_the_parameter_itself_is_a_circle() -> None:
    space = {"a": {"values": [1, 2], "when": "b > 1"}, "b": {"type": "derived", "value": "a + 1"}}
    with pytest.raises(ConfigError, match=r"the conditions \(`when`\) of .* depend on each other in a circle"):
        build_space("toy", space, {})


def test_a_space_of_derived_values_alone_is_none() -> None:
    with pytest.raises(ConfigError, match=r"student\.space has no parameter"):
        build_space("toy", {"a": {"type": "derived", "value": "1 + 1"}}, {})
