from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")

from autodistill.components.search import History, Objective, SearchContext  # noqa: E402
from autodistill.search.candidates import Candidates  # noqa: E402
from autodistill.search.promotion import Promotion  # noqa: E402
from autodistill.search.random import RandomSearch  # noqa: E402
from autodistill.search.scales import Scale  # noqa: E402
from autodistill.search.view import View  # noqa: E402
from autodistill.testing.search import ACCURACY, LATENCY, toy_context, toy_history, toy_metrics  # noqa: E402


def searched(n: int, noise: float = 0.0) -> tuple[SearchContext, History]:
    context = toy_context()
    proposals = RandomSearch(context).propose(History(), n)
    return context, toy_history(context, [item.architecture for item in proposals], noise=noise)


def few(*points: tuple[float, float]) -> tuple[SearchContext, History]:
    """So few trials that no model is made: scores and latencies as given."""
    context, history = searched(len(points))
    values = np.array(points)
    return context, replace(history, metrics={ACCURACY.metric: values[:, 0], LATENCY.metric: values[:, 1]})


def test_the_first_is_the_best_in_the_first_objective() -> None:
    assert Promotion(*few((0.5, 1.0), (0.8, 4.0), (0.79, 2.0)), [0, 1, 2]).first(0.0) == 1


def test_a_margin_trades_a_little_quality_for_speed() -> None:
    promotion = Promotion(*few((0.80, 8.0), (0.79, 2.0), (0.50, 1.0)), [0, 1, 2])
    assert promotion.first(0.0) == 0
    assert promotion.first(0.02) == 1
    assert promotion.first(0.01) == 0


def test_with_a_margin_the_first_is_the_fastest_of_those_that_are_nearly_as_good() -> None:
    promotion = Promotion(*few((0.900, 10.0), (0.899, 6.0), (0.8955, 3.0), (0.895, 2.0), (0.5, 1.0)), range(5))
    assert promotion.first(0.01) == 3


@pytest.mark.parametrize("level", [0.0, 0.13, 0.2])
def test_another_quality_is_not_held_against_a_reference_for_full_runs(level: float) -> None:
    context, history = few((0.50, 10.0), (0.60, 12.0), (0.55, 4.0), (0.40, 2.0))
    f1 = Objective("f1", "classification.f1", "maximize")
    context = replace(context, objectives=(ACCURACY, f1, LATENCY), reference={ACCURACY.metric: 0.7, f1.metric: 0.7})
    scores = np.array([0.60, 0.62, 0.55, 0.50]) + level
    history = replace(history, metrics={**history.metrics, f1.metric: scores})
    # At flash all, some or none are below what a full run is held against: the next pick is the same.
    assert Promotion(context, history, range(4)).next({1: 0.85}, [1], np.ones(4)) == 2


def test_objectives_that_are_equal_everywhere_have_the_reference_of_a_search() -> None:
    context, history = few((0.50, 4.0), (0.60, 4.0), (0.55, 4.0))
    promotion = Promotion(context, history, range(3))
    view, scale = (
        View(context, Candidates(context), history),
        Scale.fit(LATENCY.metric, history.metrics[LATENCY.metric]),
    )
    expected = view.reference(LATENCY, scale, -scale(history.metrics[LATENCY.metric]))
    assert promotion._reference(promotion.flash.mean)[1] == expected
    assert promotion.next({1: 0.7}, [1], np.ones(3)) == 2


def test_the_next_adds_most_to_the_front_of_full_scores() -> None:
    promotion = Promotion(*few((0.80, 4.0), (0.79, 3.9), (0.70, 1.0)), [0, 1, 2])
    costs = np.ones(3)
    assert promotion.next({0: 0.85}, [0], costs) == 2
    assert promotion.next({0: 0.85, 2: 0.75}, [0, 2], costs) == 1
    assert promotion.next({0: 0.85, 2: 0.75, 1: 0.84}, [0, 1, 2], costs) is None


