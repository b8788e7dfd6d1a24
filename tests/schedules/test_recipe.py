from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.schedules.recipe import divided, part, spread


@given(steps=st.integers(1, 500), data=st.data())
def test_divided_steps_add_up_and_hardly_differ(steps: int, data: st.DataObject) -> None:
    parts = divided(steps, data.draw(st.integers(1, steps)))
    assert sum(parts) == steps
    assert max(parts) - min(parts) <= 1
    assert min(parts) >= 1


@given(steps=st.integers(2, 500), share=st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_a_part_is_its_share_and_leaves_a_step_to_either(steps: int, share: float) -> None:
    first = part(steps, share)
    assert 1 <= first <= steps - 1
    assert abs(first - share * steps) <= 1


@given(number=st.integers(1, 30), data=st.data())
def test_spread_pairs_rise_and_end_with_the_last(number: int, data: st.DataObject) -> None:
    pairs = tuple((index, 2 * index) for index in range(1, number + 1))
    wanted = data.draw(st.integers(1, number))
    found = spread(pairs, wanted)
    assert len(found) == len(set(found)) == wanted
    assert list(found) == sorted(found)
    assert found[-1] == pairs[-1]


def test_spread_pairs_are_even() -> None:
    assert spread(((1, 1), (2, 2), (3, 3), (4, 4)), 2) == ((2, 2), (4, 4))


@pytest.mark.parametrize("parts", [1, 3])
def test_larger_parts_are_spread(parts: int) -> None:
    assert divided(7, parts) == {1: [7], 3: [2, 2, 3]}[parts]
