from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from autodistill.pareto import hypervolume
from autodistill.search.ehvi import cells_of, log_ehvi, log_ehvi_bound, log_gain

UNIT = st.floats(0.0, 1.0)


def volume(points: np.ndarray, reference: np.ndarray) -> float:
    """Hypervolume of points to be maximised."""
    return hypervolume(-points, -reference)


def by_integration(
    front: np.ndarray, known: np.ndarray, mean: float, deviation: float, least: float | None = None
) -> float:
    """Expected gain by a fine Riemann sum over the uncertain objective, the last column; reference point zero."""
    reference, before = np.zeros(front.shape[1]), volume(front, np.zeros(front.shape[1]))
    grid = np.linspace(mean - 8 * deviation, mean + 8 * deviation, 1601)
    gains = [volume(np.vstack([front, np.append(known, height)]), reference) - before for height in grid]
    counted = np.array(gains) * (grid >= (-np.inf if least is None else least))
    return float((counted * norm.pdf(grid, mean, deviation)).sum() * (grid[1] - grid[0]))


@settings(max_examples=25)
@given(
    st.integers(0, 2),
    st.lists(st.tuples(UNIT, UNIT, UNIT), min_size=1, max_size=6),
    st.tuples(UNIT, UNIT),
    UNIT,
    st.floats(0.05, 0.5),
)
def test_the_closed_form_equals_numerical_integration(
    known: int, points: list[tuple[float, float, float]], place: tuple[float, float], mean: float, deviation: float
) -> None:
    front = np.array(points)[:, : known + 1]
    where = np.array(place)[:known]
    cells = cells_of(front[:, :-1], front[:, -1], np.zeros(known), 0.0)
    value = np.exp(log_ehvi(cells, where[None], np.array([mean]), np.array([deviation])))[0]
    assert value == pytest.approx(by_integration(front, where, mean, deviation), abs=2e-4)


@given(st.integers(0, 2), st.integers(0, 10_000))
def test_the_bound_is_never_below_the_value(known: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    front, where = rng.random((8, known + 1)), rng.random((20, known)) * 1.2 - 0.1
    mean, deviation = rng.normal(size=20), rng.uniform(0.01, 1.0, size=20)
    cells = cells_of(front[:, :-1], front[:, -1], np.zeros(known), 0.0)
    value, bound = log_ehvi(cells, where, mean, deviation), log_ehvi_bound(cells, where, mean, deviation)
    assert (bound >= value - 1e-9).all()
    assert (np.isneginf(bound) == np.isneginf(value)).all()


@pytest.mark.parametrize("least", [0.1, 0.55, 0.9])
def test_gains_below_a_bound_do_not_count(least: float) -> None:
    front = np.array([[0.2, 0.8], [0.6, 0.5], [0.9, 0.1]])
    cells = cells_of(front[:, :1], front[:, 1], np.zeros(1), 0.0)
    value = np.exp(log_ehvi(cells, np.array([[0.7]]), np.array([0.5]), np.array([0.2]), least))[0]
    assert value == pytest.approx(by_integration(front, np.array([0.7]), 0.5, 0.2, least), abs=2e-3)


def test_three_objectives_with_a_bound_above_some_cells() -> None:
    front = np.array([[0.2, 0.9, 0.8], [0.6, 0.4, 0.5], [0.9, 0.8, 0.1]])
    cells = cells_of(front[:, :2], front[:, 2], np.zeros(2), 0.0)
    for least in (0.05, 0.4, 0.7):
        value = np.exp(log_ehvi(cells, np.array([[0.5, 0.6]]), np.array([0.5]), np.array([0.2]), least))[0]
        assert value == pytest.approx(by_integration(front, np.array([0.5, 0.6]), 0.5, 0.2, least), abs=2e-3)


COARSE = st.integers(0, 6).map(lambda step: step / 5.0)  # many ties, and points on the reference


@given(st.lists(st.tuples(COARSE, COARSE), max_size=12))
def test_cells_of_two_objectives_tile_what_is_inside_the_reference_point(points: list[tuple[float, float]]) -> None:
    front = np.array(points).reshape(-1, 2)
    cells = cells_of(front[:, :1], front[:, 1], np.zeros(1), 0.0)
    assert (cells.lower < cells.upper).all()
    assert (np.diff(cells.bottom) > 0).all()  # one cell per height, however many points are behind the front
    places = np.arange(0.05, 1.5, 0.1)[:, None]
    within = (places > cells.lower[:, 0]) & (places <= cells.upper[:, 0])
    assert (within.sum(axis=1) == 1).all()
    heights = np.where(front[None, :, 0] >= places, front[None, :, 1], 0.0).max(axis=1, initial=0.0)
    assert cells.bottom[within.argmax(axis=1)] == pytest.approx(heights)


@given(st.lists(st.tuples(COARSE, COARSE, COARSE), max_size=12))
def test_cells_of_three_objectives_tile_what_is_inside_the_reference_point(
    points: list[tuple[float, float, float]],
) -> None:
    front = np.array(points).reshape(-1, 3)
    cells = cells_of(front[:, :2], front[:, 2], np.zeros(2), 0.0)
    assert (cells.lower < cells.upper).all()
    assert len(cells.bottom) <= 3 * len(front) + 1
    places = np.stack(np.meshgrid(*2 * [np.arange(0.05, 1.5, 0.1)]), axis=-1).reshape(-1, 2)
    within = ((places[:, None] > cells.lower) & (places[:, None] <= cells.upper)).all(axis=2)
    assert (within.sum(axis=1) == 1).all()
    beaten = (front[None, :, :2] >= places[:, None]).all(axis=2)
    heights = np.where(beaten, front[None, :, 2], 0.0).max(axis=1, initial=0.0)
    assert cells.bottom[within.argmax(axis=1)] == pytest.approx(heights)


def test_an_empty_front_leaves_one_cell_from_the_reference_point() -> None:
    cells = cells_of(np.empty((0, 1)), np.empty(0), np.zeros(1), 0.0)
    value = np.exp(log_ehvi(cells, np.array([[0.5]]), np.array([3.0]), np.array([1e-6])))[0]
    assert value == pytest.approx(1.5)


def test_what_lies_beyond_the_reference_point_adds_nothing() -> None:
    cells = cells_of(np.array([[0.5]]), np.array([0.5]), np.zeros(1), 0.0)
    assert log_ehvi(cells, np.array([[-0.1]]), np.array([0.9]), np.array([0.1]))[0] == -np.inf


@given(st.floats(-60.0, 8.0))
def test_the_logarithm_of_the_gain_is_that_of_its_definition(z: float) -> None:
    direct = norm.pdf(z) + z * norm.cdf(z)
    if direct > 1e-12:
        assert log_gain(np.array([z]))[0] == pytest.approx(np.log(direct), rel=1e-4, abs=1e-4)
    assert np.isfinite(log_gain(np.array([z]))[0])


@given(st.floats(-1e7, 5.0), st.floats(1e-3, 10.0))
def test_the_gain_rises_with_z_also_far_in_the_tail(z: float, step: float) -> None:
    low, high = log_gain(np.array([z, z + step]))
    assert low < high


def test_the_tail_joins_its_series_without_a_step() -> None:
    near = log_gain(np.array([-1000.0 - 1e-6, -1000.0 + 1e-6]))
    assert near[1] - near[0] == pytest.approx(2e-6 * 1000.0, rel=1e-2)