def test_a_pick_whose_run_failed_keeps_nobody_out_and_is_not_chosen_again() -> None:
    promotion = Promotion(*few((0.80, 4.0), (0.79, 3.9), (0.70, 1.0)), [0, 1, 2])
    costs = np.ones(3)
    # What stands beside the front gains little; a failed run is not on it, though its flash score was the best.
    assert promotion.next({1: 0.84}, [1], costs) == 2
    assert promotion.next({2: 0.75}, [0, 2], costs, failed=[0]) == 1
    assert promotion.next({1: 0.84}, [0, 1], costs, failed=[0]) == 2
    assert promotion.next({1: 0.84, 2: 0.75}, [0, 1, 2], costs, failed=[0]) is None


def test_while_every_run_has_failed_the_next_is_a_first_one() -> None:
    promotion = Promotion(*few((0.80, 8.0), (0.79, 2.0), (0.785, 1.0), (0.50, 0.5)), [0, 1, 2, 3])
    assert promotion.first(0.0, [0]) == 1
    assert promotion.first(0.01, [0]) == 2
    assert promotion.first(0.0, [0, 1, 2, 3]) is None


def test_a_trial_that_costs_more_must_gain_more() -> None:
    promotion = Promotion(*few((0.80, 4.0), (0.70, 2.0), (0.70, 2.1)), [0, 1, 2])
    assert promotion.next({0: 0.85}, [0], np.ones(3)) == 1
    assert promotion.next({0: 0.85}, [0], np.array([1.0, 100.0, 1.0])) == 2
    assert promotion.next({0: 0.85}, [0], np.array([1.0, np.nan, np.nan])) in (1, 2)


def test_rows_that_may_not_be_chosen_are_not() -> None:
    promotion = Promotion(*few((0.9, 1.0), (0.8, 2.0), (0.7, 1.5)), [1, 2])
    assert promotion.first(0.0) == 1
    assert promotion.next({}, [1], np.ones(3)) == 2


def test_full_runs_teach_how_much_flash_understates() -> None:
    context, history = searched(20)
    promotion = Promotion(context, history, range(20))
    scores = history.metrics[ACCURACY.metric]
    before = promotion.at_full({})
    after = promotion.at_full({0: scores[0] + 0.1, 1: scores[1] + 0.1})
    others = np.arange(2, 20)
    assert (after.mean[others] > before.mean[others]).all()
    assert (after.deviation[others] < before.deviation[others]).all()
    assert after.deviation[:2] == pytest.approx(0.0, abs=1e-5)


def test_a_lucky_score_is_regressed_towards_what_its_neighbours_say() -> None:
    context, history = searched(60, noise=0.01)
    lucky = 7
    scores = history.metrics[ACCURACY.metric].copy()
    truth = toy_metrics(history.architectures[lucky])[ACCURACY.metric]
    scores[lucky] = truth + 0.15
    seen = replace(history, metrics={**history.metrics, ACCURACY.metric: scores})
    promotion = Promotion(context, seen, range(60))
    order = np.argsort(-scores)
    believed = promotion.flash.mean
    assert believed[lucky] < (scores[lucky] - scores.mean()) / scores.std()
    assert list(np.argsort(-believed)).index(lucky) >= list(order).index(lucky)


def test_predictions_of_the_model_are_on_the_scale_of_the_candidates() -> None:
    context, history = searched(40)
    promotion = Promotion(context, history, range(40))
    scores = history.metrics[ACCURACY.metric]
    assert promotion.flash.mean == pytest.approx((scores - scores.mean()) / scores.std(), abs=0.25)
    half = Promotion(context, history, range(0, 40, 2))
    some = scores[::2]
    assert half.flash.mean == pytest.approx((some - some.mean()) / some.std(), abs=0.25)


