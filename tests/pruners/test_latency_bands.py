from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.components.architecture import Architecture
from autodistill.components.pruning import PrunerContext, TrialCurve
from autodistill.components.search import Constraint, Objective
from autodistill.components.training import RungReport
from autodistill.errors import ConfigError
from autodistill.pruners.configs import LatencyBandsConfig
from autodistill.pruners.latency_bands import LatencyBandsPruner
from autodistill.pruners.orientation import front_ranks
from autodistill.testing.pruners import MakePruner, PrunerSuite, prune, toy_curves
from autodistill.testing.search import ACCURACY, LATENCY

CONTEXT = PrunerContext((ACCURACY, LATENCY))
RECALL = Objective("recall", "classification.recall", "maximize")


def make(context: PrunerContext = CONTEXT, **changes: Any) -> LatencyBandsPruner:
    return LatencyBandsPruner(context, **{**vars(LatencyBandsConfig(rungs=[0.5])), **changes})


def trial(number: int, latency: float, *scores: float, state: Any = "complete") -> TrialCurve:
    metrics = dict(zip((ACCURACY.metric, RECALL.metric), scores, strict=False))
    return TrialCurve(
        trial=number,
        architecture=Architecture("toy", {"layers": number}),
        replicate=0,
        state=state,
        known={LATENCY.metric: latency},
        rungs=(RungReport(0, 0.5, metrics),),
        final=metrics if state == "complete" else {},
    )


def stopped(pruner: LatencyBandsPruner, asked: TrialCurve, others: Sequence[TrialCurve]) -> bool:
    return pruner.stop_reason(replace(asked, state="running", final={}), others) is not None


class TestLatencyBands(PrunerSuite):
    @pytest.fixture
    def make_pruner(self) -> MakePruner:
        return lambda context: make(context, rungs=[0.25, 0.5])


def test_it_saves_work_on_the_toy() -> None:
    pruner = make(rungs=[0.25, 0.5])
    study = prune(pruner, toy_curves(pruner, 40))
    assert len(study.stopped) >= 10
    assert study.spent < 0.85


FAST = [trial(number, 1.0 + number / 10, 0.9) for number in range(4)]
SLOW = [trial(10 + number, 8.0 + number / 10, score) for number, score in enumerate((0.5, 0.55, 0.6, 0.65))]


def test_a_slow_starter_is_compared_with_its_own_band_not_with_fast_learners() -> None:
    ahead_of_its_band = trial(20, 8.5, 0.62)
    assert not stopped(make(bands=2), ahead_of_its_band, [*FAST, *SLOW])
    assert stopped(make(bands=1), ahead_of_its_band, [*FAST, *SLOW])
    assert stopped(make(bands=2), trial(20, 8.5, 0.45), [*FAST, *SLOW])


def test_the_last_of_its_band_goes_on_while_nothing_dominates_it() -> None:
    others = [trial(number, 2.0, 0.7) for number in range(6)]
    assert not stopped(make(bands=1), trial(9, 1.0, 0.1), others)
    assert stopped(make(bands=1), trial(9, 2.0, 0.1), others)


def test_the_reduction_factor_is_the_share_that_goes_on() -> None:
    others = [trial(number, 2.0, score) for number, score in enumerate((0.4, 0.5, 0.6, 0.7, 0.8))]
    second = trial(9, 2.0, 0.75)  # one of five is ahead: the best third goes on, the best sixth would not
    assert not stopped(make(bands=1, reduction_factor=3.0), second, others)
    assert stopped(make(bands=1, reduction_factor=6.0), second, others)


def test_the_first_trials_and_small_bands_have_grace() -> None:
    others = [trial(number, 2.0, 0.7) for number in range(4)]
    worst = trial(9, 2.0, 0.1)
    assert stopped(make(bands=1, grace_trials=4, min_trials=5), worst, others)
    assert not stopped(make(bands=1, grace_trials=5, min_trials=5), worst, others)
    assert not stopped(make(bands=1, grace_trials=4, min_trials=6), worst, others)


