"""The mapping of student layers to teacher layers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.students.configs import LAYER_SELECTIONS
from autodistill.students.layers import layer_map


@pytest.mark.parametrize(
    ("selection", "expected"),
    [("uniform", (2, 4, 6)), ("first", (1, 2, 3)), ("last", (4, 5, 6)), ("ends", (1, 2, 6))],
)
def test_three_of_six_layers(selection: str, expected: tuple[int, ...]) -> None:
    assert layer_map(3, 6, selection) == expected


@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from(LAYER_SELECTIONS))
def test_every_mapping_rises_and_stays_inside_the_teacher(student: int, teacher: int, selection: str) -> None:
    mapping = layer_map(student, teacher, selection)
    assert len(mapping) == student
    assert list(mapping) == sorted(mapping)
    assert all(1 <= layer <= teacher for layer in mapping)
    if student <= teacher:
        assert len(set(mapping)) == student
    else:
        assert set(mapping) == set(range(1, teacher + 1))


@given(st.integers(1, 30), st.integers(1, 30))
def test_uniform_always_ends_with_the_teachers_last_layer(student: int, teacher: int) -> None:
    assert layer_map(student, teacher, "uniform")[-1] == teacher
