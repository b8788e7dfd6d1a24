"""Test a pruner: a conformance suite, and toy learning curves with a closed form.

A plugin's tests subclass `PrunerSuite` and supply the fixture ``make_pruner``::

    class TestPatience(PrunerSuite):
        @pytest.fixture
        def make_pruner(self):
            return lambda context: PatiencePruner(context, rungs=[0.25, 0.5], patience=2)

The toy (`toy_curve`) is that of `autodistill.testing.search`: small models learn fast, large ones end higher.
`prune` runs a whole study of flash runs on it, one after the other.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from autodistill.components.architecture import Architecture
from autodistill.components.pruning import Pruner, PrunerContext, TrialCurve
from autodistill.components.search import Constraint, Objective
from autodistill.components.training import RungReport
from autodistill.testing.search import ACCURACY, LATENCY, PARAMETERS, ToyKnown, toy_metrics, toy_space

MakePruner = Callable[[PrunerContext], Pruner]

#: Accuracy of guessing on the toy, where every learning curve begins.
FLOOR = 0.5

#: Number of flash runs in the suite's studies.
TRIALS = 30


def toy_curve(
    architecture: Architecture, number: int, rungs: Sequence[float], *, noise: float = 0.0, reached: int | None = None
) -> TrialCurve:
    """The learning curve of a toy architecture.

    The share of its gain over guessing that is reached rises as ``1 - exp(-k s)`` with the share ``s`` of the run; the
    rate ``k`` falls with the number of parameters, so that small models are ahead early.

    Args:
        architecture: of the toy's space.
        number: of the trial; also seeds its noise.
        rungs: shares of the run.
        noise: standard deviation added to every score.
        reached: rungs that a running trial has reached; None: it is complete.
    """
    draws = noise * np.random.default_rng(number).standard_normal(len(rungs) + 1)
    end, size = toy_metrics(architecture), float(ToyKnown()([architecture])[PARAMETERS.metric][0][0])
    rate = 8.0 / (1.0 + math.log1p(size / 2e5))  # 8, 2e5: the smallest of the toy have learnt all, the largest half

    def score(share: float, draw: float) -> float:
        learnt = (1.0 - math.exp(-rate * share)) / (1.0 - math.exp(-rate))
        return float(FLOOR + (end[ACCURACY.metric] - FLOOR) * learnt + draw)

    reports = [
        RungReport(index, share, {ACCURACY.metric: score(share, draws[index])}) for index, share in enumerate(rungs)
    ]
    complete = reached is None
    return TrialCurve(
        trial=number,
        architecture=architecture,
        replicate=0,
        state="complete" if complete else "running",
        known={LATENCY.metric: end[LATENCY.metric], PARAMETERS.metric: size},
        rungs=tuple(reports[:reached]),
        final={ACCURACY.metric: score(1.0, draws[-1])} if complete else {},
    )


@dataclass(frozen=True)
class PrunedStudy:
    """What `prune` made of its trials: their curves, in order, and the share of the work that was done."""

    curves: tuple[TrialCurve, ...]
    spent: float

    @property
    def stopped(self) -> tuple[int, ...]:
        """Numbers of the trials that were stopped."""
        return tuple(curve.trial for curve in self.curves if curve.state == "stopped")


def prune(pruner: Pruner, curves: Sequence[TrialCurve]) -> PrunedStudy:
    """Run trials one after the other, given their complete curves; the pruner is asked at each of its rungs."""
    seen: list[TrialCurve] = []
    spent = 0.0
    for curve in curves:
        state, share = "complete", 1.0
        for reached, report in enumerate(curve.rungs, start=1):
            running = replace(curve, state="running", rungs=curve.rungs[:reached], final={})
            if pruner.stop_reason(running, tuple(seen)) is not None:
                curve, state, share = replace(running, state="stopped"), "stopped", report.share
                break
        seen.append(curve)
        spent += share if state == "stopped" else 1.0
    return PrunedStudy(tuple(seen), spent / max(len(seen), 1))


def toy_curves(pruner: Pruner, n: int = TRIALS, *, noise: float = 0.005, seed: int = 0) -> list[TrialCurve]:
    """Complete curves of ``n`` distinct random toy architectures at the pruner's rungs."""
    drawn = dict.fromkeys(toy_space().sample(4 * n, seed))
    return [toy_curve(item, number, pruner.rungs, noise=noise) for number, item in enumerate(list(drawn)[:n])]


