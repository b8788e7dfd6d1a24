from __future__ import annotations

import gc
import itertools

import pytest

from autodistill.latency import timing
from autodistill.latency.timing import StoppingRule, Timed, measure, warm_up


class Clock:
    """A clock that stands still unless requests run; 1 request of x takes x milliseconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[str] = []

    def model(self, name: str, requests: list[float], first_passes: int = 0, slow_factor: float = 1.0) -> Timed:
        count = itertools.count()

        def run(milliseconds: float) -> None:
            slow = next(count) < first_passes * len(requests)
            self.now += milliseconds * (slow_factor if slow else 1.0) / 1000
            self.order.append(name)

        return Timed(run, requests)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("autodistill.latency.timing.time.perf_counter", lambda: clock.now)
    return clock


def test_candidate_and_reference_take_turns_and_both_tables_are_passes_by_lengths(clock: Clock) -> None:
    a, b = clock.model("a", [10.0, 30.0]), clock.model("b", [20.0, 60.0])
    timed = measure(a, b, StoppingRule(0.02, 10.0, 16))
    table, reference = timed.table, timed.reference
    assert reference is not None
    assert table.shape == (18, 2)  # blocks of three passes, 40 ms each, make 100 ms; sixteen at least
    assert timed.turns == (3,) * 6
    assert reference.shape == (12, 2)
    assert table[0] == pytest.approx([10.0, 30.0])
    assert reference[0] == pytest.approx([20.0, 60.0])
    turns = [name for name, _ in itertools.groupby(clock.order)]
    assert turns == ["a", "b"] * 6


def test_turns_are_as_long_as_the_rule_says(clock: Clock) -> None:
    timed = measure(clock.model("a", [10.0]), clock.model("b", [20.0]), StoppingRule(0.02, 10.0, 16, turn_seconds=0.04))
    assert timed.turns == (4,) * 5


def test_first_request_after_a_switch_is_not_timed(clock: Clock) -> None:
    a, b = clock.model("a", [10.0, 30.0]), clock.model("b", [20.0, 60.0])
    reference = measure(a, b, StoppingRule(0.02, 10.0, 16)).reference
    assert reference is not None
    assert clock.order.count("b") == reference.size + 6


def test_timing_goes_on_until_precise_and_stops_at_the_time_limit(clock: Clock) -> None:
    values = itertools.cycle([1.0, 9.0])

    def run(_: float) -> None:
        clock.now += next(values) / 1000

    noisy = Timed(run, [0.0])
    start = clock.now
    table = measure(noisy, None, StoppingRule(0.02, 2.0, 10)).table
    assert clock.now - start == pytest.approx(2.0, abs=0.2)
    assert len(table) > 100
    quiet = measure(clock.model("a", [30.0]), None, StoppingRule(0.02, 2.0, 22)).table
    assert len(quiet) == 24  # blocks of four passes, 22 passes at least


def test_a_model_slower_than_the_time_limit_gets_the_passes_of_an_interval_or_five_times_the_limit(
    clock: Clock,
) -> None:
    table = measure(clock.model("a", [1500.0]), None, StoppingRule(0.02, 2.0, 10)).table
    assert len(table) == 6
    table = measure(clock.model("a", [5000.0]), None, StoppingRule(0.02, 2.0, 10)).table
    assert table.tolist() == [[pytest.approx(5000.0)]] * 2
    table = measure(clock.model("a", [50_000.0]), None, StoppingRule(0.02, 2.0, 10)).table
    assert table.tolist() == [[pytest.approx(50_000.0)]]


def test_a_fast_model_is_timed_in_several_turns_however_precise_the_first(clock: Clock) -> None:
    a, b = clock.model("a", [1.0]), clock.model("b", [1.0])
    table = measure(a, b, StoppingRule(0.02, 10.0, 10)).table
    turns = [name for name, _ in itertools.groupby(clock.order)]
    assert turns == ["a", "b"] * timing.LEAST_TURNS
    assert len(table) >= 100 * timing.LEAST_TURNS


def test_who_waits_is_told_after_every_block_that_it_goes_on(clock: Clock) -> None:
    signs = [clock.now]
    a, b = clock.model("a", [40.0]), clock.model("b", [500.0])
    measure(a, b, StoppingRule(0.02, 2.0, 10, min_requests=60), lambda: signs.append(clock.now))
    gaps = [later - earlier for earlier, later in itertools.pairwise(signs)]
    # Two warm it up; sixty requests, three in a block, and as many blocks of the reference, each after a first request.
    assert len(signs) == 1 + 2 + 20 + 2 * 20
    assert max(gaps) <= 0.5 + 0.001  # a block of the reference


@pytest.mark.parametrize("slow", [[40_000.0], [20_000.0] * 2])
def test_who_waits_for_a_slow_model_never_waits_longer_than_for_one_request_of_each_length(
    clock: Clock, slow: list[float]
) -> None:
    signs = [clock.now]
    measure(
        clock.model("a", slow), clock.model("b", slow), StoppingRule(0.02, 2.0, 10), lambda: signs.append(clock.now)
    )
    gaps = [later - earlier for earlier, later in itertools.pairwise([*signs, clock.now])]
    assert max(gaps) <= 40.0 + 0.001


def test_no_sign_of_life_is_given_before_a_request_of_a_fast_model_is_timed(clock: Clock) -> None:
    a, b = clock.model("a", [10.0]), clock.model("b", [20.0])
    measure(a, b, StoppingRule(0.02, 10.0, 16), lambda: clock.order.append("sign"))
    lengths = [len(turn) for turn in "".join(name[0] for name in clock.order).rstrip("s").split("s")]
    assert lengths[:2] == [1, 1]  # warming up
    assert min(lengths[2:]) > 1  # the request after the switch, and those that are timed


def test_warm_up_ends_when_steady_and_is_bounded(clock: Clock) -> None:
    warm_up(clock.model("a", [1.0], first_passes=1, slow_factor=50), max_seconds=2.0)
    assert len(clock.order) == 3
    clock.order.clear()
    durations = iter([0.8**power for power in range(1000)])  # gets faster for ever

    def run(_: float) -> None:
        clock.now += next(durations)
        clock.order.append("b")

    start = clock.now
    warm_up(Timed(run, [0.0]), max_seconds=8.0)
    assert clock.now - start < 8.0 * timing.WARM_UP_SHARE + 1.0


def test_garbage_collection_rests_while_timing_and_works_afterwards() -> None:
    states = []
    measure(Timed(lambda _: states.append(gc.isenabled()), [0]), None, StoppingRule(1.0, 0.01, 1))
    assert states
    assert not any(states)
    assert gc.isenabled()


def test_a_slow_model_is_warmed_up_twice(clock: Clock) -> None:
    warm_up(clock.model("a", [60.0] * 10), max_seconds=1.0)
    assert len(clock.order) == 20
