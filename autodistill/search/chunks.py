"""Work on many candidates, chunk by chunk: small enough for the processor's cache, shared among threads.

Every chunk is worked out by itself, so that results do not depend on how many threads there are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")

# Rows of a chunk: bounds the memory to some tens of megabytes at a thousand observations.
CHUNK = 1024
# Fewer chunks than this are not worth a thread.
SHARED = 8

_THREADS: ContextVar[int] = ContextVar("threads", default=1)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let `by_chunks` use so many threads; without it there is one."""
    token = _THREADS.set(count)
    try:
        yield
    finally:
        _THREADS.reset(token)


def by_chunks(work: Callable[[slice], T], n: int, size: int = CHUNK) -> list[T]:
    """What ``work`` makes of each chunk of ``n`` rows, in their order; of none, what it makes of no rows.

    Args:
        work: of a slice of the rows. It is called in threads: what is local to one, such as `torch.no_grad`, is up to
            it.
        n: number of rows.
        size: rows of a chunk.
    """
    rows = [slice(start, start + size) for start in range(0, max(n, 1), size)]
    count = _THREADS.get()
    if count < 2 or len(rows) < SHARED:
        return [work(some) for some in rows]
    return list(_pool(count).map(work, rows))


@lru_cache(maxsize=1)
def _pool(count: int) -> ThreadPoolExecutor:
    """The threads, kept from call to call: the memory that a thread frees is kept for it, and with threads of each
    call's own that adds up to a gigabyte.
    """
    return ThreadPoolExecutor(count, thread_name_prefix="chunks")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork
