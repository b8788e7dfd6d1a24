from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.training.stream import WINDOW, ExampleStream


@given(rows=st.integers(1, 40), seed=st.integers(0, 5), sizes=st.lists(st.integers(0, 30), max_size=8))
def test_the_stream_does_not_depend_on_how_it_is_read(rows: int, seed: int, sizes: list[int]) -> None:
    whole = ExampleStream(rows, seed).rows_at(0, sum(sizes))
    stream, parts, start = ExampleStream(rows, seed), [np.empty(0, dtype=np.int64)], 0
    for size in sizes:
        parts.append(stream.rows_at(start, start + size))
        start += size
    assert np.array_equal(np.concatenate(parts), whole)


@given(rows=st.integers(1, 40), seed=st.integers(0, 5), start=st.integers(0, 100), length=st.integers(0, 50))
def test_a_later_part_needs_no_earlier_one(rows: int, seed: int, start: int, length: int) -> None:
    assert np.array_equal(
        ExampleStream(rows, seed).rows_at(start, start + length),
        ExampleStream(rows, seed).rows_at(0, start + length)[start:],
    )


@given(rows=st.integers(1, 40), epoch=st.integers(0, 4))
def test_every_epoch_reads_every_row_once(rows: int, epoch: int) -> None:
    stream = ExampleStream(rows, 3)
    assert sorted(stream.rows_at(epoch * rows, (epoch + 1) * rows)) == list(range(rows))


@given(rows=st.integers(1, 40), examples=st.integers(0, 100))
def test_the_prefix_is_what_a_run_reads(rows: int, examples: int) -> None:
    stream = ExampleStream(rows, 1)
    assert stream.prefix(examples).tolist() == sorted(set(stream.rows_at(0, examples).tolist()))


def test_epochs_and_seeds_have_different_orders() -> None:
    first, second = ExampleStream(50, 0), ExampleStream(50, 1)
    orders = [first.rows_at(0, 50), first.rows_at(50, 100), second.rows_at(0, 50)]
    assert len({tuple(order.tolist()) for order in orders}) == 3


def test_the_order_never_changes_between_versions() -> None:
    assert ExampleStream(10, 0).rows_at(0, 12).tolist() == [6, 0, 4, 1, 3, 9, 2, 5, 7, 8, 2, 5]


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rows must be >= 1, got 0"):
        ExampleStream(0, 0)
    with pytest.raises(ValueError, match=r"0 <= start <= stop, got 3 and 2"):
        ExampleStream(5, 0).rows_at(3, 2)


def test_what_is_returned_may_be_changed() -> None:
    stream = ExampleStream(10, 0)
    stream.rows_at(0, 10)[:] = 0
    assert sorted(stream.rows_at(0, 10)) == list(range(10))


@given(st.integers(1, 1500), st.integers(0, 5), st.integers(0, 3))
def test_grouping_by_length_keeps_every_row_of_every_window(rows: int, seed: int, epoch: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, 64, rows)
    plain = ExampleStream(rows, seed).rows_at(epoch * rows, (epoch + 1) * rows)
    grouped = ExampleStream(rows, seed, lengths).rows_at(epoch * rows, (epoch + 1) * rows)
    for start in range(0, rows, WINDOW):
        assert sorted(plain[start : start + WINDOW]) == sorted(grouped[start : start + WINDOW])


def test_grouping_by_length_saves_most_of_the_padding() -> None:
    lengths = np.random.default_rng(0).integers(1, 64, 5120)

    def padded(stream: ExampleStream) -> int:
        return sum(int(lengths[stream.rows_at(at, at + 32)].max()) * 32 for at in range(0, 5120, 32))

    assert padded(ExampleStream(5120, 0, lengths)) < 1.1 * lengths.sum()
    assert padded(ExampleStream(5120, 0)) > 1.8 * lengths.sum()


def test_lengths_of_another_number_of_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="must have 5 entries, one per row, got 4"):
        ExampleStream(5, 0, np.ones(4, dtype=np.int64))