def test_the_first_does_not_depend_on_whether_the_reference_is_reached() -> None:
    context, history = few((0.78, 8.0), (0.80, 8.5), (0.79, 2.0))
    far = replace(context, reference={ACCURACY.metric: 0.85, LATENCY.metric: 9.0})
    assert Promotion(context, history, [0, 1, 2]).first(0.02) == 2
    assert Promotion(far, history, [0, 1, 2]).first(0.02) == 2


def test_the_noise_is_learnt_from_replicates_and_not_from_their_means() -> None:
    context, plain = searched(12)
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(12), 3)
    scores = plain.metrics[ACCURACY.metric][rows] + 0.05 * rng.standard_normal(36)
    history = replace(
        plain,
        architectures=tuple(plain.architectures[row] for row in rows),
        replicates=tuple(np.tile(np.arange(3), 12).tolist()),
        states=("complete",) * 36,
        in_space=(True,) * 36,
        metrics={ACCURACY.metric: scores, LATENCY.metric: plain.metrics[LATENCY.metric][rows]},
        told=tuple(range(36)),
        notes=(None,) * 36,
    )
    means = replace(history, metrics={**history.metrics, ACCURACY.metric: scores.reshape(12, 3).mean(axis=1)[rows]})
    candidates = list(range(0, 36, 3))
    raw = Promotion(context, history, candidates, means).flash.deviation
    assert np.median(raw) > 2 * np.median(Promotion(context, means, candidates).flash.deviation)


def test_the_unit_of_a_metric_changes_nothing() -> None:
    context, history = searched(20, noise=0.01)
    scaled = replace(history, metrics={name: 1024.0 * column for name, column in history.metrics.items()})
    full = {3: float(history.metrics[ACCURACY.metric][3])}
    plain = Promotion(context, history, range(20)).next(full, [3], np.ones(20))
    other = Promotion(context, scaled, range(20)).next({3: 1024.0 * full[3]}, [3], np.ones(20))
    assert plain == other


def test_trials_that_are_all_slower_than_the_reference_are_picked_all_the_same() -> None:
    context, history = few((0.80, 8.0), (0.75, 6.0), (0.70, 5.0))
    context = replace(context, reference={ACCURACY.metric: 0.5, LATENCY.metric: 2.0})
    promotion = Promotion(context, history, range(3))
    assert promotion.next({0: 0.85}, [0], np.ones(3)) is not None


def test_when_only_trials_beyond_the_reference_are_left_the_undominated_come_next() -> None:
    points = (0.60, 1.0), (0.65, 1.5), (0.85, 9.0), (0.70, 3.0), (0.64, 4.0), (0.78, 5.0), (0.69, 8.0)
    measured = frozenset({LATENCY.metric})
    context, history = few(*points)
    context = replace(context, reference={ACCURACY.metric: 0.5, LATENCY.metric: 2.0}, measured=measured)
    promotion = Promotion(context, history, range(len(points)))
    taken = [promotion.first(0.0)]
    for _ in points:
        full = {row: points[row][0] + 0.02 for row in taken if row is not None}
        taken.append(promotion.next(full, list(full), np.ones(len(points))))
    assert taken[0] == 2  # the best flash score, beyond the reference
    assert set(taken[1:3]) == {0, 1}  # those within it
    assert set(taken[3:5]) == {3, 5}  # on the front of all
    assert set(taken[5:7]) == {4, 6}
    assert taken[7] is None
    assert [promotion.beyond(row) for row in range(3)] == [(), (), (LATENCY.metric,)]


def test_no_trial_lies_beyond_a_reference_that_none_has_reached() -> None:
    measured = frozenset({LATENCY.metric})
    context, history = few((0.80, 8.0), (0.75, 6.0))
    context = replace(context, reference={ACCURACY.metric: 0.5, LATENCY.metric: 2.0}, measured=measured)
    assert Promotion(context, history, range(2)).beyond(0) == ()
