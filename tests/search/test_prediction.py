from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")

from autodistill.engine.prediction import LeaveOneOut, leave_one_out  # noqa: E402
from autodistill.search.prediction import SurrogatePrediction  # noqa: E402


def noisy_line(n: int, deviation: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    features = rng.random((n, 3))
    values = 100.0 + 20.0 * features[:, 2] + 5.0 * np.sin(4.0 * features[:, 0])
    return features, values + deviation * rng.standard_normal(n)


def test_the_strategys_model_predicts_what_it_has_not_seen_with_honest_intervals() -> None:
    features, values = noisy_line(40, 0.5)
    told = np.full(40, 0.25)
    found = leave_one_out(features, values, told, [str(row) for row in range(40)], SurrogatePrediction(linear=1))
    assert isinstance(found, LeaveOneOut)
    assert found.explained > 0.9
    assert found.coverage >= 0.8


def test_a_unit_changes_nothing_but_the_unit() -> None:
    features, values = noisy_line(15, 0.5)
    zeros = np.zeros(15)
    mean, variance = SurrogatePrediction(1)(features, values, zeros, features)
    scaled, other = SurrogatePrediction(1)(features, 1024.0 * values, zeros, features)
    assert scaled == pytest.approx(1024.0 * mean)
    assert other == pytest.approx(1024.0**2 * variance)


def test_constant_values_are_predicted_as_they_are() -> None:
    features, _ = noisy_line(12, 0.0)
    mean, variance = SurrogatePrediction()(features, np.full(12, 3.0), np.zeros(12), features[:2])
    assert mean == pytest.approx(3.0, abs=1e-6)
    assert np.isfinite(variance).all()


def test_words_have_no_order() -> None:
    rng = np.random.default_rng(0)
    kind, width = rng.integers(0, 4, 60), rng.random((60, 1))
    values = np.array([0.0, 5.0, 1.0, 4.0])[kind] + width[:, 0] + 0.05 * rng.standard_normal(60)
    told, groups = np.full(60, 0.05**2), [str(row) for row in range(60)]
    apart = leave_one_out(
        np.hstack([width, kind[:, None] == np.arange(4)]), values, told, groups, SurrogatePrediction(0, (4,))
    )
    assert isinstance(apart, LeaveOneOut)
    assert apart.explained > 0.95
