from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")

from autodistill.search import chunks  # noqa: E402
from autodistill.search.acquisition import isolated  # noqa: E402
from autodistill.search.chunks import CHUNK, SHARED, by_chunks, threads  # noqa: E402
from autodistill.search.ehvi import cells_of, log_ehvi, log_ehvi_bound  # noqa: E402

ROWS = SHARED * CHUNK + 5


def of_many(count: int) -> list[np.ndarray]:
    """Gains and bounds of many candidates, by so many threads."""
    rng = np.random.default_rng(0)
    front, known = rng.random((8, 2)), rng.random((ROWS, 1))
    mean, deviation = rng.normal(size=ROWS), rng.uniform(0.01, 1.0, size=ROWS)
    cells = cells_of(front[:, :-1], front[:, -1], np.zeros(1), 0.0)
    with threads(count):
        return [log_ehvi(cells, known, mean, deviation), log_ehvi_bound(cells, known, mean, deviation)]


def test_threads_change_nothing() -> None:
    for alone, shared in zip(of_many(1), of_many(2), strict=True):
        assert np.array_equal(alone, shared)


@pytest.mark.parametrize("n", [0, 1, CHUNK, CHUNK + 1, ROWS])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_row_is_worked_on_once_and_in_order(n: int, count: int) -> None:
    rows = np.arange(n)
    with threads(count):
        parts = by_chunks(lambda some: rows[some], n)
    assert np.concatenate(parts).tolist() == rows.tolist()
    assert all(len(part) <= CHUNK for part in parts)


def test_chunks_are_shared_among_as_many_threads_as_were_allowed() -> None:
    both, used = threading.Barrier(2, timeout=60), set()

    def work(rows: slice) -> None:
        if rows.start < 2 * CHUNK:
            both.wait()  # two at once, or it breaks
        used.add(threading.get_ident())

    with threads(2):
        by_chunks(work, ROWS)
    assert len(used) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    with threads(2):
        by_chunks(lambda rows: rows.start, ROWS)
        child = os.fork()
        if not child:
            signal.alarm(60)  # where it waits for threads that are not there
            os._exit(0 if len(by_chunks(lambda rows: rows.start, ROWS)) == ROWS // CHUNK + 1 else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_what_a_thread_raises_is_raised() -> None:
    with threads(2), pytest.raises(ZeroDivisionError):
        by_chunks(lambda rows: 1 // (rows.start - CHUNK), ROWS)


def test_a_proposal_shares_chunks_among_torchs_threads_which_have_one_each() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with isolated(0):
            assert chunks._THREADS.get() == 2
            assert set(by_chunks(lambda _: torch.get_num_threads(), ROWS)) == {1}
        assert chunks._THREADS.get() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
