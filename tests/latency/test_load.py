from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodistill.components.latency import Load
from autodistill.latency.load import Service, batch_sizes, highest_rate, response_times, under_load


def constant(milliseconds: float, sizes: tuple[int, ...] = (1,)) -> Service:
    return Service((8,), {size: np.full((1, 1), milliseconds) for size in sizes}, measured=False)


def sampled(milliseconds: float, requests: int, sizes: tuple[int, ...] = (1,)) -> Service:
    return Service((8,), {size: np.full((requests, 1), milliseconds) for size in sizes})


@pytest.mark.parametrize(
    ("largest", "sizes"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8]), (9, [1, 2, 4, 8, 9])]
)
def test_batch_sizes_are_powers_of_two_and_the_largest(largest: int, sizes: list[int]) -> None:
    assert batch_sizes(Load(largest)) == sizes


@pytest.mark.parametrize("utilisation", [0.3, 0.6, 0.8])
def test_mean_wait_of_single_requests_is_the_closed_form_of_a_queue_with_constant_service(utilisation: float) -> None:
    # M/D/1: mean wait = utilisation / (2 (1 - utilisation)) service times (Pollaczek and Khinchine).
    times = response_times(constant(10.0), Load(1), utilisation * 100, requests=100_000)
    expected = 10.0 * (1 + utilisation / (2 * (1 - utilisation)))
    assert times.mean() == pytest.approx(expected, rel=0.04)


@settings(max_examples=20, deadline=None)
@given(rate=st.floats(1, 500), largest=st.integers(1, 9), wait=st.floats(0, 5), seed=st.integers(0, 99))
def test_no_request_is_answered_before_its_own_service_and_lone_ones_wait_no_longer_than_told(
    rate: float, largest: int, wait: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    load = Load(largest, wait)
    service = Service((4, 8), {size: generator.uniform(1, 2, (3, 2)) * size for size in batch_sizes(load)})
    times = response_times(service, load, rate, requests=300)
    assert times.min() >= min(table.min() for table in service.times.values()) - 1e-6
    slow = response_times(service, load, 0.01, requests=300)
    assert slow.max() <= wait + max(table.max() for table in service.times.values()) + 1e-6


def test_batching_raises_the_rate_within_the_limit() -> None:
    alone = highest_rate(constant(10.0), Load(1), 50.0)
    together = highest_rate(constant(10.0, (1, 2, 4)), Load(4), 50.0)  # a batch of four takes as long as one
    assert 50 < alone < 100
    assert together > 2 * alone


def test_highest_rate_keeps_the_limit_and_a_little_more_does_not() -> None:
    service, load = constant(10.0), Load(1)
    rate = highest_rate(service, load, 40.0)
    assert np.quantile(response_times(service, load, rate), 0.99) <= 40.0
    assert np.quantile(response_times(service, load, 1.02 * rate), 0.99) > 40.0


def test_limit_below_one_service_has_no_rate_and_no_cost() -> None:
    load = Load(2, p99_limit_ms=5.0, price_per_hour=3.6)
    assert under_load(constant(10.0, (1, 2)), load) == {"throughput_at_p99": 0.0, "flags": []}


def test_cost_is_the_price_over_the_requests_of_an_hour() -> None:
    found = under_load(constant(10.0), Load(1, p99_limit_ms=100.0, price_per_hour=3.6))
    # 3.6 per hour is 0.001 per second.
    assert found["cost_per_million"] == pytest.approx(0.001 / found["throughput_at_p99"] * 1e6)
    assert found["loaded_p99_ms"] <= 100.0


def test_given_rate_is_the_one_that_is_told() -> None:
    found = under_load(constant(10.0), Load(1, requests_per_second=1.0))
    assert found.keys() == {"loaded_p50_ms", "loaded_p99_ms", "flags"}
    assert found["loaded_p50_ms"] == pytest.approx(10.0)


def test_nothing_that_rests_on_a_99th_percentile_is_told_of_fewer_than_300_requests() -> None:
    load = Load(2, requests_per_second=1.0, p99_limit_ms=100.0, price_per_hour=3.6)
    few = under_load(sampled(10.0, 299, (1, 2)), load)
    assert few.keys() == {"loaded_p50_ms", "flags"}
    assert few["flags"] == ["few_requests"]
    enough = under_load(sampled(10.0, 300, (1, 2)), load, ["outliers"])
    assert enough.keys() == {"loaded_p50_ms", "loaded_p99_ms", "throughput_at_p99", "cost_per_million", "flags"}
    assert enough["flags"] == ["outliers"]


@pytest.mark.parametrize("rate", [100.0, 150.0])
def test_more_requests_than_can_be_answered_have_no_response_times_and_a_flag(rate: float) -> None:
    found = under_load(constant(10.0), Load(1, requests_per_second=rate))
    assert found == {"flags": ["overloaded"]}
    with_limit = under_load(constant(10.0), Load(1, requests_per_second=rate, p99_limit_ms=100.0))
    assert with_limit["flags"] == ["overloaded"]
    assert 0 < with_limit["throughput_at_p99"] < 100


def test_capacity_is_that_of_the_largest_batch_which_is_what_runs_when_requests_never_lack() -> None:
    slow_together = Service((8,), {1: np.full((1, 1), 10.0), 2: np.full((1, 1), 40.0)}, measured=False)
    assert slow_together.capacity == pytest.approx(50.0)
    load = Load(2, requests_per_second=60.0)
    assert "overloaded" in under_load(slow_together, load)["flags"]
    times = response_times(slow_together, load, 60.0)
    assert times[-100:].mean() > 10 * times[:100].mean()  # they do wait ever longer


def test_capacity_pads_to_the_longest_of_a_batch() -> None:
    table = np.array([[1.0, 3.0]])
    # Of two lengths, a batch of two has the longer one in three of four cases: 0.25 x 1 + 0.75 x 3 = 2.5 ms.
    assert Service((4, 8), {2: table}).capacity == pytest.approx(2 / 2.5 * 1000)


def test_shorter_requests_are_answered_sooner_on_average() -> None:
    generator = np.random.default_rng(1)
    table = np.sort(generator.uniform(1, 9, (1, 2)))
    assert response_times(Service((4, 8), {1: table}), Load(1), 1.0).mean() == pytest.approx(table.mean(), rel=0.05)
