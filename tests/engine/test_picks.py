"""Which trials get the full recipe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_studies import architecture

from autodistill.components.search import Constraint, History, Objective
from autodistill.engine.picks import averaged, candidate_rows, pareto_rows

OBJECTIVES = (
    Objective("quality", "classification.accuracy", "maximize"),
    Objective("latency", "ort.p50_ms", "minimize"),
)
TEACHER = {
    "values": {"classification.accuracy": 0.9, "ort.p50_ms": 10.0},
    "trivial": {"classification.accuracy": 0.3},
}


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


def front(seen: History, *constraints: Constraint) -> list[int]:
    return pareto_rows(seen, OBJECTIVES, constraints, TEACHER)


def test_dominated_trials_are_not_on_the_front() -> None:
    assert front(history([(0.8, 4.0), (0.7, 5.0), (0.8, 4.5)])) == [0]


def test_only_complete_feasible_trials_of_the_space_are_candidates() -> None:
    rows = [(0.9, 1.0), (0.8, 2.0), (0.7, 1.5), (0.6, 1.0)]
    seen = history(rows, ["failed", "complete", "complete", "complete"], [True, False, True, True])
    assert front(seen) == [2, 3]
    assert front(seen, Constraint("fast", "ort.p50_ms", "<=", 1.2)) == [3]
    assert front(seen, Constraint("small", "size.parameters", "<=", 1.0)) == []  # unknown does not hold
    assert candidate_rows(seen, OBJECTIVES, ()) == [2, 3]


def test_a_trial_without_a_metric_is_not_on_the_front() -> None:
    assert pareto_rows(history([(np.nan, 1.0), (0.5, 2.0)]), OBJECTIVES, (), TEACHER) == [1]


def test_nothing_has_no_front() -> None:
    assert front(history([])) == []


def test_replicates_count_by_their_mean_on_the_row_of_the_first() -> None:
    seen = history([(0.9, 4.0), (0.7, 4.0), (0.82, 4.0)])
    twice = replace(
        seen,
        architectures=(seen.architectures[0], seen.architectures[0], seen.architectures[1]),
        replicates=(0, 1, 0),
        variances={"classification.accuracy": np.array([0.02, 0.02, 0.02])},
    )
    assert averaged(twice).metrics["classification.accuracy"].tolist() == pytest.approx([0.8, 0.8, 0.82])
    assert averaged(twice).variances["classification.accuracy"].tolist() == pytest.approx([0.01, 0.01, 0.02])
    assert front(twice) == [2]
    assert candidate_rows(twice, OBJECTIVES, ()) == [0, 2]


def test_a_failed_replicate_does_not_count() -> None:
    seen = history([(0.9, 4.0), (np.nan, 4.0)], ["complete", "failed"])
    twice = replace(seen, architectures=(seen.architectures[0],) * 2, replicates=(0, 1))
    assert averaged(twice) is twice
    assert front(twice) == [0]


def test_what_a_row_lacks_it_still_lacks() -> None:
    seen = history([(np.nan, 4.0), (0.8, 4.0), (0.7, 2.0)])
    twice = replace(seen, architectures=(seen.architectures[0], seen.architectures[0], seen.architectures[1]))
    assert np.isnan(averaged(twice).metrics["classification.accuracy"][0])  # a baseline that had no flash run
    assert candidate_rows(averaged(twice), OBJECTIVES, ()) == [1, 2]