class PrunerSuite:
    """What every pruner must do; subclass it and supply the fixture ``make_pruner``."""

    @pytest.fixture
    def make_pruner(self) -> MakePruner:
        """Builds the pruner from a `PrunerContext`; override it."""
        raise NotImplementedError("Override the fixture make_pruner: a callable that takes a PrunerContext.")

    def test_rungs_rise_within_the_run(self, make_pruner: MakePruner) -> None:
        """Strictly, and 0 and 1 are none."""
        rungs = make_pruner(_context()).rungs
        assert isinstance(rungs, tuple)
        assert list(rungs) == sorted({share for share in rungs if 0 < share < 1})

    def test_a_study_finds_its_front_all_the_same(self, make_pruner: MakePruner) -> None:
        """Of thirty trials at least a few are complete, the most accurate and the fastest among them."""
        pruner = make_pruner(_context())
        curves = toy_curves(pruner, noise=0.0)
        stopped = set(prune(pruner, curves).stopped)
        assert len(stopped) <= TRIALS - 3
        assert max(curves, key=lambda curve: curve.final[ACCURACY.metric]).trial not in stopped
        assert min(curves, key=lambda curve: curve.known[LATENCY.metric]).trial not in stopped

    def test_the_first_trial_goes_on(self, make_pruner: MakePruner) -> None:
        """Nothing to compare with: no other trial, or none that has reached a rung."""
        pruner = make_pruner(_context())
        waiting = [replace(item, state="running", rungs=(), final={}) for item in toy_curves(pruner)]
        for running in _asked(toy_curves(pruner)[0]):
            assert pruner.stop_reason(running, ()) is None, "it was stopped without a comparison"
            assert pruner.stop_reason(running, waiting[1:]) is None, "the others have not reached the rung"

    def test_the_only_trial_of_its_kind_goes_on(self, make_pruner: MakePruner) -> None:
        """Whatever it scores: all others are slower, and so cannot dominate it; or all others were stopped."""
        pruner = make_pruner(_context())
        curves = toy_curves(pruner)
        hopeless = _scored(curves[0], 0.0)
        fastest = replace(hopeless, known={**hopeless.known, LATENCY.metric: 1e-3})
        stopped = [replace(item, state="stopped", final={}) for item in curves[1:]]
        for running in _asked(fastest):
            assert pruner.stop_reason(running, curves[1:]) is None, "it was the fastest of all"
        for running in _asked(hopeless):
            assert pruner.stop_reason(running, stopped) is None, "no other trial is left that could finish"

    def test_the_same_question_gets_the_same_answer(self, make_pruner: MakePruner) -> None:
        """From the same instance, from a fresh one, and whatever the order of the others and the global seeds."""
        pruner, curves = make_pruner(_context()), _hard_case(make_pruner(_context()))
        first = _answers(pruner, curves[0], curves[1:])
        pruner.stop_reason(_asked(curves[1])[0], curves[2:]) if pruner.rungs else None
        random.seed(1)
        np.random.seed(1)
        states = random.getstate(), str(np.random.get_state(legacy=False))
        assert _answers(pruner, curves[0], curves[1:]) == first, "the instance remembers something"
        assert _answers(make_pruner(_context()), curves[0], curves[1:]) == first, "a fresh instance differs"
        assert _answers(pruner, curves[0], curves[:0:-1]) == first, "the order of the others matters"
        assert (random.getstate(), str(np.random.get_state(legacy=False))) == states, "global seeds were advanced"

    def test_missing_scores_are_tolerated(self, make_pruner: MakePruner) -> None:
        """A trial whose own score is NaN or missing goes on; that of others is no reason to stop."""
        pruner = make_pruner(_context())
        curves = toy_curves(pruner)
        for lacking in (_scored(curves[0], math.nan), _without_scores(curves[0])):
            for running in _asked(lacking):
                assert pruner.stop_reason(running, curves[1:]) is None, "its own score is no number"
        for lack in (lambda item: _scored(item, math.nan), _without_scores):
            for running in _asked(_scored(curves[0], 0.0)):
                assert pruner.stop_reason(running, [lack(item) for item in curves[1:]]) is None

    def test_a_trial_without_known_metrics_goes_on_or_is_judged_without_an_error(self, make_pruner: MakePruner) -> None:
        """Timing failed for others; nothing is known of any."""
        pruner = make_pruner(_context())
        curves = toy_curves(pruner)
        bare = [replace(item, known={}) for item in curves]
        for running in _asked(curves[0]):
            assert pruner.stop_reason(running, bare[1:]) is None, "the others cannot be compared"
        _answers(pruner, bare[0], bare[1:])

    def test_trials_that_break_a_constraint_are_no_reason_to_stop(self, make_pruner: MakePruner) -> None:
        """The study keeps none of them."""
        names = {"tiny": PARAMETERS.metric}
        impossible = [Constraint(label, metric, "<=", 1.0) for label, metric in names.items()]
        pruner = make_pruner(PrunerContext((ACCURACY, LATENCY), tuple(impossible)))
        curves = toy_curves(pruner)
        slim = replace(_scored(curves[0], 0.0), known={**curves[0].known, PARAMETERS.metric: 1.0})
        assert _answers(pruner, slim, curves[1:]) == [None] * len(pruner.rungs)

    def test_one_objective_is_enough(self, make_pruner: MakePruner) -> None:
        """Accuracy alone: the best is never stopped."""
        pruner = make_pruner(PrunerContext((ACCURACY,)))
        curves = toy_curves(pruner, noise=0.0)
        best = max(curves, key=lambda curve: curve.final[ACCURACY.metric]).trial
        level = [_scored(item, item.final[ACCURACY.metric]) for item in curves]  # nobody starts slowly
        assert best not in prune(pruner, level).stopped

    def test_known_objectives_alone_stop_nothing(self, make_pruner: MakePruner) -> None:
        """Training cannot change them."""
        pruner = make_pruner(PrunerContext((LATENCY, PARAMETERS)))
        assert prune(pruner, toy_curves(pruner)).stopped == ()

    def test_the_direction_of_an_objective_is_only_a_sign(self, make_pruner: MakePruner) -> None:
        """An error to be minimised and a throughput to be maximised decide what accuracy and latency decide."""
        error = Objective("error", ACCURACY.metric, "minimize")
        speed = Objective("speed", LATENCY.metric, "maximize")
        pruner, turned = make_pruner(_context()), make_pruner(PrunerContext((error, speed)))
        curves = toy_curves(pruner)
        expected = prune(pruner, curves).stopped
        assert prune(turned, [_mapped(item, lambda x: -x, lambda x: 1.0 / x) for item in curves]).stopped == expected

    def test_the_unit_of_a_known_metric_changes_nothing(self, make_pruner: MakePruner) -> None:
        """Milliseconds or microseconds."""
        pruner = make_pruner(_context())
        curves = toy_curves(pruner)
        scaled = [_mapped(item, lambda x: x, lambda x: 1024.0 * x) for item in curves]
        assert prune(pruner, scaled).stopped == prune(pruner, curves).stopped

    def test_a_reason_is_a_sentence(self, make_pruner: MakePruner) -> None:
        """It is shown to people."""
        pruner = make_pruner(_context())
        curves = _hard_case(pruner)
        for reason in _answers(pruner, curves[0], curves[1:]):
            assert reason is None or (reason.strip() == reason and len(reason) > 10 and "\n" not in reason)


