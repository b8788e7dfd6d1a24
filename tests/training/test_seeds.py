from __future__ import annotations

import numpy as np
import pytest

from autodistill.training.seeds import derive_seed, uniform


def test_a_seed_is_the_same_everywhere() -> None:
    assert derive_seed(0, "trial", "abc") == derive_seed(0, "trial", "abc") == 1845950413


def test_other_parts_give_other_seeds() -> None:
    assert len({derive_seed(), derive_seed(0), derive_seed("0"), derive_seed(0, 0), derive_seed([0, 0])}) == 5


@pytest.mark.parametrize("draws", [3, 5])
def test_no_draw_of_a_place_is_that_of_another(draws: int) -> None:
    rows = np.arange(40)
    columns = np.broadcast_to(np.arange(8), (40, 8))
    found = np.concatenate([uniform(7, rows, columns, draw, draws).ravel() for draw in range(draws)])
    assert len(np.unique(found)) == len(found)
    with pytest.raises(ValueError, match=f"Draw {draws} is none of {draws}"):
        uniform(7, rows, columns, draws, draws)


def test_seeds_have_31_bits() -> None:
    seeds = [derive_seed(index) for index in range(200)]
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert max(seeds) > 2**30


def test_parts_must_be_plain() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        derive_seed(object())
