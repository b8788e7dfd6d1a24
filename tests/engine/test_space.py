from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from autodistill.components.architecture import Architecture, Choice
from autodistill.engine.space import Space, build_space
from autodistill.engine.space_points import COUNT_LIMIT
from autodistill.errors import ConfigError

BERT: dict[str, Any] = {
    "num_layers": [2, 3, 4, 6],
    "hidden_size": {"type": "integer", "low": 64, "high": 256, "step": 64},
    "num_heads": [2, 4, 6],
    "feed_forward": {"type": "log_integer", "low": 128, "high": 1024},
    "activation": {"type": "categorical", "values": ["gelu", "relu"]},
}
RULES = {"heads_divide_width": "hidden_size % num_heads == 0"}
SWITCHED: dict[str, Any] = {
    "factorised": {"type": "categorical", "values": [False, True]},
    "embedding_size": {"values": [32, 64, 128], "when": "factorised", "default": 128},
    "layers": [1, 2],
}


@st.composite
def spaces(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, str]]:
    """Small spaces of two to four parameters with up to two rules and perhaps a condition."""
    values = st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True)
    names = ["a", "b", "c", "d"][: draw(st.integers(2, 4))]
    space: dict[str, Any] = {}
    for name in names:
        kind = draw(st.sampled_from(["list", "categorical", "integer"]))
        if kind == "integer":
            low = draw(st.integers(0, 4))
            space[name] = {"type": kind, "low": low, "high": low + draw(st.integers(0, 3))}
        else:
            given_values = draw(values)
            space[name] = given_values if kind == "list" else {"type": kind, "values": given_values}
    if draw(st.booleans()):
        space["b"] = {"values": [1, 2, 3], "when": "a > 2", "default": draw(st.sampled_from([1, 2, 3]))}
    rules = draw(
        st.lists(st.sampled_from(["a + b != 4", "a <= b", "b % 2 == 0 or a > 1", "a in (1, 2, 3)"]), max_size=2)
    )
    return space, {f"rule{index}": rule for index, rule in enumerate(rules)}


def brute_force(space: dict[str, Any], rules: dict[str, str]) -> set[Architecture]:
    """The feasible set worked out with Python itself."""
    lists = {name: _values(given_value) for name, given_value in space.items()}
    found = set()
    for combination in itertools.product(*lists.values()):
        choices: dict[str, Choice] = dict(zip(lists, combination, strict=True))
        for name, item in space.items():
            if isinstance(item, dict) and "when" in item and not eval(item["when"], {}, dict(choices)):
                choices[name] = item["default"]
        if all(eval(rule, {}, dict(choices)) for rule in rules.values()):
            found.add(Architecture("toy", choices))
    return found


def _values(item: Any) -> list[Any]:
    if isinstance(item, list):
        return item
    return list(item["values"]) if "values" in item else list(range(item["low"], item["high"] + 1))


@given(spaces())
@settings(max_examples=60)
def test_a_space_is_exactly_its_feasible_points(given_space: tuple[dict[str, Any], dict[str, str]]) -> None:
    expected = brute_force(*given_space)
    assume(expected)
    space = build_space("toy", *given_space)
    everything = list(space.enumerate())
    assert space.size == len(everything) == len(expected)
    assert set(everything) == expected
    assert all(item in space for item in everything)
    assert set(space.sample(20, seed=3)) <= expected


@given(spaces(), st.integers(0, 2**32))
@settings(max_examples=60)
def test_encoding_neighbours_and_round_trip(given_space: tuple[dict[str, Any], dict[str, str]], seed: int) -> None:
    assume(brute_force(*given_space))
    space = build_space("toy", *given_space)
    everything = list(space.enumerate())
    encoded = space.encode(everything)
    assert encoded.shape == (len(everything), len(space.parameters))
    assert (encoded == space.encode(space.enumerate())).all(), "the enumeration is encoded otherwise when taken whole"
    ranks = space.ranks(space.enumerate())
    assert (ranks == space.ranks(everything)).all()
    for item, row in zip(everything, ranks.tolist(), strict=True):
        pairs = zip(space.parameters, row, strict=True)
        assert all(item.choices[parameter.name] == parameter.values[rank] for parameter, rank in pairs)
    assert space.complete([item.choices for item in everything]) == everything
    assert ((encoded >= 0) & (encoded <= 1)).all()
    assert len(np.unique(encoded, axis=0)) == len(everything), "two architectures share a code"
    chosen = space.sample(1, seed)[0]
    for other in space.neighbours(chosen):
        assert other in space
        assert other != chosen
        assert chosen in space.neighbours(other), "the neighbour does not know its neighbour"
    assert Space.from_dict(json.loads(json.dumps(space.to_dict()))) == space


