from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.training import row_sets
from autodistill.training.row_sets import RowSet


@given(st.integers(0, 20), st.lists(st.booleans(), max_size=20), st.integers(1, 7))
def test_a_set_is_its_row_numbers_in_rising_order(whole: int, more: list[bool], piece: int) -> None:
    rows = RowSet(whole, np.array(more, dtype=np.bool_))
    expected = [*range(whole), *(whole + index for index, there in enumerate(more) if there)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_sets, "PIECE", piece)
        pieces = list(rows.pieces())
        assert rows.numbers().tolist() == expected
    assert [row for part in pieces for row in part.tolist()] == expected
    assert all(len(part) <= piece and part.dtype == np.int64 for part in pieces)
    assert len(rows) == len(expected)


@given(st.lists(st.integers(0, 50), max_size=30))
def test_rows_may_be_given_in_any_order_and_twice(rows: list[int]) -> None:
    assert RowSet.of(np.array(rows, dtype=np.int64)).numbers().tolist() == sorted(set(rows))
