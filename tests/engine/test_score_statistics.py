from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from autodistill.components.outcome import Score
from autodistill.engine.score_statistics import (
    difference,
    difference_over_seeds,
    estimate,
    mcnemar,
    over_seeds,
)
from autodistill.engine.statistics import interval, paired_difference
from autodistill.evaluators.measures import (
    CORRELATION,
    LOSS,
    SHARE,
    ClassCounts,
    binary_f1,
    many_label_f1,
    matthews,
    pearson,
    pooled_mean,
)
from autodistill.evaluators.scoring import mean, proportion


def answers(generator: Any, labels: Any, accuracy: float) -> Any:
    return np.where(generator.random(len(labels)) < accuracy, labels, 1 - labels)


def test_a_mean_has_the_interval_of_its_contributions() -> None:
    right = np.random.default_rng(0).random(200) < 0.8
    found = estimate(proportion(right))
    assert (found.low, found.high) == interval(right.astype(float))
    assert found.n == 200


def test_a_metric_that_is_no_mean_is_resampled() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=400)
    y = 0.8 * x + 0.6 * generator.normal(size=400)
    found = estimate(pearson(x, y))
    # Fisher's interval is exact for normal variables.
    expected = stats.pearsonr(x, y).confidence_interval(0.95)
    assert found.low == pytest.approx(expected.low, abs=0.012)
    assert found.high == pytest.approx(expected.high, abs=0.012)


def test_a_value_alone_has_no_interval() -> None:
    found = estimate(Score(0.5))
    assert (found.value, found.low, found.high, found.n) == (0.5, None, None, None)
    assert difference(Score(0.5), Score(0.25)).value == 0.25
    assert difference(Score(0.5), proportion(np.array([True]))).low is None
    assert estimate(mean(np.array([0.3]))).low is None


def test_paired_answers_get_the_paired_bootstrap_and_mcnemars_test() -> None:
    generator = np.random.default_rng(0)
    left, right = (generator.random(300) < share for share in (0.9, 0.8))
    found = difference(proportion(left), proportion(right))
    assert (found.value, found.low, found.high) == paired_difference(left.astype(float), right.astype(float), 0)
    gained, lost = np.count_nonzero(left & ~right), np.count_nonzero(right & ~left)
    assert found.p_value == pytest.approx(stats.binomtest(int(gained), int(gained + lost)).pvalue)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_mcnemars_p_value_is_symmetric_and_a_probability(pairs: list[tuple[bool, bool]]) -> None:
    left, right = np.array(pairs).astype(float).T
    p_value = mcnemar(left, right)
    assert p_value is not None
    assert 0 < p_value <= 1
    assert p_value == pytest.approx(mcnemar(right, left))
    assert mcnemar(left, left) == 1.0


def test_mcnemars_test_needs_right_and_wrong() -> None:
    assert mcnemar(np.array([0.5, 1.0]), np.array([1.0, 1.0])) is None


def test_what_is_hard_for_both_does_not_widen_the_difference() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, size=400)
    common = answers(generator, labels, 0.7)
    better = np.where(generator.random(400) < 0.15, labels, common)
    ours, theirs = matthews(labels, better, 2), matthews(labels, common, 2)
    found = difference(ours, theirs)
    assert found.low is not None
    assert found.high is not None
    assert found.value == pytest.approx(ours.value - theirs.value)
    assert 0 < found.low < found.value < found.high
    alone = estimate(ours)
    assert alone.high is not None
    assert alone.low is not None
    assert found.high - found.low < alone.high - alone.low


def runs(generator: Any, labels: Any, accuracy: float, seeds: int) -> list[Score]:
    return [proportion(answers(generator, labels, accuracy) == labels) for _ in range(seeds)]


def test_several_seeds_are_averaged_and_their_spread_widens_the_interval() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, size=500)
    alike = [proportion(answers(generator, labels, 0.8) == labels)] * 5
    scattered = [score for share in (0.7, 0.75, 0.8, 0.85, 0.9) for score in runs(generator, labels, share, 1)]
    narrow, wide = over_seeds(alike), over_seeds(scattered)
    assert wide.value == pytest.approx(np.mean([score.value for score in scattered]))
    assert wide.seeds == 5
    assert wide.n == 500
    assert narrow.high - narrow.low < 0.8 * (wide.high - wide.low)  # type: ignore[operator]
    # Seeds that do not differ leave the sampling of examples.
    single = interval(np.asarray(alike[0].per_example))
    assert narrow.high - narrow.low == pytest.approx(single[1] - single[0], rel=0.05)  # type: ignore[operator]


