from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autodistill.pareto import hypervolume, hypervolume_curve, non_dominated


@st.composite
def point_sets(draw: st.DrawFn) -> np.ndarray:
    """Sets with many ties: coordinates on a coarse grid in [0, 1]."""
    n, m = draw(st.integers(0, 9)), draw(st.integers(1, 4))
    return draw(arrays(np.float64, (n, m), elements=st.integers(0, 6).map(lambda value: value / 6)))


@given(point_sets())
def test_a_point_is_on_the_front_exactly_when_no_other_dominates_it(points: np.ndarray) -> None:
    expected = [not any((other <= point).all() and (other < point).any() for other in points) for point in points]
    assert non_dominated(points).tolist() == expected


def test_equal_points_are_kept_and_nan_is_never_on_the_front() -> None:
    points = [[0.0, 1.0], [0.0, 1.0], [np.nan, 0.0], [0.0, 2.0]]
    assert non_dominated(points).tolist() == [True, True, False, False]


@given(point_sets(), st.randoms(use_true_random=False))
def test_order_and_dominated_points_do_not_change_the_hypervolume(points: np.ndarray, random: object) -> None:
    reference = np.full(points.shape[1], 1.1)
    volume = hypervolume(points, reference)
    shuffled = points[np.random.default_rng(random.getrandbits(32)).permutation(len(points))]  # type: ignore[attr-defined]
    assert hypervolume(shuffled, reference) == pytest.approx(volume)
    assert hypervolume(np.vstack([points, points + 0.05]), reference) == pytest.approx(volume)


@given(point_sets())
def test_more_points_never_lose_volume(points: np.ndarray) -> None:
    reference = np.ones(points.shape[1])
    volumes = [hypervolume(points[:count], reference) for count in range(len(points) + 1)]
    assert all(later >= earlier - 1e-12 for earlier, later in itertools.pairwise(volumes))


@given(point_sets())
def test_the_hypervolume_is_that_of_the_grid_cells_below_it(points: np.ndarray) -> None:
    # Coordinates are sixths, so that counting the cells of that grid is exact.
    axes = np.meshgrid(*[(np.arange(6) + 0.5) / 6] * points.shape[1], indexing="ij")
    centres = np.stack([axis.ravel() for axis in axes], axis=1)
    covered = np.any(np.all(points[None, :, :] <= centres[:, None, :], axis=2), axis=1)
    assert hypervolume(points, np.ones(points.shape[1])) == pytest.approx(covered.mean())


def test_the_curve_is_the_area_of_the_staircase_so_far() -> None:
    points = np.array([[1.0, 3.0], [3.0, 1.0], [np.nan, 0.0], [3.0, 3.0], [1.0, 1.0]])
    curve = hypervolume_curve(points, np.array([4.0, 4.0]))
    assert curve.tolist() == [3.0, 5.0, 5.0, 5.0, 9.0]


@given(point_sets())
def test_every_value_of_the_curve_is_the_hypervolume_of_its_prefix(points: np.ndarray) -> None:
    reference = np.full(points.shape[1], 0.9)
    curve = hypervolume_curve(points, reference)
    np.testing.assert_allclose(curve, [hypervolume(points[: n + 1], reference) for n in range(len(points))], atol=1e-12)
    assert (np.diff(curve) >= 0).all()


def test_points_beyond_the_reference_add_nothing() -> None:
    assert hypervolume([[0.5, 0.5], [-5.0, 1.0], [2.0, -9.0], [np.nan, 0.0]], [1.0, 1.0]) == 0.25
    assert hypervolume(np.empty((0, 3)), [1.0, 1.0, 1.0]) == 0.0


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="2 objectives, the reference has 3"):
        hypervolume([[1.0, 2.0]], [1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="n x objectives"):
        non_dominated([1.0, 2.0])
