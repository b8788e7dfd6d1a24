"""Exact counts, uniform draws and estimates of spaces of every size."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from autodistill.components.search import SizeEstimate
from autodistill.engine import space_factors, space_points
from autodistill.engine.space import build_space
from autodistill.engine.space_counting import count_points
from autodistill.errors import ConfigError

NAMES = ("a", "b", "c", "d", "e")
RULES = (
    "a + b - c <= d",
    "a < b <= c",
    "a + 2 * b + c * d != 5",
    "-a + (b - c) >= 1 - d",
    "a + b + c + d + e == 6",
    "a <= b and c <= d and e != a",
    "e in (1, 3) or a % 2 == 0",
    "3 - a > b",
)


@st.composite
def entangled(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, str]]:
    """Five parameters with a condition perhaps, and rules over up to all of them."""
    space: dict[str, Any] = {name: list(range(draw(st.integers(1, 4)))) for name in NAMES}
    if draw(st.booleans()):
        space["e"] = {"values": [0, 1, 2, 3], "when": draw(st.sampled_from(["a > 1", "a + b > c"])), "default": 1}
    rules = draw(st.lists(st.sampled_from(RULES), min_size=1, max_size=3, unique=True))
    return space, {f"rule{index}": rule for index, rule in enumerate(rules)}


def brute_force(space: dict[str, Any], rules: dict[str, str]) -> set[tuple[int, ...]]:
    """The feasible set worked out with Python itself."""
    found = set()
    for values in itertools.product(*(item if isinstance(item, list) else item["values"] for item in space.values())):
        choices = dict(zip(NAMES, values, strict=True))
        condition = space["e"]
        if isinstance(condition, dict) and not eval(condition["when"], {}, choices):
            choices["e"] = condition["default"]
        if all(eval(rule, {}, choices) for rule in rules.values()):
            found.add(tuple(choices.values()))
    return found


@pytest.mark.parametrize("narrow", [1, space_factors.NARROW], ids=["taken apart", "whole"])
@given(given_space=entangled())
@settings(max_examples=60)
def test_counts_points_and_draws_are_those_of_the_definition(narrow: int, given_space: Any) -> None:
    expected = brute_force(*given_space)
    assume(expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(space_factors, "NARROW", narrow)
        space = build_space("toy", *given_space)
        everything = [tuple(item.choices[name] for name in NAMES) for item in space.enumerate()]
        assert len(everything) == space.size == len(expected)
        assert set(everything) == expected
        patch.setattr(space_points, "COUNT_LIMIT", 0)
        large = build_space("toy", *given_space)
        assert large.size is None
        assert large.estimated_size == SizeEstimate(len(expected))
        assert all(item in space for item in large.sample(20, seed=1))


DIVIDED = {"c": [0, 1, 2, 4], "a": [0, 6, 8], "b": [0, 1]}
GUARDED = {
    "a rule on the divisor": {"ratio": "a % c == 0", "guard": "c > 0"},
    "a wider rule": {"ratio": "a % c == 0", "guard": "c > a * b - 1 and a + b + c > 6 and c * (b + 1) > 0"},
    "each the other's": {"up": "a / c >= 1", "down": "c / a > 0", "some": "a + c > 0"},
}


@pytest.mark.parametrize("limit", [0, space_points.COUNT_LIMIT], ids=["counted", "enumerated"])
@pytest.mark.parametrize("turned", [False, True], ids=["as written", "the other way round"])
@pytest.mark.parametrize("rules", GUARDED.values(), ids=list(GUARDED))
def test_a_rule_need_not_be_workable_where_another_forbids_wherever_that_is_written(
    rules: dict[str, str], turned: bool, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allowed(choices: dict[str, int]) -> bool:
        try:
            return all(eval(rule, {}, choices) for rule in rules.values())
        except ZeroDivisionError:
            return False

    points = [dict(zip(DIVIDED, values, strict=True)) for values in itertools.product(*DIVIDED.values())]
    expected = [choices for choices in points if allowed(choices)]
    monkeypatch.setattr(space_points, "COUNT_LIMIT", limit)
    space = build_space("toy", DIVIDED, dict(reversed(rules.items())) if turned else rules)
    assert space.estimated_size == SizeEstimate(len(expected))
    assert [item is not None for item in space.complete(points)] == [choices in expected for choices in points]
    for item in {*space.sample(20, seed=0)}:
        assert all(other in space for other in space.neighbours(item))


@pytest.mark.parametrize("turned", [False, True], ids=["as written", "the other way round"])
def test_a_guard_that_cannot_be_counted_with_saves_a_rule_too(turned: bool) -> None:
    wide = {f"x{number}": list(range(8)) for number in range(12)}
    product = " * ".join(f"({name} + c)" for name in wide)
    rules = {"ratio": "a % c == 0", "guard": f"c > 0 and ({product}) % 7 != 0"}
    space = build_space(
        "toy", {**wide, "c": [0, 1, 2, 4], "a": [0, 6, 8]}, dict(reversed(rules.items())) if turned else rules
    )
    for item in space.sample(20, seed=0):
        assert item.choices["c"]
        assert item.choices["a"] % item.choices["c"] == 0


def test_a_rule_that_no_other_saves_from_what_it_cannot_work_out_is_an_error() -> None:
    for rules in ({"ratio": "a % c == 0"}, {"ratio": "a % c == 0", "guard": "c > 0 or b > 0"}):
        with pytest.raises(ConfigError, match=r"student\.rules\.ratio.* cannot be worked out for .*c=0"):
            build_space("toy", DIVIDED, rules)


def test_the_rule_that_empties_a_space_is_named_beside_one_that_another_must_save() -> None:
    rules = {"ratio": "a % c == 0", "guard": "c > 0", "never": "b > 1"}
    with pytest.raises(ConfigError, match=r"never \(b > 1\) excludes every architecture by itself"):
        build_space("toy", DIVIDED, rules)


def _uniform(space: Any, n: int, points: int) -> float:
    """p-value of the hypothesis that draws are uniform over ``points`` architectures."""
    counts = Counter(space.sample(n, seed=5))
    assert all(item in space for item in counts)
    return float(chisquare([*counts.values(), *[0] * (points - len(counts))]).pvalue)


def test_draws_are_uniform_where_the_space_is_not_enumerated(monkeypatch: pytest.MonkeyPatch) -> None:
    space: dict[str, Any] = {name: [0, 1, 2, 3] for name in NAMES}
    space["e"] = {"values": [0, 1, 2, 3], "when": "a > 1", "default": 0}
    rules = {"rising": "a <= b <= c", "sum": "a + b + c + d + e <= 8"}
    points = len(brute_force(space, rules))
    monkeypatch.setattr(space_points, "COUNT_LIMIT", 0)
    built = build_space("toy", space, rules)
    assert built.size is None
    assert _uniform(built, 40 * points, points) > 0.001


def test_draws_are_uniform_where_some_rules_are_left_to_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    space: dict[str, Any] = {name: [0, 1, 2, 3] for name in NAMES}
    rules = {"odd": "(a * b + c * d + e) % 3 == 1"}
    points = len(brute_force(space, rules))
    for name in ("COUNT_LIMIT", "WALK_LIMIT"):
        monkeypatch.setattr(space_points, name, 0)
    monkeypatch.setattr(space_points, "count_points", lambda sizes, factors: count_points(sizes, factors, limit=40))
    built = build_space("toy", space, rules)
    estimate = built.estimated_size
    assert not estimate.exact
    assert abs(estimate.value - points) < 5 * estimate.standard_error
    assert _uniform(built, 40 * points, points) > 0.001


def test_a_feasible_share_of_one_in_a_million_is_counted_and_drawn_from_uniformly() -> None:
    names = [f"p{index}" for index in range(6)]
    space = build_space("toy", {name: list(range(20)) for name in names}, {"sum": " + ".join(names) + " == 3"})
    points = math.comb(8, 5)  # stars and bars
    assert space.size == points
    assert _uniform(space, 40 * points, points) > 0.001


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({f"r{index}": f"p{index} < p{index + 1}" for index in range(11)}, math.comb(20, 12) * 20**15),
        ({"one": " < ".join(f"p{index}" for index in range(12))}, math.comb(20, 12) * 20**15),
        ({"sum": " + ".join(f"p{index}" for index in range(27)) + " <= 19"}, math.comb(46, 27)),
        ({}, 20**27),
    ],
    ids=["chain", "one chain", "sum", "free"],
)
def test_a_space_of_27_parameters_is_counted_exactly(rules: dict[str, str], expected: int) -> None:
    space = build_space("toy", {f"p{index}": list(range(20)) for index in range(27)}, rules)
    assert space.size is None
    assert space.estimated_size == SizeEstimate(expected)
    assert all(item in space for item in space.sample(50, seed=0))


def test_every_value_is_drawn_as_often_as_it_occurs_in_a_huge_space() -> None:
    space = build_space("toy", {f"p{index}": list(range(20)) for index in range(12)}, {"half": "p0 < p1"})
    drawn = np.array([item.choices["p0"] for item in space.sample(19_000, seed=2)])
    # p0 = k leaves 19 - k values for p1.
    expected = np.array([(19 - value) * 100 for value in range(19)])
    assert chisquare(np.bincount(drawn, minlength=19), expected).pvalue > 0.001


def test_rules_that_cannot_be_counted_with_are_estimated() -> None:
    names = [f"p{index}" for index in range(8)]
    space = build_space(
        "toy", {name: list(range(20)) for name in names}, {"odd": f"({' * '.join(names)}) % 7 != 0 or p0 > 30"}
    )
    exact = (20 - 3) ** 8  # 0, 7 and 14 are divisible
    estimate = space.estimated_size
    assert not estimate.exact
    assert abs(estimate.value - exact) < 5 * estimate.standard_error
    assert str(estimate).startswith("about ")


def test_a_space_in_which_no_draw_is_feasible_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space_points, "FRUITLESS_DRAWS", 1000)
    names = [f"p{index}" for index in range(8)]
    rule = f"({' * '.join(names)}) % 1000003 == 17"
    with pytest.raises(ConfigError, match=r"none of 1\d{3} architectures .* rules \(odd .*bind too many parameters"):
        build_space("toy", {name: list(range(20)) for name in names}, {"odd": rule})


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (SizeEstimate(0), "0"),
        (SizeEstimate(171_000), "171,000"),
        (SizeEstimate(20**27), "1.34e+35"),
        (SizeEstimate(9_435_111, 240_000), "about 9.44e+6 (standard error 2.4e+5)"),
        (SizeEstimate(10**400), "1.00e+400"),
    ],
)
def test_sizes_are_readable(estimate: SizeEstimate, text: str) -> None:
    assert str(estimate) == text
    assert estimate.exact == (estimate.standard_error == 0)