def test_a_metric_over_few_groups_covers_the_truth() -> None:
    generator = np.random.default_rng(2)
    owners, covered = np.repeat(np.arange(5), 20), 0
    for _ in range(200):
        shares = np.clip(generator.normal(0.6, 0.15, size=5), 0, 1)
        score = pooled_mean((generator.random(100) < shares[owners]).astype(np.float64), owners, 5, bounds=(0.0, 1.0))
        found = estimate(score)
        covered += found.low <= 0.6 <= found.high  # type: ignore[operator]
    assert covered >= 182


@pytest.mark.parametrize(("n", "share"), [(30, 0.97), (100, 0.99)])
def test_shares_and_f1_without_an_error_are_not_certain(n: int, share: float) -> None:
    generator = np.random.default_rng(3)
    covered = {"share": 0, "f1": 0}
    for _ in range(200):
        right = generator.random(n) < share
        found = estimate(pooled_mean(right.astype(np.float64), np.arange(n), n, bounds=SHARE))
        covered["share"] += found.low <= share <= found.high  # type: ignore[operator]
        labels = (np.arange(n) % 2 == 0).astype(np.int64)
        f1 = estimate(binary_f1(labels, np.where(right, labels, 1 - labels)))
        covered["f1"] += f1.low <= share <= f1.high  # type: ignore[operator]
    assert min(covered.values()) >= 180
    assert estimate(pooled_mean(np.zeros(60), np.arange(60), 60, bounds=SHARE)).high > 0.03  # type: ignore[operator]


def test_losses_that_are_0_or_1_are_no_shares() -> None:
    assert estimate(mean(np.zeros(60), LOSS)).high is None
    assert estimate(mean(np.ones(60), CORRELATION)).low is None
    assert estimate(proportion(np.zeros(60, dtype=bool))).high > 0.05  # type: ignore[operator]
    assert estimate(mean(np.zeros(60))).high > 0.05  # type: ignore[operator]


def test_a_few_lucky_answers_are_no_proof_of_a_pooled_share_either() -> None:
    def model(right: int) -> Score:
        return pooled_mean((np.arange(872) < right).astype(np.float64), np.arange(872), 872, bounds=SHARE)

    few, many = difference(model(800), model(796)), difference(model(800), model(780))
    assert few.low is not None
    assert few.low < 0 < few.value
    assert many.low is not None
    assert many.low > 0
    plain = difference(proportion(np.arange(872) < 800), proportion(np.arange(872) < 796))
    assert few.low == pytest.approx(plain.low, abs=2e-4)


def pooled_accuracy(right: Any) -> Score:
    """Documents x answers: the share of right ones, and documents are sampled."""
    units, rows = right.shape
    return pooled_mean(right.ravel().astype(np.float64), np.repeat(np.arange(units), rows), units, bounds=SHARE)


def pooled_f1(right: Any) -> Score:
    """The same for the F1 of a class that every other answer is of."""
    units, rows = right.shape
    labels = (np.arange(right.size) % 2 == 0).astype(np.int64)
    given = np.where(right.ravel(), labels, 1 - labels)
    return ClassCounts(labels[:, None], given[:, None], np.repeat(np.arange(units), rows), units).micro_f1()


POOLED = pytest.mark.parametrize("metric", [pooled_accuracy, pooled_f1])


@POOLED
def test_a_gain_in_most_documents_is_as_sure_as_a_bootstrap_says(metric: Any) -> None:
    generator = np.random.default_rng(6)
    theirs = generator.random((50, 300)) < 0.6
    ours = np.where(theirs, generator.random(theirs.shape) < 0.97, generator.random(theirs.shape) < 0.1)
    found = difference(metric(ours), metric(theirs))
    assert found.value == pytest.approx(0.022, abs=0.01)
    assert found.low > 0  # type: ignore[operator]
    error = (ours.mean(axis=1) - theirs.mean(axis=1)).std() / np.sqrt(50)
    assert found.high - found.low < 1.25 * 2 * 1.96 * error  # type: ignore[operator]
    several = difference_over_seeds([metric(ours)] * 2, [metric(theirs)] * 2)
    assert 0 < several.low <= found.low + 0.002  # type: ignore[operator]