def test_parameters_are_what_the_configuration_says() -> None:
    space = build_space("bert", BERT, RULES)
    assert {item.name: (item.type, item.values) for item in space.parameters} == {
        "num_layers": ("ordinal", (2, 3, 4, 6)),
        "hidden_size": ("integer", (64, 128, 192, 256)),
        "num_heads": ("ordinal", (2, 4, 6)),
        "feed_forward": ("log_integer", (128, 256, 512, 1024)),
        "activation": ("categorical", ("gelu", "relu")),
    }
    assert space.size == 4 * (4 + 4 + 1) * 4 * 2


def test_log_integers_by_count_keep_both_ends() -> None:
    space = build_space("bert", {"width": {"type": "log_integer", "low": 100, "high": 1000, "count": 4}}, {})
    assert space.parameters[0].values == (100, 215, 464, 1000)


def test_containers_of_omegaconf_are_fine() -> None:
    config = OmegaConf.create({"space": BERT, "rules": {**RULES, "off": None}})
    assert build_space("bert", config.space, config.rules) == build_space("bert", BERT, RULES)


@pytest.mark.parametrize("off", [None, ""])
def test_a_rule_can_be_switched_off(off: str | None) -> None:
    assert build_space("bert", BERT, {"heads_divide_width": off}).size == 4 * 4 * 3 * 4 * 2


def test_what_does_not_matter_has_its_default() -> None:
    space = build_space("toy", SWITCHED, {})
    assert space.size == 2 * (1 + 3)
    without = {"factorised": False, "embedding_size": 128, "layers": 1}
    assert Architecture("toy", without) in space
    assert Architecture("toy", {**without, "embedding_size": 32}) not in space
    reached = space.neighbours(Architecture("toy", {"factorised": True, "embedding_size": 32, "layers": 1}))
    assert Architecture("toy", without) in reached


@given(spaces(), st.integers(0, 2**32))
@settings(max_examples=40)
def test_any_choices_are_completed_to_their_canonical_form(
    given_space: tuple[dict[str, Any], dict[str, str]], seed: int
) -> None:
    expected = brute_force(*given_space)
    assume(expected)
    space = build_space("toy", *given_space)
    rng = np.random.default_rng(seed)
    choices = [
        {parameter.name: parameter.values[rng.integers(len(parameter.values))] for parameter in space.parameters}
        for _ in range(20)
    ]
    for given_choices, completed in zip(choices, space.complete(choices), strict=True):
        canonical = dict(given_choices)
        condition = given_space[0]["b"]
        if "when" in condition and not eval(condition["when"], {}, dict(canonical)):
            canonical["b"] = condition["default"]
        architecture = Architecture("toy", canonical)
        assert completed == (architecture if architecture in expected else None)


def test_a_parameter_that_begins_to_matter_may_take_any_value() -> None:
    space = build_space("toy", SWITCHED, {})
    without = Architecture("toy", {"factorised": False, "embedding_size": 128, "layers": 1})
    near = space.neighbours(without)
    assert {item.choices["embedding_size"] for item in near if item.choices["factorised"]} == {32, 64, 128}


def test_ranks_of_strangers_are_missing() -> None:
    space = build_space("toy", {"a": [2, 4], "b": [1, 2]}, {})
    strangers: list[dict[str, Choice]] = [{"a": 4, "b": 3}, {"a": True, "b": 2}, {"b": 1}]
    assert space.ranks([Architecture("toy", item) for item in strangers]).tolist() == [[1, -1], [-1, 1], [-1, 0]]


def test_slices_of_the_enumeration_are_sequences_like_the_whole() -> None:
    space = build_space("bert", BERT, RULES)
    everything = space.enumerate()
    some = everything[5:20:3]
    assert list(some) == [everything[index] for index in (5, 8, 11, 14, 17)]
    assert (space.encode(some) == space.encode(list(some))).all()


def test_equal_spaces_know_each_others_enumeration_and_others_do_not() -> None:
    space, other = build_space("toy", {"a": [1, 2]}, {}), build_space("toy", {"a": [2, 3]}, {})
    assert space.ranks(build_space("toy", {"a": [1, 2]}, {}).enumerate()).tolist() == [[0], [1]]
    assert other.ranks(space.enumerate()).tolist() == [[-1], [0]]


def test_an_architecture_must_have_the_family_and_exactly_the_parameters() -> None:
    space = build_space("toy", {"a": [1, 2]}, {})
    assert Architecture("toy", {"a": 2.0}) in space
    for family, choices in (
        ("bert", {"a": 1}),
        ("toy", {"a": 3}),
        ("toy", {}),
        ("toy", {"a": 1, "b": 1}),
        ("toy", {"a": True}),
    ):
        assert Architecture(family, choices) not in space
    assert "toy" not in space


