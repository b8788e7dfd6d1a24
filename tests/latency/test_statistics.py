from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from autodistill.latency.statistics import (
    FLAGS,
    MINIMUM_FOR_P99,
    drift,
    flags,
    lower_rank,
    median_interval,
    median_request,
    quantile_interval,
    ratio,
    relative_half_width,
    summarise,
)


@given(n=st.integers(1, 1500), confidence=st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_interval_ranks_cover_the_median_at_least_as_often_as_asked(n: int, confidence: float) -> None:
    rank = lower_rank(n, confidence)
    # The interval misses when fewer than `rank` samples lie on one side of the median.
    coverage = 1 - 2 * binom.cdf(rank - 1, n, 0.5)
    assert coverage >= confidence - (1e-9 if n <= 1000 else 0.003)  # the normal approximation above 1000


@given(n=st.integers(6, 1000))
def test_interval_is_the_narrowest_of_its_kind(n: int) -> None:
    rank = lower_rank(n)
    assert 1 - 2 * binom.cdf(rank, n, 0.5) < 0.95


def test_no_interval_below_six_samples() -> None:
    assert [median_interval(np.arange(float(n))) for n in range(1, 6)] == [None] * 5
    assert median_interval(np.arange(6.0)) == (0.0, 5.0)


@pytest.mark.parametrize("lengths", [1, 2, 3, 8])
def test_interval_of_the_median_request_covers_the_true_one(lengths: int) -> None:
    generator = np.random.default_rng(0)
    base = 1.0 + np.arange(lengths)
    covered = 0
    for _ in range(400):
        table = base * generator.lognormal(0, 0.2, (25, lengths))  # the median of a log-normal is exp(0) = 1
        ordered = np.sort(table, axis=0)
        rank = lower_rank(25)
        covered += np.median(ordered[rank - 1]) <= np.median(base) <= np.median(ordered[-rank])
    assert covered / 400 >= 0.93  # 0.95 less two standard errors of 400 trials


def test_one_outlier_at_one_length_does_not_move_the_median_request() -> None:
    table = np.tile([1.0, 2.0, 10.0, 11.0], (9, 1))
    before = median_request(table)
    table[3, 1] = 9.9  # the longest request of the shorter half: decides the median of all requests thrown together
    assert before == median_request(table) == 6.0


def test_nothing_is_dropped_from_percentiles_and_throughput() -> None:
    table = np.ones((30, 10))
    table[:4] = 100.0
    numbers = summarise(table, batch_size=2)
    assert numbers["median"] == 1
    assert numbers["p90"] > 1
    assert numbers["p99"] == 100
    assert numbers["throughput"] == pytest.approx(2 * 300 / (260 + 40 * 100) * 1000)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 5))
def test_percentiles_rise_and_p99_needs_enough_samples(passes: int, lengths: int, seed: int) -> None:
    numbers = summarise(np.random.default_rng(seed).lognormal(size=(passes, lengths)), batch_size=1)
    assert numbers["median"] <= numbers["p90"]
    assert numbers["n"] == passes * lengths
    assert (numbers["p99"] is None) == (numbers["n"] < MINIMUM_FOR_P99)
    assert numbers["p99"] is None or numbers["p99"] >= numbers["p90"]
    assert (numbers["relative_half_width"] is None) == (passes < 6)


def test_relative_half_width_does_not_depend_on_the_unit() -> None:
    table = np.random.default_rng(1).lognormal(size=(20, 3))
    assert relative_half_width(table) == pytest.approx(relative_half_width(table * 1000))


def test_what_differs_between_turns_is_in_the_interval() -> None:
    """A machine that is steady within a turn, and 3 % slower or faster in the next."""
    rng, turns, held = np.random.default_rng(0), (40,) * 6, []
    for _ in range(200):
        speeds = 10 * (1 + 0.03 * rng.standard_normal(len(turns)))
        table = np.concatenate([speed + 0.01 * rng.standard_normal((40, 1)) for speed in speeds])
        width = relative_half_width(table, turns)
        alone = relative_half_width(table)
        assert width is not None
        assert alone is not None
        assert width >= alone
        held.append(abs(table.mean() - 10) <= width * 10)
    assert np.mean(held) >= 0.93  # 95 % less two standard errors


