"""Seeds derived from what they are for, so that no two uses share one by chance of order."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def derive_seed(*parts: object) -> int:
    """Return a seed in [0, 2**31) that depends on ``parts`` alone, the same on every machine.

    Args:
        parts: JSON-able values, e.g. ``derive_seed(0, "trial", digest)``.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") & 0x7FFFFFFF  # 31 bits: fits everywhere


def uniform(
    key: int, rows: NDArray[np.int64], columns: NDArray[np.int64], draw: int, draws: int = 3
) -> NDArray[np.float64]:
    """Return uniform numbers in [0, 1) by (key, row, column, draw): the finaliser of SplitMix64, twice.

    Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators".

    Args:
        key: see `derive_seed`.
        rows: ``batch``, int64.
        columns: ``batch x tokens``, int64.
        draw: from 0: independent numbers for the same places.
        draws: how many of them there are for a key; the same in every call with it. 3: what masks need.

    Raises:
        ValueError: ``draw`` is not one of them; its numbers would be those of another row.
    """
    if not 0 <= draw < draws:
        raise ValueError(f"Draw {draw} is none of {draws}.")
    with np.errstate(over="ignore"):
        state = _mixed(np.uint64(key) * _GOLDEN + rows.astype(np.uint64) * np.uint64(draws) + np.uint64(draw))
        mixed = _mixed(state[:, None] + columns.astype(np.uint64) * _GOLDEN)
    found: NDArray[np.float64] = (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53
    return found


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
