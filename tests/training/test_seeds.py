from __future__ import annotations

import pytest

from autodistill.training.seeds import derive_seed


def test_a_seed_is_the_same_everywhere() -> None:
    assert derive_seed(0, "trial", "abc") == derive_seed(0, "trial", "abc") == 1845950413


def test_other_parts_give_other_seeds() -> None:
    assert len({derive_seed(), derive_seed(0), derive_seed("0"), derive_seed(0, 0), derive_seed([0, 0])}) == 5


def test_seeds_have_31_bits() -> None:
    seeds = [derive_seed(index) for index in range(200)]
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert max(seeds) > 2**30


def test_parts_must_be_plain() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        derive_seed(object())
