from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodistill.engine.importance import Importance, main_effects, parameter_importance

LEVELS = [np.array([0.0, 1.0]), np.array([0.0, 0.5, 1.0]), np.array([0.0, 1.0])]
PRODUCT = np.array(list(itertools.product(*LEVELS)))

weights = st.floats(-3.0, 3.0).map(lambda value: round(value, 2))


@given(st.lists(weights, min_size=3, max_size=3).filter(lambda row: any(row)), st.floats(-5, 5))
def test_an_additive_function_has_its_terms_variances_as_shares(slopes: list[float], shift: float) -> None:
    shares = main_effects(lambda x: shift + x @ slopes, LEVELS, PRODUCT)
    variances = np.array([slope**2 * np.var(values) for slope, values in zip(slopes, LEVELS, strict=True)])
    np.testing.assert_allclose(shares, variances / variances.sum(), atol=1e-9)


def test_an_interaction_belongs_to_no_single_parameter() -> None:
    centred = PRODUCT - PRODUCT.mean(axis=0)
    assert centred.shape == (12, 3)
    shares = main_effects(lambda x: (x[:, 0] - 0.5) * (x[:, 2] - 0.5), LEVELS, PRODUCT)
    np.testing.assert_allclose(shares, 0.0, atol=1e-12)


def test_a_constant_function_has_no_shares() -> None:
    np.testing.assert_array_equal(main_effects(lambda x: np.ones(len(x)), LEVELS, PRODUCT), 0.0)


def table(n: int, seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 4, size=(n, 3)) / 3.0


def test_what_drives_the_metric_comes_first_and_a_constant_parameter_is_left_out() -> None:
    x = np.column_stack([table(60), np.full(60, 0.5)])
    y = 3.0 * x[:, 1] + 1.0 * x[:, 0]
    found = parameter_importance(x, ["a", "b", "c", "fixed"], y, [tuple(row) for row in x])
    assert isinstance(found, Importance)
    assert found.names == ("a", "b", "c")
    np.testing.assert_allclose(found.shares, [0.1, 0.9, 0.0], atol=0.1)  # a forest of 60 trials sees some interaction
    assert (found.low <= found.shares + 1e-9).all()
    assert (found.shares <= found.high + 1e-9).all()
    assert found.explained > 0.8
    assert found.n == 60


def test_the_answer_is_the_same_every_time() -> None:
    x = table(30)
    first, second = (parameter_importance(x, ["a", "b", "c"], x[:, 0], [tuple(r) for r in x]) for _ in range(2))
    assert isinstance(first, Importance)
    assert isinstance(second, Importance)
    np.testing.assert_array_equal(first.shares, second.shares)


def test_fewer_trials_are_less_sure() -> None:
    rng = np.random.default_rng(1)

    def width(n: int) -> float:
        x = table(n)
        found = parameter_importance(
            x, ["a", "b", "c"], x[:, 0] + x[:, 1] + 0.2 * rng.standard_normal(n), [tuple(row) for row in x]
        )
        assert isinstance(found, Importance)
        return float((found.high - found.low).mean())

    assert width(400) < width(25)


def test_noise_is_not_explained() -> None:
    x, y = table(40), np.random.default_rng(3).standard_normal(40)
    found = parameter_importance(x, ["a", "b", "c"], y, [tuple(row) for row in x])
    assert isinstance(found, str)
    assert "% of the variance of trials that it has not seen" in found


@pytest.mark.parametrize(("n", "replicates"), [(9, 1), (9, 4)])
def test_few_architectures_are_refused_however_often_they_were_tried(n: int, replicates: int) -> None:
    x = np.arange(n, dtype=np.float64)[:, None] / n
    rows = np.repeat(x, replicates, axis=0)
    found = parameter_importance(rows, ["a"], rows[:, 0], [float(row[0]) for row in rows])
    assert found == "9 architectures are too few; 10 are needed."


def test_a_metric_that_did_not_vary_is_refused() -> None:
    x = table(30)
    assert parameter_importance(x, ["a", "b", "c"], np.ones(30), [tuple(row) for row in x]) == "nothing varied."


@settings(max_examples=5)
@given(st.floats(0.01, 100.0), st.floats(-100.0, 100.0))
def test_the_unit_of_the_metric_changes_nothing(scale: float, shift: float) -> None:
    x = table(25)
    y = 2.0 * x[:, 0] + x[:, 1] ** 2
    groups = [tuple(row) for row in x]
    plain, moved = (parameter_importance(x, ["a", "b", "c"], v, groups) for v in (y, scale * y + shift))
    assert isinstance(plain, Importance)
    assert isinstance(moved, Importance)
    np.testing.assert_allclose(moved.shares, plain.shares, atol=0.02)  # rounding may turn a tree's split
