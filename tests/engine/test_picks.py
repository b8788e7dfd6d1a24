"""Which trials get the full recipe."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_studies import architecture

from autodistill.components.search import Constraint, History, Objective
from autodistill.engine.picks import choose_picks, pareto_rows

OBJECTIVES = (
    Objective("quality", "classification.accuracy", "maximize"),
    Objective("latency", "ort.p50_ms", "minimize"),
)
TEACHER = {
    "values": {"classification.accuracy": 0.9, "ort.p50_ms": 10.0},
    "trivial": {"classification.accuracy": 0.3},
}
POINT = {"quality": 0.3, "latency": 10.0}


def history(
    rows: list[tuple[float, float]], states: list[str] | None = None, inside: list[bool] | None = None
) -> History:
    values = np.array(rows, dtype=np.float64).reshape(-1, 2)
    return History(
        architectures=tuple(architecture(1 + index % 2, 16 + index) for index in range(len(rows))),
        replicates=(0,) * len(rows),
        states=tuple(states or ["complete"] * len(rows)),
        in_space=tuple(inside or [True] * len(rows)),
        metrics={"classification.accuracy": values[:, 0], "ort.p50_ms": values[:, 1]},
        variances={},
        told=tuple(range(len(rows))),
        notes=(None,) * len(rows),
    )


def pick(seen: History, maximum: int = 3, margin: float = 0.0, *constraints: Constraint) -> list[int]:
    return choose_picks(seen, OBJECTIVES, constraints, TEACHER, POINT, maximum, margin)


def test_the_first_pick_is_the_fronts_best_in_the_first_objective() -> None:
    assert pick(history([(0.5, 1.0), (0.8, 4.0), (0.79, 2.0)]), maximum=1) == [1]


def test_further_picks_add_most_to_the_hypervolume() -> None:
    seen = history([(0.80, 4.0), (0.79, 3.9), (0.70, 1.0)])
    assert pick(seen, maximum=2) == [0, 2]
    assert pick(seen, maximum=3) == [0, 2, 1]


def test_dominated_trials_are_never_picked() -> None:
    assert pick(history([(0.8, 4.0), (0.7, 5.0), (0.8, 4.5)])) == [0]


def test_a_margin_trades_a_little_quality_for_speed() -> None:
    seen = history([(0.80, 8.0), (0.79, 2.0), (0.50, 1.0)])
    assert pick(seen, maximum=1) == [0]
    assert pick(seen, maximum=1, margin=0.02) == [1]  # 0.01 of 0.9 is given up
    assert pick(seen, maximum=1, margin=0.01) == [0]


def test_only_complete_feasible_trials_of_the_space_are_picked() -> None:
    rows = [(0.9, 1.0), (0.8, 2.0), (0.7, 1.5), (0.6, 1.0)]
    seen = history(rows, ["failed", "complete", "complete", "complete"], [True, False, True, True])
    assert pick(seen) == [2, 3]
    assert pick(seen, 3, 0.0, Constraint("fast", "ort.p50_ms", "<=", 1.2)) == [3]
    assert pick(seen, 3, 0.0, Constraint("small", "size.parameters", "<=", 1.0)) == []  # unknown does not hold


def test_a_trial_without_a_metric_is_not_on_the_front() -> None:
    assert pareto_rows(history([(np.nan, 1.0), (0.5, 2.0)]), OBJECTIVES, (), TEACHER) == [1]


@pytest.mark.parametrize("maximum", [0, 1, 2])
def test_never_more_than_asked_for_and_none_from_nothing(maximum: int) -> None:
    assert len(pick(history([(0.5, 1.0), (0.8, 4.0), (0.7, 2.0)]), maximum)) == maximum
    assert pick(history([]), maximum) == []


def test_replicates_of_an_architecture_are_picked_once() -> None:
    seen = history([(0.8, 4.0), (0.7, 2.0)])
    twice = History(**{**vars(seen), "architectures": (seen.architectures[0],) * 2, "replicates": (0, 1)})
    assert pick(twice) == [0]
