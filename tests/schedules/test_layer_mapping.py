from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.configs.composition import compose
from autodistill.errors import ConfigError
from autodistill.registry import default_registry
from autodistill.schedules.configs import OnePhaseConfig
from autodistill.schedules.layer_mapping import LAYER_MAPPINGS, check_layer_mapping, layer_pairs, mapping_table
from autodistill.students.layers import layer_map


def test_an_unknown_mapping_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"one of uniform, last, first, skip, or a list .*, got 'unifrom'. Did you mean 'uniform'"
    ):
        OnePhaseConfig(layer_mapping="unifrom")


@pytest.mark.parametrize("mapping", [[], [4, 2], [2, 2], [0, 1], [1.5], [True], 3, None, [[1]]])
def test_a_list_that_is_no_rising_list_of_layers_is_refused(mapping: Any) -> None:
    with pytest.raises(ConfigError, match="must name teacher layers, 1-based, each once and in rising order"):
        check_layer_mapping(mapping)


def test_mappings_are_what_they_are_called() -> None:
    assert layer_pairs("uniform", 2, 6) == ((1, 3), (2, 6))
    assert layer_pairs("uniform", 4, 12) == ((1, 3), (2, 6), (3, 9), (4, 12))
    assert layer_pairs("uniform", 4, 6) == ((1, 2), (2, 3), (3, 5), (4, 6))
    assert layer_pairs("uniform", 6, 3) == ((2, 1), (4, 2), (6, 3))
    assert layer_pairs("last", 2, 6) == ((1, 5), (2, 6))
    assert layer_pairs("last", 6, 2) == ((5, 1), (6, 2))
    assert layer_pairs("first", 2, 6) == ((1, 1), (2, 2))
    assert layer_pairs("skip", 6, 12) == ((1, 2), (2, 4), (3, 6), (4, 8), (5, 10))  # PKD-Skip of BERT6
    assert layer_pairs("skip", 1, 12) == ((1, 12),)
    assert layer_pairs("skip", 6, 4) == ((1, 1), (2, 2), (3, 3), (4, 4))


def test_a_list_is_taken_in_turn_or_spread() -> None:
    assert layer_pairs([2, 5, 12], 3, 12) == ((1, 2), (2, 5), (3, 12))
    assert layer_pairs([3, 6, 9, 12], 2, 12) == ((1, 6), (2, 12))
    assert layer_pairs([6, 12], 4, 12) == ((2, 6), (4, 12))
    assert layer_pairs([12], 4, 12) == ((4, 12),)
    with pytest.raises(ConfigError, match=r"schedule.layer_mapping names layer 12, but the teacher has 6 layers"):
        layer_pairs([6, 12], 2, 6)


def test_a_list_can_be_given_on_the_command_line() -> None:
    settings = compose(["experiment=quickstart", "schedule.layer_mapping=[2,4,6]"], default_registry())
    assert list(settings.one("schedule").parameters["layer_mapping"]) == [2, 4, 6]
    with pytest.raises(ConfigError, match=r"in rising order, e\.g\. \[4,8,12\], got \[4, 2\]"):
        compose(["experiment=quickstart", "schedule.layer_mapping=[4,2]"], default_registry())


@given(mapping=st.sampled_from(LAYER_MAPPINGS), student=st.integers(1, 30), teacher=st.integers(1, 30))
def test_every_mapping_is_a_rising_matching_within_both_models(mapping: str, student: int, teacher: int) -> None:
    pairs = layer_pairs(mapping, student, teacher)
    if mapping != "skip":
        assert len(pairs) == min(student, teacher)
    for side, layers in ((0, student), (1, teacher)):
        chosen = [pair[side] for pair in pairs]
        assert chosen == sorted(set(chosen))
        assert chosen[0] >= 1
        assert chosen[-1] <= layers
    if mapping in ("uniform", "last"):
        assert pairs[-1] == (student, teacher)


@given(student=st.integers(1, 30), teacher=st.integers(1, 30))
def test_uniform_compares_each_layer_with_the_one_that_it_starts_from(student: int, teacher: int) -> None:
    start = layer_map(student, teacher, "uniform")
    assert all(other == start[own - 1] for own, other in layer_pairs("uniform", student, teacher))


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=12, unique=True).map(sorted),
    st.integers(1, 30),
)
def test_every_list_is_a_rising_matching_that_ends_at_its_last_layer(layers: list[int], student: int) -> None:
    pairs = layer_pairs(layers, student, 30)
    assert len(pairs) == min(student, len(layers))
    assert [own for own, _ in pairs] == sorted({own for own, _ in pairs})
    assert [other for _, other in pairs] == sorted({other for _, other in pairs})
    assert pairs[-1] == (student, layers[-1])


def test_the_table_has_every_student_layer() -> None:
    assert mapping_table(layer_pairs("skip", 3, 12), 3, 12) == (
        "student layer (of 3)   1 2 3\nteacher layer (of 12)  4 8 -"
    )