def test_out_of_space_values_are_clipped_or_interpolated() -> None:
    space = build_space("toy", {"a": [2, 4, 8], "b": {"type": "categorical", "values": ["x", "y", "z"]}}, {})
    choices: list[dict[str, Choice]] = [{"a": 100, "b": "z"}, {"a": 3, "b": "y"}, {"a": 0, "b": "unknown"}, {"b": "x"}]
    encoded = space.encode([Architecture("toy", item) for item in choices])
    assert encoded.tolist() == [[1.0, 1.0], [0.25, 0.5], [0.0, 0.5], [0.5, 0.0]]


def test_samples_are_uniform_and_depend_on_the_seed_only() -> None:
    space = build_space("toy", SWITCHED, {})
    counts = Counter(space.sample(8000, seed=1))
    assert len(counts) == 8
    assert all(850 < count < 1150 for count in counts.values())  # 1000 expected, five standard deviations of 30
    assert space.sample(5, seed=2) == space.sample(5, seed=2) != space.sample(5, seed=3)


def test_a_large_space_is_not_counted_but_sampled_uniformly() -> None:
    space = build_space(
        "toy", {**SWITCHED, **{f"p{index}": list(range(10)) for index in range(6)}}, {"order": "p0 < p1"}
    )
    assert space.size is None
    samples = space.sample(2000, seed=0)
    assert all(item in space for item in samples)
    share = np.mean([item.choices["factorised"] for item in samples])
    assert share == pytest.approx(0.75, abs=0.05)  # three of four: the size matters only there
    with pytest.raises(ValueError, match="too large to enumerate"):
        space.enumerate()


def test_a_large_product_with_strict_rules_is_counted() -> None:
    space = build_space(
        "toy", {f"p{index}": list(range(12)) for index in range(6)}, {f"r{i}": f"p{i} < p{i + 1}" for i in range(5)}
    )
    assert COUNT_LIMIT < 12**6
    assert space.size == 924  # twelve choose six


def test_one_architecture_is_a_space() -> None:
    space = build_space("toy", {"a": [1], "b": {"type": "integer", "low": 3, "high": 3}}, {})
    assert space.size == 1
    assert space.neighbours(space.sample(1, 0)[0]) == []


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, r"student\.space has no parameter"),
        ([1, 2], r"student\.space must map names"),
        ({"a": []}, r"student\.space\.a has no choices"),
        ({"a": [1, 2, 1.0]}, r"student\.space\.a repeats 1;"),
        ({"a": [1, "x"]}, r"student\.space\.a mixes numbers and text: \[1, 'x'\]"),
        ({"a": [1, True]}, r"mixes numbers and true/false"),
        ({"a": [1, [2]]}, r"a choice must be a finite number, text, true or false, got \[2\]"),
        ({"a": [float("nan")]}, r"must be a finite number"),
        ({"a": None}, r"student\.space\.a must be a list of choices or a mapping with 'type', got None"),
        ({"a": 3}, r"got 3"),
        ({"a": "123"}, r"got '123'"),
        ({"max": [1]}, r"needs a name of letters.* got 'max'"),
        ({"a-b": [1]}, r"got 'a-b'"),
        ({"a": {"type": "integr", "low": 1, "high": 2}}, r"got 'integr'\. Did you mean 'integer'\?"),
        ({"a": {"type": "integer", "low": 1, "hihg": 2}}, r"unknown key 'hihg'\. Did you mean 'high'\?"),
        ({"a": {"type": "integer", "low": 5, "high": 2}}, r"a\.low must be <= high, got low=5, high=2"),
        ({"a": {"type": "integer", "low": 1}}, r"a\.high must be a whole number, got None"),
        ({"a": {"type": "integer", "low": 1, "high": 2, "step": 0}}, r"a\.step must be >= 1, got 0"),
        ({"a": {"type": "integer", "low": 1, "high": 10**6}}, r"has 1000000 values"),
        ({"a": {"type": "integer", "low": 0, "high": 2**53}}, r"has 9007199254740993 values, at most 10000"),
        ({"a": {"type": "integer", "low": 0, "high": 10**30}}, r"a\.high must be between -9007199254740992 and"),
        ({"a": {"type": "log_integer", "low": 1, "high": 10**400}}, r"a\.high must be between"),
        ({"a": [10**400]}, r"a whole number must be between -2\*\*53 and 2\*\*53"),
        ({"a": {"type": "log_integer", "low": 0, "high": 2}}, r"low of a log_integer must be >= 1, got 0"),
        ({"a": {"type": "log_integer", "low": 1, "high": 8, "count": 2, "base": 2}}, r"either count or base"),
        ({"a": {"type": "log_integer", "low": 1, "high": 8, "count": 1}}, r"space\.a\.count of .* must be >= 2, got 1"),
        ({"a": {"type": "log_integer", "low": 1, "high": 8, "count": 10**5}}, r"space\.a\.count must be <= 10000, got"),
        ({"a": {"type": "ordinal", "values": 3}}, r"a\.values must be a list of choices, got 3"),
        (
            {"a": [1], "b": {"values": [1], "when": "a > 0", "default": 7}},
            r"b\.default must be one of its choices \(1\)",
        ),
        ({"a": {"values": [1], "when": "b > 0"}, "b": {"values": [1], "when": "a > 0"}}, r"depend on each other"),
        ({"a": {"values": [1, 2], "default": 1}}, r"a\.default is the value where .* there is no condition"),
        ({"a": [1], "b": {"values": [1], "when": True}}, r"b\.when must be an expression"),
    ],
)
def test_impossible_spaces_are_refused(space: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_space("toy", space, {})


def test_a_rule_that_excludes_everything_is_named() -> None:
    rules = {"fine": "a > 0", "guilty": "a > b + 3"}
    with pytest.raises(ConfigError, match=r"is empty.* guilty \(a > b \+ 3\) excludes every architecture by itself"):
        build_space("toy", {"a": [1, 2], "b": [1, 2]}, rules)


def test_rules_that_contradict_each_other_are_named() -> None:
    rules = {"fine": "a > 0", "up": "a > b", "down": "a <= b"}
    with pytest.raises(ConfigError, match=r"Without any one of these rules .*: up \(a > b\), down \(a <= b\)\. Loosen"):
        build_space("toy", {"a": [1, 2], "b": [1, 2]}, rules)


def test_a_rule_over_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"student\.rules\.r: unknown name 'hiden'.* Did you mean 'hidden'\?"):
        build_space("toy", {"hidden": [1]}, {"r": "hiden > 0"})


