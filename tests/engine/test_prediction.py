from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autodistill.engine.prediction import MAX_FOLDS, MAX_TRIALS, LeaveOneOut, leave_one_out

Array = np.ndarray[Any, np.dtype[np.float64]]


def grid(n: int) -> Array:
    return np.random.default_rng(0).random((n, 2))


def smooth(x: Array) -> Array:
    values: Array = 0.7 + 0.1 * x[:, 0] - 0.05 * np.sin(3 * x[:, 1])
    return values


def mean_of_the_rest(train_x: Array, train_y: Array, noise: Array, test_x: Array) -> tuple[Array, Array]:
    return np.full(len(test_x), train_y.mean()), np.full(len(test_x), train_y.var())


def test_each_value_is_predicted_from_the_others_alone() -> None:
    y = np.arange(12, dtype=np.float64)
    found = leave_one_out(y[:, None], y, np.zeros(12), range(12), mean_of_the_rest)
    assert isinstance(found, LeaveOneOut)
    np.testing.assert_allclose(found.predicted, (y.sum() - y) / 11)
    assert found.folds == 12
    assert found.spearman == pytest.approx(-1.0)
    assert found.explained < 0


def test_the_noise_of_an_observation_widens_its_interval() -> None:
    y, noise = np.arange(12, dtype=np.float64), np.full(12, 9.0)
    noise[3] = np.nan
    found = leave_one_out(y[:, None], y, noise, range(12), lambda a, b, c, d: (np.zeros(len(d)), np.full(len(d), 16.0)))
    assert isinstance(found, LeaveOneOut)
    assert found.deviation[0] == 5.0
    assert found.deviation[3] == 4.0
    assert found.coverage == pytest.approx(10 / 12)  # all but the two beyond 1.96 * 5


def test_replicates_of_an_architecture_are_left_out_together() -> None:
    seen: list[set[float]] = []

    def watch(train_x: Array, train_y: Array, noise: Array, test_x: Array) -> tuple[Array, Array]:
        assert not set(train_x[:, 0]) & set(test_x[:, 0])
        seen.append(set(test_x[:, 0]))
        return np.zeros(len(test_x)), np.ones(len(test_x))

    groups = [index // 2 for index in range(24)]
    leave_one_out(np.array(groups, dtype=np.float64)[:, None], np.arange(24.0), np.zeros(24), groups, watch)
    assert len(seen) == 12


def test_folds_and_trials_are_bounded() -> None:
    x = grid(300)
    found = leave_one_out(x, smooth(x), np.zeros(300), range(300), mean_of_the_rest)
    assert isinstance(found, LeaveOneOut)
    assert found.folds == MAX_FOLDS
    np.testing.assert_array_equal(found.observed, smooth(x)[-MAX_TRIALS:])


def test_few_architectures_are_refused() -> None:
    x = grid(9)
    assert (
        leave_one_out(x, smooth(x), np.zeros(9), range(9), mean_of_the_rest)
        == "9 architectures are too few; 10 are needed."
    )
