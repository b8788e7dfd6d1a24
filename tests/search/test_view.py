from __future__ import annotations

from dataclasses import replace

import numpy as np

from autodistill.components.architecture import Architecture
from autodistill.components.search import Constraint, History
from autodistill.pruners.ends import expected_ends
from autodistill.search.candidates import Candidates
from autodistill.search.columns import with_expected_ends
from autodistill.search.view import View
from autodistill.testing.pruners import toy_curve
from autodistill.testing.toy import ACCURACY, LATENCY, NothingKnown, toy_context, toy_history

RUNGS = (0.25, 0.5)


def stopped_history(complete: int, stopped: int) -> History:
    """Trials that have ended, and then trials that were stopped at the last rung."""
    drawn = list(dict.fromkeys(toy_context().space.sample(200, 0)))[: complete + stopped]
    curves = [toy_curve(item, number, RUNGS, noise=0.003) for number, item in enumerate(drawn)]
    final = [curve.final[ACCURACY.metric] for curve in curves[:complete]] + [np.nan] * stopped
    return History(
        architectures=tuple(drawn),
        replicates=(0,) * len(drawn),
        states=("complete",) * complete + ("stopped",) * stopped,
        in_space=(True,) * len(drawn),
        metrics={ACCURACY.metric: np.array(final)},
        told=tuple(range(len(drawn))),
        notes=(None,) * len(drawn),
        curves=tuple(curve.rungs for curve in curves),
    )


def test_ends_of_stopped_trials_are_learnt_with_their_doubt() -> None:
    history = stopped_history(20, 4)
    values, doubts = with_expected_ends(history, np.arange(24), ACCURACY.metric, history.metrics[ACCURACY.metric])
    ends, variances = expected_ends(history, ACCURACY.metric)
    assert doubts is not None
    assert values[:20].tolist() == history.metrics[ACCURACY.metric][:20].tolist()
    assert values[20:].tolist() == ends[20:].tolist()
    assert doubts.tolist() == [0.0] * 20 + variances[20:].tolist()
    assert (doubts[20:] > 0).all()


def test_stopped_trials_without_a_prediction_are_left_out() -> None:
    context, history = toy_context(), stopped_history(4, 2)
    seen = View(context, Candidates(context), history).observe(ACCURACY.metric)
    assert seen is not None
    assert seen.rows.tolist() == [0, 1, 2, 3]
    assert seen.doubt is None


def test_an_architecture_keeps_a_bound_by_the_mean_over_its_replicates() -> None:
    context = toy_context(constraints=[Constraint("good", ACCURACY.metric, ">=", 0.7)], known=NothingKnown())
    first, second = context.space.enumerate()[:2]
    history = toy_history(context, [first, second, first, first])
    history.metrics[ACCURACY.metric][:] = [0.71, 0.72, 0.60, 0.58]
    view = View(context, Candidates(context), history)
    assert view.feasible.tolist() == [False, True, False, False]
    assert set(view.front()) <= {second}


def test_what_breaks_a_bound_keeps_nothing_from_the_front() -> None:
    context = toy_context(constraints=[Constraint("good", "f1.score", ">=", 0.5)], known=NothingKnown())
    first, second = context.space.enumerate()[:2]
    history = toy_history(context, [first, second])
    history.metrics[ACCURACY.metric][:] = [0.95, 0.80]
    history.metrics[LATENCY.metric][:] = [1.0, 2.0]
    history = replace(history, metrics={**history.metrics, "f1.score": np.array([0.4, 0.6])})
    assert View(context, Candidates(context), history).front() == [second]


def test_the_front_is_that_of_the_means_over_replicates() -> None:
    context = toy_context(objectives=[ACCURACY], known=NothingKnown())
    lucky, steady = context.space.enumerate()[:2]
    history = toy_history(context, [lucky, steady, lucky, lucky, lucky], states=["complete"] * 4 + ["pending"])
    history.metrics[ACCURACY.metric][:4] = [0.95, 0.90, 0.60, 0.55]
    assert View(context, Candidates(context), history).front() == [steady]


def test_what_lies_outside_the_space_is_not_on_its_front() -> None:
    context = toy_context(objectives=[ACCURACY], known=NothingKnown())
    inside = context.space.enumerate()[0]
    outside = Architecture("toy", {**inside.choices, "hidden_size": 100})
    history = toy_history(context, [inside, outside])
    history.metrics[ACCURACY.metric][:] = [0.5, 0.9]
    assert View(context, Candidates(context), history).front() == [inside]
