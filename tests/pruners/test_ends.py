from __future__ import annotations

import numpy as np
import pytest

from autodistill.components.pruning import TrialCurve
from autodistill.components.search import History
from autodistill.pruners.ends import expected_ends
from autodistill.testing.pruners import toy_curve
from autodistill.testing.search import ACCURACY, LATENCY, toy_space

RUNGS = (0.25, 0.5)


def history(curves: list[TrialCurve], states: list[str]) -> History:
    final = [
        curve.final[ACCURACY.metric] if state == "complete" else np.nan
        for curve, state in zip(curves, states, strict=True)
    ]
    return History(
        architectures=tuple(curve.architecture for curve in curves),
        replicates=(0,) * len(curves),
        states=tuple(states),
        in_space=(True,) * len(curves),
        metrics={
            ACCURACY.metric: np.array(final),
            LATENCY.metric: np.array([curve.known[LATENCY.metric] for curve in curves]),
        },
        told=tuple(range(len(curves))),
        notes=(None,) * len(curves),
        curves=tuple(curve.rungs for curve in curves),
    )


def test_the_end_of_a_stopped_trial_is_predicted_with_its_doubt() -> None:
    drawn = list(dict.fromkeys(toy_space().sample(60, 0)))[:25]
    curves = [toy_curve(item, number, RUNGS, noise=0.003) for number, item in enumerate(drawn)]
    states = ["complete"] * 20 + ["stopped"] * 4 + ["failed"]
    values, variances = expected_ends(history(curves, states), ACCURACY.metric)
    assert np.isnan(values[:20]).all()
    assert np.isnan(values[24])
    truth = np.array([curve.final[ACCURACY.metric] for curve in curves[20:24]])
    assert (np.abs(values[20:24] - truth) < 4 * np.sqrt(variances[20:24])).all()
    rungs = np.array([curve.rungs[-1].metrics[ACCURACY.metric] for curve in curves[20:24]])
    assert np.abs(values[20:24] - truth).mean() < 0.3 * np.abs(rungs - truth).mean()


@pytest.mark.parametrize("complete", [0, 5])
def test_nothing_is_predicted_from_few_complete_trials(complete: int) -> None:
    curves = [toy_curve(item, number, RUNGS) for number, item in enumerate(toy_space().sample(6, 0))]
    states = ["complete"] * complete + ["stopped"] * (6 - complete)
    assert np.isnan(expected_ends(history(curves, states), ACCURACY.metric)[0]).all()


@pytest.mark.parametrize("row", [3, 22])  # complete, stopped
def test_a_known_value_that_is_not_finite_is_no_size(row: int) -> None:
    drawn = list(dict.fromkeys(toy_space().sample(60, 0)))[:24]
    curves = [toy_curve(item, number, RUNGS, noise=0.003) for number, item in enumerate(drawn)]
    seen = history(curves, ["complete"] * 20 + ["stopped"] * 4)
    seen.metrics[LATENCY.metric][row] = np.inf
    assert np.isfinite(expected_ends(seen, ACCURACY.metric)[0][20:]).all()


def test_a_history_without_curves_predicts_nothing() -> None:
    assert expected_ends(History(), ACCURACY.metric)[0].shape == (0,)
