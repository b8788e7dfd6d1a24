from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autodistill.training import stream as stream_module
from autodistill.training.seeds import derive_seed
from autodistill.training.stream import BLOCK, WINDOW, ExampleStream


def plain_order(rows: int, seed: int, lengths: Sequence[int] | None, copies: int, epochs: int) -> list[int]:
    """The rule of the order, said once more; cached teacher features and runs that go on rest on it."""
    found = []
    for epoch in range(epochs):
        random = np.random.RandomState(derive_seed("stream", seed, epoch))
        order = random.permutation(rows).tolist()
        lead = -len(found) % 32  # completes the last block of the epoch before
        for start in range(lead, rows if lengths is not None else 0, 512):
            window = sorted(order[start : start + 512], key=lambda row: lengths[row] if lengths is not None else 0)
            blocks = [window[at : at + 32] for at in range(0, len(window), 32)]
            full = len(window) // 32
            blocks = [blocks[place] for place in random.permutation(full)] + blocks[full:]
            order[start : start + 512] = [row for block in blocks for row in block]
        found += [row + epoch % copies * rows for row in order]
    return found


@given(
    rows=st.integers(1, 1600),
    seed=st.integers(0, 2**31 - 1),
    longest=st.sampled_from([None, 1, 5, 128]),
    copies=st.integers(1, 4),
    epochs=st.integers(1, 6),
    batch=st.integers(1, 700),
    first=st.integers(0, 1600),
)
@example(rows=16 * WINDOW, seed=0, longest=9, copies=2, epochs=2, batch=32, first=0)
@example(rows=32 * WINDOW, seed=1, longest=128, copies=1, epochs=1, batch=64, first=0)
@example(rows=32 * WINDOW + 1, seed=2, longest=128, copies=10, epochs=2, batch=4096, first=7)
@example(rows=71 * WINDOW + 40, seed=3, longest=128, copies=1, epochs=1, batch=4096, first=0)
def test_the_order_is_the_plain_rule(
    rows: int, seed: int, longest: int | None, copies: int, epochs: int, batch: int, first: int
) -> None:
    lengths = None if longest is None else np.random.RandomState(seed).randint(0, longest, rows).astype(np.int32)
    expected = plain_order(rows, seed, None if lengths is None else lengths.tolist(), copies, epochs)
    stream = ExampleStream(rows, seed, lengths, copies)
    borders = [*range(min(first, len(expected)), len(expected), batch), len(expected)]
    read = [stream.rows_at(start, stop) for start, stop in pairwise(borders)]
    assert all(part.dtype == np.int64 for part in read)
    assert [row for part in read for row in part.tolist()] == expected[first:]
    for examples in (0, first, batch, batch * first):
        if examples <= len(expected):
            assert stream.prefix(examples).numbers().tolist() == sorted(set(expected[:examples]))


def test_the_order_of_many_rows_never_changes_between_versions() -> None:
    lengths = np.random.RandomState(0).randint(1, 129, 100_003)
    rows = ExampleStream(100_003, 7, lengths, 2).rows_at(0, 350_000)
    assert hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()[:16] == "1ed6c31829357916"


def test_more_rows_than_four_bytes_tell_apart_have_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = np.arange(2000) % 70
    few = ExampleStream(2000, 3, lengths).rows_at(0, 4500)
    monkeypatch.setattr(stream_module, "_FEW_ROWS", 0)
    assert np.array_equal(ExampleStream(2000, 3, lengths).rows_at(0, 4500), few)


def test_an_order_takes_four_bytes_a_row_and_what_is_read_of_an_epoch_one() -> None:
    """Of ten gigabytes of text there are thirty million rows."""
    rows = 400_000
    stream = ExampleStream(rows, 0, np.arange(rows, dtype=np.int32) % 128, copies=10)
    tracemalloc.start()
    try:
        stream.rows_at(0, 32)
        stream.rows_at(rows, rows + 32)  # of the next epoch: one order at a time
        assert tracemalloc.get_traced_memory()[1] < 5 * rows
        read = [stream.prefix(examples) for examples in (rows // 2, rows, 3 * rows // 2, 10 * rows, 100 * rows)]
        assert tracemalloc.get_traced_memory()[1] < (5 + 2) * rows
    finally:
        tracemalloc.stop()
    assert [len(some) for some in read] == [rows // 2, rows, 3 * rows // 2, 10 * rows, 10 * rows]


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
    assert stream.prefix(examples).numbers().tolist() == sorted(set(stream.rows_at(0, examples).tolist()))


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
    lead = -epoch * rows % BLOCK
    assert plain[:lead].tolist() == grouped[:lead].tolist()
    for start in range(lead, rows, WINDOW):
        assert sorted(plain[start : start + WINDOW]) == sorted(grouped[start : start + WINDOW])


@pytest.mark.parametrize("rows", [5120, 5137])
def test_grouping_by_length_saves_most_of_the_padding_in_every_epoch(rows: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 64, rows)

    def padding(stream: ExampleStream, epoch: int) -> float:
        batches = [stream.rows_at(at, at + 32) for at in range(epoch * rows // 32 * 32, (epoch + 1) * rows, 32)]
        return sum(int(lengths[batch].max()) * 32 for batch in batches) / sum(lengths[batch].sum() for batch in batches)

    for epoch in range(4):
        assert padding(ExampleStream(rows, 0, lengths), epoch) < 1.12
        assert padding(ExampleStream(rows, 0), epoch) > 1.8


def test_lengths_of_another_number_of_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="must have 5 entries, one per row, got 4"):
        ExampleStream(5, 0, np.ones(4, dtype=np.int64))
