from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.training import replicates
from autodistill.training.replicates import ReplicateStream, stream_of
from autodistill.training.stream import BLOCK, ExampleStream


@given(rows=st.integers(1, 200), examples=st.integers(1, 300), replicate=st.integers(1, 3))
def test_a_replicate_reads_the_same_examples_and_then_goes_on(rows: int, examples: int, replicate: int) -> None:
    stream = ExampleStream(rows, 1)
    other = ReplicateStream(stream, (examples // 3, examples), replicate)
    assert sorted(other.rows_at(0, examples // 3)) == sorted(stream.rows_at(0, examples // 3))
    assert sorted(other.rows_at(0, examples)) == sorted(stream.rows_at(0, examples))
    assert np.array_equal(other.rows_at(examples, examples + 50), stream.rows_at(examples, examples + 50))


@given(start=st.integers(0, 300), length=st.integers(0, 100))
def test_a_part_needs_no_earlier_one(start: int, length: int) -> None:
    stream = ReplicateStream(ExampleStream(100, 1), (90, 250), 1)
    assert np.array_equal(stream.rows_at(start, start + length), stream.rows_at(0, start + length)[start:])


def test_long_parts_are_reordered_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicates, "PIECE", 64)
    seen: list[int] = []

    class Counted(ExampleStream):
        def rows_at(self, start: int, stop: int) -> Any:
            seen.append(stop - start)
            return super().rows_at(start, stop)

    stream = Counted(1000, 1)
    other = ReplicateStream(stream, (100, 500), 1)
    pieces = [other.rows_at(start, start + 10) for start in range(0, 600, 10)]
    assert max(seen) == 64, "memory grows with the recipe"
    assert np.array_equal(np.concatenate(pieces), other.rows_at(0, 600))
    for start, stop in ((0, 64), (64, 100), (100, 164), (484, 500)):
        assert sorted(other.rows_at(start, stop)) == sorted(stream.rows_at(start, stop))


def test_the_order_is_another_for_every_replicate_and_blocks_stay_whole() -> None:
    stream = ExampleStream(1000, 1, np.arange(1000) % 50)
    orders = [stream_of(stream, (640,), replicate).rows_at(0, 640) for replicate in range(3)]
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[1], orders[2])
    blocks = [{tuple(block) for block in order.reshape(-1, BLOCK)} for order in orders]
    assert blocks[0] == blocks[1] == blocks[2]


def test_blocks_stay_whole_in_a_part_that_begins_within_one() -> None:
    lengths = np.repeat(np.arange(50), 20)
    stream = ExampleStream(1000, 1, lengths)
    orders = [stream_of(stream, (100, 740), replicate).rows_at(100, 740) for replicate in range(3)]
    assert not np.array_equal(orders[1], orders[2])
    lead = -100 % BLOCK
    whole = {tuple(block) for block in orders[0][lead:-4].reshape(-1, BLOCK)}
    assert all({tuple(block) for block in order[lead:-4].reshape(-1, BLOCK)} == whole for order in orders)


def test_the_first_replicate_is_the_stream_itself() -> None:
    stream = ExampleStream(10, 1)
    assert stream_of(stream, (5,), 0) is stream


def test_impossible_indices_are_refused() -> None:
    with pytest.raises(ValueError, match="0 <= start <= stop"):
        ReplicateStream(ExampleStream(10, 1), (5,), 1).rows_at(3, 2)