def test_turns_alike_add_nothing_to_the_interval() -> None:
    table = np.tile(np.arange(1.0, 21.0)[:, None], (5, 1))
    assert relative_half_width(table, (20,) * 5) == relative_half_width(table)


def test_ratio_of_equal_tables_is_one_and_of_one_length_that_of_the_fast_tenths() -> None:
    table = np.random.default_rng(2).lognormal(size=(20, 3))
    assert ratio(table, table) == 1
    fast = np.quantile(table[:, 0], 0.1) / np.quantile(table[:7, 1], 0.1)
    assert ratio(table[:, :1], table[:7, 1:2]) == pytest.approx(fast)


@given(seed=st.integers(0, 200), slow=st.floats(1.5, 4.0))
def test_what_slows_some_requests_of_one_model_hardly_moves_the_ratio(seed: int, slow: float) -> None:
    """Up to 7 of 10 requests of the candidate and none of the reference: its median moves by half and more."""
    generator = np.random.default_rng(seed)
    table, reference = generator.normal(10, 0.1, (100, 1)), generator.normal(5, 0.05, (60, 1))
    table[generator.choice(100, 70, replace=False)] *= slow
    assert np.median(table) / np.median(reference) > 2.9
    assert ratio(table, reference) == pytest.approx(2, rel=0.03)


def test_ratio_does_not_depend_on_which_length_is_slow() -> None:
    reference = np.tile([1.0, 10.0, 100.0], (9, 1))
    assert ratio(reference * [0.5, 1.0, 2.0], reference) == pytest.approx(1.0)
    assert ratio(reference * 0.25, reference) == pytest.approx(0.25)


@given(seed=st.integers(0, 200), factor=st.floats(1.3, 4.0))
def test_machine_that_slows_down_is_flagged_and_one_that_gets_faster_is_not(seed: int, factor: float) -> None:
    noise = np.random.default_rng(seed).uniform(0.99, 1.01, (60, 2)) * np.array([1.0, 5.0])
    slower = noise * np.linspace(1.0, factor, 60)[:, None]
    assert drift(slower) > 0.05
    assert "throttled" in flags(slower, 0.5, 1.0)
    assert drift(slower[::-1]) < 0
    assert "throttled" not in flags(slower[::-1], 0.5, 1.0)


def test_drift_is_not_told_from_a_few_passes_nor_from_steady_ones() -> None:
    assert drift(np.array([[1.0], [9.0], [17.0]])) == 0.0
    assert drift(np.tile(np.array([[1.0], [1.1]]), (30, 1))) == 0.0


def test_intervals_wider_than_asked_for_and_frequent_outliers_are_flagged() -> None:
    steady = np.full((100, 1), 2.0)
    assert flags(steady, relative_half_width(steady), 0.01) == []
    jumpy = steady.copy()
    jumpy[::20] = 9.0
    assert flags(jumpy, relative_half_width(jumpy), 0.01) == ["outliers"]
    assert flags(jumpy[:4], relative_half_width(jumpy[:4]), 0.01) == ["imprecise", "outliers"]
    assert set(flags(jumpy, 0.05, 0.01)) <= set(FLAGS)


@given(n=st.integers(1, 3000), share=st.sampled_from([0.5, 0.9, 0.99]))
def test_each_end_of_a_percentiles_interval_covers_it_as_often_as_told_and_is_the_nearest(n: int, share: float) -> None:
    found = quantile_interval(np.arange(1.0, n + 1)[::-1], share)  # samples are their own ranks
    least, largest = binom.cdf(0, n, share), share**n  # what the extreme samples miss it by
    assert (found is None) == (least > 0.05 or largest > 0.05)
    if found is not None:
        low, high = (int(rank) for rank in found)
        assert binom.cdf(low - 1, n, share) <= 0.05 < binom.cdf(low, n, share)
        assert binom.sf(high - 1, n, share) <= 0.05 < binom.sf(high - 2, n, share)


def test_p99_of_300_requests_is_bounded_by_the_largest() -> None:
    table = np.arange(300.0)[:, None] + 1
    assert summarise(table, 1)["p99_interval"] == (294.0, 300.0)
    assert summarise(table[:299], 1)["p99_interval"] is None
