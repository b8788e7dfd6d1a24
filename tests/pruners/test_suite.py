"""The conformance suite refuses pruners that are wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from autodistill.components.pruning import PrunerContext, TrialCurve
from autodistill.testing.pruners import PrunerSuite

Rule = Callable[[TrialCurve, Sequence[TrialCurve]], str | None]


class Made:
    """A pruner made of a rule."""

    def __init__(self, rule: Rule) -> None:
        self.rungs = (0.25, 0.5)
        self.stop_reason = rule


def everything(trial: TrialCurve, others: Sequence[TrialCurve]) -> str | None:
    return "stopped on principle"


def worse_than_the_first_shown(trial: TrialCurve, others: Sequence[TrialCurve]) -> str | None:
    score = trial.rungs[-1].metrics.get("classification.accuracy", 1.0)
    first = next((item.final.get("classification.accuracy", 0.0) for item in others), 0.0)
    return "worse than the first" if score < first else None


def forgetful() -> Rule:
    calls: list[int] = []

    def rule(trial: TrialCurve, others: Sequence[TrialCurve]) -> str | None:
        calls.append(trial.trial)
        return "the second time" if len(calls) > 1 and others else None

    return rule


SUITE = PrunerSuite()


@pytest.mark.parametrize(
    ("rule", "test"),
    [
        (everything, SUITE.test_the_first_trial_goes_on),
        (everything, SUITE.test_a_study_finds_its_front_all_the_same),
        (everything, SUITE.test_missing_scores_are_tolerated),
        (everything, SUITE.test_known_objectives_alone_stop_nothing),
        (worse_than_the_first_shown, SUITE.test_the_only_trial_of_its_kind_goes_on),
        (worse_than_the_first_shown, SUITE.test_trials_that_break_a_constraint_are_no_reason_to_stop),
        (worse_than_the_first_shown, SUITE.test_the_direction_of_an_objective_is_only_a_sign),
        (forgetful(), SUITE.test_the_same_question_gets_the_same_answer),
    ],
)
def test_a_wrong_pruner_is_found_out(rule: Rule, test: Callable[..., None]) -> None:
    def make(context: PrunerContext) -> Made:
        return Made(rule)

    with pytest.raises(AssertionError):
        test(make)