def test_equal_trials_go_on() -> None:
    others = [trial(number, 2.0, 0.7) for number in range(9)]
    assert not stopped(make(bands=1), trial(9, 2.0, 0.7), others)


def test_several_scored_objectives_are_ranked_by_fronts() -> None:
    context = PrunerContext((ACCURACY, RECALL, LATENCY))
    others = [trial(number, 2.0, 0.5 + number / 10, 0.9 - number / 10) for number in range(4)]
    assert not stopped(make(context, bands=1), trial(9, 2.0, 0.1, 0.95), others)  # best in one of both
    assert stopped(make(context, bands=1), trial(9, 2.0, 0.5, 0.5), others)


def test_trials_that_are_complete_and_break_a_bound_on_a_score_do_not_count() -> None:
    context = PrunerContext((ACCURACY, LATENCY), (Constraint("sane", RECALL.metric, ">=", 0.5),))
    others = [trial(number, 2.0, 0.7, 0.1) for number in range(6)]
    assert not stopped(make(context, bands=1), trial(9, 2.0, 0.1, 0.9), others)
    fine = [trial(number, 2.0, 0.7, 0.9) for number in range(6)]
    assert stopped(make(context, bands=1), trial(9, 2.0, 0.1, 0.9), fine)


def test_the_reason_names_the_rung_and_the_band() -> None:
    others = [trial(number, 2.0, 0.7) for number in range(6)]
    reason = make(bands=1).stop_reason(trial(9, 2.0, 0.1, state="running"), others)
    assert reason is not None
    assert reason.startswith("stopped at 50 % of the flash run: 6 of the 6 other trials of its latency band")


def dominates(rows: np.ndarray[Any, Any], row: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which rows are nowhere worse and somewhere better."""
    return np.asarray((rows <= row).all(axis=1) & (rows < row).any(axis=1))


points = st.lists(
    st.tuples(*[st.integers(0, 6).map(float)] * 2),
    min_size=1,
    max_size=25,  # few values: ties are the hard case
).map(lambda rows: np.array(rows, dtype=np.float64))


@given(points)
def test_front_ranks_are_those_of_peeling(rows: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    ranks = front_ranks(rows)
    assert ranks.min() == 0
    for index, row in enumerate(rows):
        ahead = ranks[dominates(rows, row)]
        assert ranks[index] == (ahead.max() + 1 if len(ahead) else 0)


trials = st.lists(
    st.tuples(st.floats(0.1, 100.0), st.floats(0.0, 1.0), st.sampled_from(["running", "complete", "stopped"])),
    min_size=1,
    max_size=20,
)


@given(trials, st.integers(1, 5), st.floats(1.1, 8.0))
def test_a_trial_that_nothing_dominates_at_the_rung_goes_on(
    rows: list[tuple[float, float, str]], bands: int, factor: float
) -> None:
    curves = [trial(number, latency, score, state=state) for number, (latency, score, state) in enumerate(rows)]
    values = np.array([[np.log(latency), -score] for latency, score, _ in rows])
    pruner = make(bands=bands, reduction_factor=factor, min_trials=2, grace_trials=1)
    for index, curve in enumerate(curves):
        if not dominates(values, values[index]).any():
            assert not stopped(pruner, curve, [*curves[:index], *curves[index + 1 :]])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("bands", 0, r"^pruner\.bands must be >= 1, got 0\."),
        ("reduction_factor", 1.0, r"^pruner\.reduction_factor must be > 1, got 1\.0\."),
        ("min_trials", 1, r"^pruner\.min_trials must be >= 2, got 1\."),
        ("grace_trials", 0, r"^pruner\.grace_trials must be >= 1, got 0\."),
        ("rungs", [0.5, 0.2], r"^pruner\.rungs must rise strictly"),
    ],
)
def test_parameters_out_of_range_are_refused(field: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LatencyBandsConfig(**{field: value})