def test_a_rule_must_be_text() -> None:
    with pytest.raises(ConfigError, match=r"student\.rules\.r must be an expression such as 'a <= b', got 3"):
        build_space("toy", {"a": [1]}, {"r": 3})  # type: ignore[dict-item]


def test_a_rule_may_keep_a_condition_from_what_it_cannot_work_out() -> None:
    when = {"values": [96, 192], "when": "4 % layers == 0", "default": 96}
    space = build_space("f", {"layers": [0, 1, 2, 3, 4], "width": when}, {"some": "layers > 0"})
    assert len(space.enumerate() or ()) == 2 * 3 + 1
    assert space.complete([{"layers": 0, "width": 96}, {"layers": 4, "width": 192}])[0] is None
    assert Architecture("f", {"layers": 0, "width": 96}) not in space
    assert Architecture("f", {"layers": 0, "width": 192}) not in space
    first = Architecture("f", {"layers": 1, "width": 192})
    assert {item.choices["layers"] for item in space.neighbours(first)} == {1, 2}


def test_a_wrong_derived_value_is_a_stranger_even_where_a_rule_cannot_be_worked_out_with_it() -> None:
    space = build_space("f", {"a": [1, 2], "d": {"type": "derived", "value": "a * 2"}}, {"r": "8 % d == 0"})
    assert Architecture("f", {"a": 1, "d": 2}) in space
    assert Architecture("f", {"a": 1, "d": 0}) not in space


def test_parts_of_a_rule_may_be_longer_than_a_rule() -> None:
    names = "abcde"
    rule = "+".join(["max(a,b,c,d,e)*2-(c)"] * 45) + "<=9"
    assert len(rule) < 1000
    space = build_space("f", {name: [0, 1] for name in names}, {"r": rule})
    assert [item.choices["a"] for item in space.enumerate() or ()] == [0]


@pytest.mark.parametrize(
    ("space", "rules", "message"),
    [
        ({}, {"r": "layers != '4'"}, r"^student\.rules\.r: layers is compared with '4', .* Did you mean 4\?"),
        ({}, {"r": "double == '4'"}, r"^student\.rules\.r: double is compared with '4', but double is a number, and "),
        (
            {},
            {"r": "act in ('gelu', 'reul')"},
            r"^student\.rules\.r: .* Did you mean 'relu'\? act is one of 'gelu', 'r",
        ),
        (
            {"width": {"values": [1, 2], "when": "act == 4"}},
            {},
            r"^student\.space\.width\.when: act is compared with 4",
        ),
        (
            {"wide": {"type": "derived", "value": "2 * (act == 'relo')"}},
            {},
            r"^student\.space\.wide: .* Did you mean 'relu'\?",
        ),
    ],
)
def test_comparisons_without_effect_are_refused(space: dict[str, Any], rules: dict[str, str], message: str) -> None:
    double = {"type": "derived", "value": "2 * layers"}
    act = {"type": "categorical", "values": ["gelu", "relu"]}
    with pytest.raises(ConfigError, match=message):
        build_space("f", {"layers": [2, 4], "act": act, "double": double, **space}, rules)
