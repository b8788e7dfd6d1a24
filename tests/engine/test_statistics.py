from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from autodistill.engine.statistics import (
    interval,
    kendall,
    paired_difference,
    rank_correlations,
    retained_ratio,
    spearman,
    wilson,
)

Floats = NDArray[np.float64]


def coverage(trials: int, covers: Callable[[np.random.Generator], bool]) -> float:
    generator = np.random.default_rng(0)
    return sum(covers(generator) for _ in range(trials)) / trials


def binary(ones: int, n: int) -> Floats:
    return np.repeat([1.0, 0.0], [ones, n - ones])


# Intervals of one score


def test_wilson_agrees_with_published_values() -> None:
    # Newcombe 1998 (Statistics in Medicine 17, 857-872), table I, method 3.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_of_a_proportion_holds_it_and_stays_in_its_range(case: tuple[int, int]) -> None:
    ones, n = case
    low, high = interval(binary(ones, n))
    assert 0 <= low <= ones / n <= high <= 1
    assert low < high
    mirrored = interval(binary(n - ones, n))
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high))


@pytest.mark.parametrize(("share", "n"), [(0.5, 50), (0.9, 200), (0.99, 200)])
def test_wilson_covers_the_truth_as_often_as_it_says(share: float, n: int) -> None:
    def covers(generator: np.random.Generator) -> bool:
        low, high = interval((generator.random(n) < share).astype(np.float64))
        return low <= share <= high

    assert 0.92 <= coverage(1500, covers) <= 0.985


def test_an_interval_of_a_mean_covers_the_truth_as_often_as_it_says() -> None:
    def covers(generator: np.random.Generator) -> bool:
        low, high = interval(generator.exponential(2.0, size=100))
        return low <= 2.0 <= high

    assert 0.92 <= coverage(1500, covers) <= 0.97


def test_an_interval_of_nothing_is_not_a_number() -> None:
    assert all(map(math.isnan, interval(np.array([]))))
    assert all(map(math.isnan, interval(np.array([0.3]))))
    assert interval(np.array([0.3, 0.3])) == (0.3, 0.3)


# Paired differences


@pytest.mark.parametrize(("lost", "gained", "n"), [(0.05, 0.08, 200), (0.005, 0.01, 200), (0.02, 0.02, 872)])
def test_a_paired_difference_of_answers_covers_the_truth(lost: float, gained: float, n: int) -> None:
    def covers(generator: np.random.Generator) -> bool:
        counts = generator.multinomial(n, [lost, 1 - lost - gained, gained])
        _, low, high = paired_difference(*_answers(*counts), 0, resamples=1000)
        return bool(low <= gained - lost <= high)

    assert coverage(500, covers) >= 0.93


def _answers(lost: int, same: int, gained: int) -> tuple[Floats, Floats]:
    return np.repeat([0.0, 1.0, 1.0], [lost, same, gained]), np.repeat([1.0, 1.0, 0.0], [lost, same, gained])


def test_a_paired_difference_of_losses_covers_the_truth() -> None:
    def covers(generator: np.random.Generator) -> bool:
        shared = generator.normal(size=150)
        a, b = shared + generator.exponential(0.5, 150), shared + generator.exponential(0.3, 150)
        _, low, high = paired_difference(a, b, 0, resamples=1000)
        return bool(low <= 0.2 <= high)

    assert 0.91 <= coverage(400, covers) <= 0.975


@pytest.mark.parametrize("n", [2, 3, 5, 9])
def test_a_paired_difference_of_few_examples_covers_the_truth(n: int) -> None:
    def covers(generator: np.random.Generator) -> bool:
        _, low, high = paired_difference(generator.normal(0.2, 1.0, size=n), np.zeros(n), 0, resamples=500)
        return bool(low <= 0.2 <= high)

    assert coverage(400, covers) >= 0.93


def test_pairing_takes_out_what_examples_have_in_common() -> None:
    generator = np.random.default_rng(1)
    shared = generator.normal(size=500) * 10
    _, low, high = paired_difference(shared + generator.normal(size=500) * 0.1 + 0.1, shared, 0)
    assert 0 < low < 0.1 < high < 0.2


def test_a_few_lucky_answers_are_no_proof() -> None:
    difference, low, high = paired_difference(*_answers(0, 868, 4), 0)
    assert difference == pytest.approx(4 / 872)
    assert low < 0 < high
    assert paired_difference(*_answers(0, 852, 20), 0)[1] > 0


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.floats(-5, 5)), min_size=2, max_size=40))
def test_a_difference_is_antisymmetric_and_lies_in_its_interval(pairs: list[tuple[float, float]]) -> None:
    a, b = np.array(pairs).T
    difference, low, high = paired_difference(a, b, 3, resamples=500)
    assert difference == pytest.approx(float(a.mean() - b.mean()), abs=1e-9)
    assert low <= high
    other, other_low, other_high = paired_difference(b, a, 3, resamples=500)
    assert other == pytest.approx(-difference)
    spread = max(high - low, 1e-9)
    assert abs(other_low + high) < spread
    assert abs(other_high + low) < spread


def test_equal_scores_differ_by_nothing() -> None:
    scores = np.random.default_rng(0).normal(size=30)
    assert paired_difference(scores, scores, 0)[0] == 0
    difference, low, high = paired_difference(binary(50, 100), binary(50, 100), 0)
    assert difference == 0
    assert low < 0 < high


def test_the_seed_decides_the_resamples() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 200))
    assert paired_difference(a, b, 1) == paired_difference(a, b, 1)
    assert paired_difference(a, b, 1) != paired_difference(a, b, 2)


def test_counting_values_and_drawing_examples_give_the_same_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = _answers(30, 800, 60)
    counted = paired_difference(a, b, 0)
    monkeypatch.setattr("autodistill.engine.statistics._FEW", 0)
    monkeypatch.setattr("autodistill.engine.statistics._CHUNK", 1_000_000)
    assert paired_difference(a, b, 0) == pytest.approx(counted, abs=0.002)


def test_a_large_test_split_takes_no_memory_for_each_example_and_resample() -> None:
    a, b = _answers(500, 39_000, 500)
    tracemalloc.start()
    try:
        paired_difference(a, b, 0)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_scores_of_different_examples_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one entry for each example, got \(2,\) and \(3,\)"):
        paired_difference(np.zeros(2), np.zeros(3), 0)
    assert all(map(math.isnan, paired_difference(np.ones(1), np.zeros(1), 0)[1:]))
    assert all(map(math.isnan, paired_difference(np.array([1.0, math.nan]), np.zeros(2), 0)[1:]))


# Ratios and ranks


def test_a_retained_ratio_needs_something_to_retain() -> None:
    assert retained_ratio(0.45, 0.9) == 0.5
    assert retained_ratio(0.45, 0.0) is None
    assert retained_ratio(math.nan, 0.9) is None


def test_ranks_are_correlated_whatever_the_scale() -> None:
    values = np.arange(10.0)
    assert spearman(values, np.exp(values)) == pytest.approx(1)
    assert kendall(values, -(values**3)) == pytest.approx(-1)


def test_rank_correlation_is_silent_below_eight_pairs_and_for_constants() -> None:
    values = np.arange(9.0)
    values[3:5] = math.nan
    assert rank_correlations(values, np.arange(9.0)) == (None, None)
    assert rank_correlations(np.arange(8.0), np.ones(8)) == (None, None)
    assert rank_correlations(list(range(8)), list(range(8))) == pytest.approx((1, 1))
    with pytest.raises(ValueError, match="two columns of one length"):
        spearman(np.ones(8), np.ones(9))