@POOLED
@pytest.mark.parametrize(("units", "rows"), [(50, 5), (500, 5), (500, 200), (2500, 5)])
@pytest.mark.parametrize(("lucky", "each"), [(1, 4), (4, 1), (4, 4)])
def test_lucky_answers_in_a_few_documents_are_no_proof(
    metric: Any, units: int, rows: int, lucky: int, each: int
) -> None:
    theirs = np.arange(units * rows).reshape(units, rows) % rows >= 4
    ours = theirs.copy()
    ours[:: units // lucky][:lucky, :each] = True
    found = difference(metric(ours), metric(theirs))
    assert found.value > 0 > found.low  # type: ignore[operator]
    assert difference_over_seeds([metric(ours)] * 2, [metric(theirs)] * 2).low < 0  # type: ignore[operator]
    ours[: units // 5, :each] = True
    assert difference(metric(ours), metric(theirs)).low > 0  # type: ignore[operator]


def test_differences_that_are_equal_in_all_documents_are_as_sure_as_these_are_many() -> None:
    right = np.arange(20 * 10).reshape(20, 10) % 10 < 5
    same = difference(pooled_accuracy(right), pooled_accuracy(right))
    assert same.high == pytest.approx(1.96 * np.sqrt(2) / 22, rel=1e-3)
    one_more = right.copy()
    one_more[:, 9] = True
    found = difference(pooled_accuracy(one_more), pooled_accuracy(right))
    assert found.high - found.low == pytest.approx(2 * same.high, rel=1e-3)  # type: ignore[operator]


def test_the_f1_of_many_labels_to_a_text_is_no_less_sure_than_its_texts_say() -> None:
    generator = np.random.default_rng(8)
    labels = (generator.random((100, 40)) < 0.5).astype(np.int64)
    theirs = np.where(generator.random(labels.shape) < 0.8, labels, 1 - labels)
    ours = np.where(generator.random(labels.shape) < 0.15, labels, theirs)
    found = difference(many_label_f1(labels, ours)["micro_f1"], many_label_f1(labels, theirs)["micro_f1"])
    assert 0.01 < found.low < found.value < found.high < 0.05  # type: ignore[operator]


@pytest.mark.parametrize("gains", [(5, 4), (5, 4, 4), (5, 4, 5, 4), (4, 4, 4)])
def test_a_few_documents_are_no_proof_however_alike_they_gain(gains: tuple[int, ...]) -> None:
    def scored(more: Sequence[int]) -> Score:
        return pooled_accuracy(np.stack([np.arange(200) < 156 + extra for extra in more]))

    found = difference(scored(gains), scored([0] * len(gains)))
    assert found.low is not None
    assert found.low < 0 < found.value


@pytest.mark.parametrize("metric", [binary_f1, lambda labels, answers: matthews(labels, answers, 2)])
def test_a_few_lucky_answers_are_no_proof_of_an_f1_or_of_matthews_coefficient(metric: Any) -> None:
    labels = (np.arange(1000) % 10 < 3).astype(np.int64)

    def model(wrong: int) -> Score:
        return metric(labels, np.where(np.arange(1000) < 800 - wrong, labels, 1 - labels))  # type: ignore[no-any-return]

    def judged(more: int) -> Any:
        return difference(model(0), model(more))

    assert judged(4).value > 0 > judged(4).low
    assert judged(25).low > 0
    assert judged(0).low < 0 < judged(0).high


@pytest.mark.parametrize("words", [1, 20])
def test_an_f1_of_many_answers_to_an_example_has_an_interval_around_it(words: int) -> None:
    generator, examples = np.random.default_rng(4), 100
    owners = np.repeat(np.arange(examples), words)
    labels = (generator.random(len(owners)) < 0.7).astype(np.int64)
    given = answers(generator, labels, 0.3)  # worse than chance: further from 1 than all answers are worth
    for score in (
        ClassCounts.of_classes(labels, given, 2, owners, examples).macro_f1(absent=False),
        ClassCounts((labels == 1)[:, None], (given == 1)[:, None], owners, examples).micro_f1(),
    ):
        found = estimate(score)
        assert found.low is not None
        assert found.high is not None
        assert score.value - 0.15 < found.low < score.value < found.high < score.value + 0.15


def test_matthews_coefficient_without_an_error_is_not_certain() -> None:
    generator, covered = np.random.default_rng(3), 0
    labels = (np.arange(100) % 10 < 3).astype(np.int64)
    # 0.99 right in both classes, of which 0.3 are positive: 0.21 (0.98) / sqrt(0.21 (0.304) (0.696)).
    truth = 0.21 * 0.98 / np.sqrt(0.21 * 0.304 * 0.696)
    for _ in range(200):
        right = generator.random(100) < 0.99
        found = estimate(matthews(labels, np.where(right, labels, 1 - labels), 2))
        covered += found.low <= truth <= found.high  # type: ignore[operator]
    assert covered >= 180
    assert estimate(matthews(labels, labels, 2)).low < 0.95  # type: ignore[operator]


@pytest.mark.parametrize(("n", "share"), [(30, 0.97), (100, 0.99)])
def test_several_runs_are_of_no_more_examples_than_one(n: int, share: float) -> None:
    generator, covered = np.random.default_rng(5), 0
    for _ in range(200):
        hard = generator.random(n)  # how hard an example is, is the same for all runs
        errors = 2 * (1 - share) * (hard > 0.5)
        found = over_seeds([proportion(generator.random(n) >= errors) for _ in range(5)])
        covered += found.low <= share <= found.high  # type: ignore[operator]
    assert covered >= 182
    one_error = [proportion(np.arange(30) > (-1 if run else 0)) for run in range(5)]
    several = over_seeds(one_error)
    assert several.low is not None
    assert several.low < 0.9


def test_a_single_run_scatters_as_the_runs_of_the_other_side() -> None:
    generator = np.random.default_rng(1)
    labels, covered = generator.integers(0, 2, size=200), 0
    for _ in range(200):
        shares = generator.normal(0.8, 0.03, size=1), generator.normal(0.75, 0.03, size=3)
        ours, theirs = ([runs(generator, labels, one, 1)[0] for one in group] for group in shares)
        found = difference_over_seeds(ours, theirs)
        covered += found.low <= 0.05 <= found.high  # type: ignore[operator]
    assert covered >= 184


def test_intervals_do_not_leave_what_the_metric_can_be() -> None:
    nearly = [proportion(np.arange(40) >= wrong) for wrong in (0, 1, 3)]
    found = over_seeds(nearly)
    assert found.high == 1.0
    assert found.low is not None
    assert found.low < found.value
    labels = np.arange(8) % 2
    coefficients = over_seeds([matthews(labels, answered, 2) for answered in (labels, labels, np.roll(labels, 4) * 0)])
    assert coefficients.low is not None
    assert coefficients.low >= -1.0
    assert coefficients.high == 1.0
    losses = over_seeds([Score(2.0, None, np.array([1.0, 3.0])), Score(5.0, None, np.array([4.0, 6.0]))])
    assert losses.low is not None
    assert losses.low < 0  # a loss has no bounds that are known


def test_one_seed_is_the_plain_estimate() -> None:
    score = proportion(np.random.default_rng(0).random(100) < 0.6)
    assert over_seeds([score]) == estimate(score)
    assert difference_over_seeds([score], [score]) == difference(score, score)


def test_differences_over_seeds_cover_the_truth() -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        labels = generator.integers(0, 2, size=200)
        shares = generator.normal(0.8, 0.03, size=3), generator.normal(0.75, 0.03, size=3)
        ours, theirs = ([runs(generator, labels, one, 1)[0] for one in group] for group in shares)
        found = difference_over_seeds(ours, theirs)
        covered += found.low <= 0.05 <= found.high  # type: ignore[operator]
    assert covered >= 184  # 200 draws of 95 %: fewer than 184 happens once in a thousand times


def test_metrics_that_are_no_means_are_combined_too() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, size=300)
    ours, theirs = ([matthews(labels, answers(generator, labels, share), 2) for _ in range(3)] for share in (0.9, 0.7))
    found = difference_over_seeds(ours, theirs)
    assert found.low is not None
    assert found.low > 0
    assert found.seeds == 3
    assert over_seeds([Score(0.5), Score(0.7)]).low is None


@pytest.mark.parametrize(
    "metric", [lambda labels, given: proportion(labels == given), lambda labels, given: matthews(labels, given, 2)]
)
def test_a_few_lucky_answers_are_no_proof_over_seeds_either(metric: Any) -> None:
    labels = (np.arange(1000) % 10 < 3).astype(np.int64)

    def runs_of(right: int) -> list[Score]:
        """Three runs that answer alike."""
        return [metric(labels, np.where(np.arange(1000) < right, labels, 1 - labels))] * 3

    few = difference_over_seeds(runs_of(804), runs_of(800))
    assert few.value > 0 > few.low  # type: ignore[operator]
    assert difference_over_seeds(runs_of(840), runs_of(800)).low > 0  # type: ignore[operator]


def test_a_share_that_does_not_say_that_it_is_one_is_no_surer_over_seeds() -> None:
    """As a plugin's evaluator may give it: contributions, and nothing else."""

    def runs(*rights: int, n: int, bounds: tuple[float, float] | None) -> list[Score]:
        return [Score(right / n, per_example=(np.arange(n) < right).astype(float), bounds=bounds) for right in rights]

    gains = [
        difference_over_seeds(runs(*[804] * 3, n=1000, bounds=bounds), runs(*[800] * 3, n=1000, bounds=bounds))
        for bounds in (None, SHARE)
    ]
    assert gains[0] == gains[1]
    assert gains[0].low is not None
    assert gains[0].low < 0, "four lucky answers of a thousand"
    means = [over_seeds(runs(40, 39, 40, n=40, bounds=bounds)) for bounds in (None, SHARE)]
    assert means[0] == means[1]
    assert means[0].high == 1.0


def test_seeds_that_all_answer_alike_are_as_sure_as_one() -> None:
    perfect = proportion(np.ones(10, dtype=bool))
    found = over_seeds([perfect] * 3)
    assert (found.low, found.high) == interval(np.ones(10))
    assert found.seeds == 3
    same = difference_over_seeds([perfect] * 3, [perfect] * 3)
    assert same.low is not None
    assert same.low < 0 < same.high  # type: ignore[operator]