def _context() -> PrunerContext:
    return PrunerContext((ACCURACY, LATENCY))


def _asked(curve: TrialCurve) -> list[TrialCurve]:
    """The trial as it was at each of its rungs."""
    return [
        replace(curve, state="running", rungs=curve.rungs[:reached], final={})
        for reached in range(1, len(curve.rungs) + 1)
    ]


def _answers(pruner: Pruner, curve: TrialCurve, others: Sequence[TrialCurve]) -> list[str | None]:
    return [pruner.stop_reason(running, others) for running in _asked(curve)]


def _hard_case(pruner: Pruner) -> list[TrialCurve]:
    """A trial that is slow and learns nothing, and others of all sizes, some of them stopped or running."""
    curves = toy_curves(pruner)
    slowest = max(curves, key=lambda item: item.known[LATENCY.metric])
    others = [item for item in curves if item.trial != slowest.trial]
    others[0] = replace(others[0], state="stopped", final={})
    others[1] = replace(others[1], state="running", final={})
    return [_scored(slowest, FLOOR), *others]


def _scored(curve: TrialCurve, score: float) -> TrialCurve:
    """The same trial with one score at every rung and at the end."""
    return _mapped(curve, lambda _: score, lambda value: value)


def _without_scores(curve: TrialCurve) -> TrialCurve:
    return replace(curve, rungs=tuple(replace(report, metrics={}) for report in curve.rungs), final={})


def _mapped(curve: TrialCurve, score: Callable[[float], float], latency: Callable[[float], float]) -> TrialCurve:
    def mapped(metrics: Mapping[str, float]) -> dict[str, float]:
        return {name: score(value) for name, value in metrics.items()}

    return replace(
        curve,
        known={**curve.known, LATENCY.metric: latency(curve.known[LATENCY.metric])},
        rungs=tuple(replace(report, metrics=mapped(report.metrics)) for report in curve.rungs),
        final=mapped(curve.final),
    )
