from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.components.pruning import PrunerContext, TrialCurve
from autodistill.components.search import Constraint
from autodistill.components.training import RungReport
from autodistill.errors import ConfigError
from autodistill.pruners.configs import LearningCurveConfig
from autodistill.pruners.ends import predict_end
from autodistill.pruners.extrapolation import predict_gain
from autodistill.pruners.learning_curve import LearningCurvePruner
from autodistill.testing.pruners import FLOOR, MakePruner, PrunerSuite, prune, toy_curves
from autodistill.testing.search import ACCURACY, LATENCY

CONTEXT = PrunerContext((ACCURACY, LATENCY))


def make(context: PrunerContext = CONTEXT, **changes: Any) -> LearningCurvePruner:
    return LearningCurvePruner(context, **{**vars(LearningCurveConfig()), **changes})


def running(curve: TrialCurve, reached: int) -> TrialCurve:
    return replace(curve, state="running", rungs=curve.rungs[:reached], final={})


class TestLearningCurve(PrunerSuite):
    @pytest.fixture
    def make_pruner(self) -> MakePruner:
        return make


def test_it_saves_work_on_the_toy_and_keeps_the_front() -> None:
    pruner = make()
    curves = toy_curves(pruner, 40, noise=0.002)
    study = prune(pruner, curves)
    assert study.spent < 0.9
    best = sorted(curves, key=lambda curve: -curve.final[ACCURACY.metric])[:3]
    assert not {curve.trial for curve in best} & set(study.stopped)


def test_the_prediction_covers_the_end_as_often_as_it_says() -> None:
    pruner, inside = make(), []
    for seed in range(20):
        *complete, last = toy_curves(pruner, 16, noise=0.01, seed=seed)
        end = predict_end(running(last, 2), complete, ACCURACY.metric)
        assert end is not None
        inside.append(end.quantile(0.05) <= last.final[ACCURACY.metric] <= end.quantile(0.95))
    assert np.mean(inside) >= 0.8  # 90 % are expected of 20


def test_more_certainty_stops_less() -> None:
    timid, bold = make(confidence=0.99), make(confidence=0.6)
    curves = toy_curves(timid, 40, noise=0.01)
    assert set(prune(timid, curves).stopped) < set(prune(bold, curves).stopped)


def test_few_complete_trials_stop_nothing() -> None:
    pruner = make(min_trials=10)
    curves = toy_curves(pruner, 10)
    hopeless = replace(
        curves[0], rungs=tuple(RungReport(r.rung, r.share, {ACCURACY.metric: 0.0}) for r in curves[0].rungs)
    )
    slow = replace(hopeless, known={**hopeless.known, LATENCY.metric: 1e3})
    assert pruner.stop_reason(running(slow, 2), curves[1:]) is None
    assert make(min_trials=9).stop_reason(running(slow, 2), curves[1:]) is not None


def test_a_bound_on_a_score_that_is_out_of_reach_stops_once_another_trial_reached_it() -> None:
    bound = Constraint("good", ACCURACY.metric, ">=", 0.8)
    pruner = make(PrunerContext((LATENCY,), (bound,)))
    curves = toy_curves(pruner, 30)
    flat = replace(
        curves[0], rungs=tuple(RungReport(r.rung, r.share, {ACCURACY.metric: FLOOR}) for r in curves[0].rungs)
    )
    reason = pruner.stop_reason(running(flat, 2), curves[1:])
    assert reason is not None
    assert "classification.accuracy was unlikely to become >= 0.8, the constraint 'good'" in reason
    below = [item for item in curves[1:] if item.final[ACCURACY.metric] < 0.8]
    assert len(below) >= pruner.min_trials
    assert pruner.stop_reason(running(flat, 2), below) is None  # nothing feasible is left without it


def test_the_reason_states_the_bound() -> None:
    pruner = make()
    curves = toy_curves(pruner)
    slow = replace(curves[0], known={**curves[0].known, LATENCY.metric: 1e3})
    flat = replace(slow, rungs=tuple(RungReport(r.rung, r.share, {ACCURACY.metric: FLOOR}) for r in slow.rungs))
    reason = pruner.stop_reason(running(flat, 1), curves[1:])
    assert reason is not None
    assert reason.startswith(
        "stopped at 25 % of the flash run: even at its upper confidence bound (classification.accur"
    )


# -- the model -------------------------------------------------------------------------------------------------

numbers = st.floats(-1.0, 1.0).map(lambda value: round(value, 3))


def test_without_features_it_is_the_conjugate_normal() -> None:
    gains = np.array([0.1, 0.3, 0.2, 0.4])
    found = predict_gain(np.empty((4, 0)), gains, np.empty(0))
    scaled = (gains - gains.mean()) / gains.std()
    precision = 1 / 100 + 4
    rate = 1 + (scaled @ scaled) / 2
    assert found.location == pytest.approx(0.25)
    assert found.degrees == 2 * (1 + 4 / 2)
    assert found.scale == pytest.approx(gains.std() * np.sqrt(rate / 3 * (1 + 1 / precision)))


def test_a_linear_gain_is_found_and_extrapolated_with_growing_doubt() -> None:
    x = np.linspace(0.0, 1.0, 60)[:, None]
    gains = 0.5 - 0.3 * x[:, 0]
    near, far = (predict_gain(x, gains, np.array([at])) for at in (0.5, 5.0))
    assert near.location == pytest.approx(0.35, abs=1e-3)
    assert far.location == pytest.approx(-1.0, abs=0.05)
    assert far.scale > 2 * near.scale
    assert near.variance == pytest.approx(near.scale**2 * near.degrees / (near.degrees - 2))


@given(
    st.lists(st.tuples(numbers, numbers, numbers), min_size=3, max_size=12).filter(
        lambda rows: np.ptp([row[2] for row in rows]) > 0
    ),
    st.tuples(numbers, numbers),
    st.floats(0.5, 50.0),
    st.floats(-10.0, 10.0),
)
def test_units_change_nothing(
    rows: list[tuple[float, float, float]], point: tuple[float, float], scale: float, shift: float
) -> None:
    table, at = np.array(rows), np.array(point)
    plain = predict_gain(table[:, :2], table[:, 2], at)
    moved = predict_gain(
        table[:, :2] * [scale, 1.0] + [shift, 0.0], table[:, 2] * scale, at * [scale, 1.0] + [shift, 0.0]
    )
    assert moved.location == pytest.approx(scale * plain.location, rel=1e-5, abs=1e-6)
    assert moved.scale == pytest.approx(scale * plain.scale, rel=1e-5, abs=1e-6)
    assert np.isfinite([plain.location, plain.scale]).all()
    assert plain.quantile(0.1) <= plain.location <= plain.quantile(0.9)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("confidence", 0.5, r"^pruner\.confidence must be in \(0\.5, 1\), got 0\.5\."),
        ("confidence", 1.0, r"^pruner\.confidence must be in \(0\.5, 1\), got 1\.0\."),
        ("min_trials", 2, r"^pruner\.min_trials must be >= 3, got 2\."),
        ("rungs", [0.0], r"^pruner\.rungs must rise strictly"),
    ],
)
def test_parameters_out_of_range_are_refused(field: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LearningCurveConfig(**{field: value})
