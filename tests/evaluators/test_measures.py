from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from autodistill.components.outcome import Score
from autodistill.evaluators.measures import (
    binary_f1,
    draws,
    macro_f1,
    many_label_f1,
    matthews,
    pearson,
    spearman,
)

#: To the last digits of a float64: one unit is 2e-16, and sums of a few hundred terms round a little.
EXACT = 1e-14

classes = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40)
binary = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40)
# A few values, so that there are ties; huge and tiny ones beside each other.
numbers = st.sampled_from([-1e6, -2.0, -1e-3, 0.0, 1e-3, 1.0, 2.0, 2.5, 5.0, 1e6])
pairs = st.lists(st.tuples(numbers, numbers), min_size=3, max_size=40)


def columns(pairs: list[Any]) -> tuple[Any, Any]:
    left, right = np.array(pairs).T
    return left, right


def constant(values: Any) -> bool:
    return bool(np.all(values == values[0]))


@pytest.mark.filterwarnings("ignore:A single label was found:UserWarning")
@given(classes)
def test_matthews_is_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    labels, answers = columns(pairs)
    assert matthews(labels, answers, 5).value == pytest.approx(metrics.matthews_corrcoef(labels, answers), abs=EXACT)


@given(classes)
def test_macro_f1_is_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    labels, answers = columns(pairs)
    expected = metrics.f1_score(labels, answers, average="macro", zero_division=0)
    assert macro_f1(labels, answers, 5).value == pytest.approx(expected, abs=EXACT)


@given(binary)
def test_binary_f1_is_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    labels, answers = columns(pairs)
    assert binary_f1(labels, answers).value == pytest.approx(metrics.f1_score(labels, answers, zero_division=0))


@given(st.integers(1, 20), st.integers(1, 5), st.integers(0, 1000))
def test_f1_of_several_labels_is_scikit_learns(n: int, width: int, seed: int) -> None:
    labels, answers = np.random.default_rng(seed).integers(0, 2, size=(2, n, width))
    found = many_label_f1(labels, answers)
    for average in ("micro", "macro"):
        # scikit-learn takes a single column for a binary task of two classes
        wide = (np.hstack([values, np.zeros((n, 1), dtype=int)]) for values in (labels, answers))
        expected = metrics.f1_score(*wide, average=average, zero_division=0)
        expected *= (width + 1) / width if average == "macro" else 1
        assert found[f"{average}_f1"].value == pytest.approx(expected, abs=EXACT)


@given(pairs)
def test_correlations_are_scipys(pairs: list[tuple[float, float]]) -> None:
    labels, answers = columns(pairs)
    if constant(labels) or constant(answers):
        assert pearson(labels, answers).value == spearman(labels, answers).value == 0.0
        return
    expected = stats.pearsonr(labels, answers).statistic
    assert pearson(labels, answers).value == pytest.approx(expected, abs=1e-13)
    assert spearman(labels, answers).value == pytest.approx(stats.spearmanr(labels, answers).statistic, abs=EXACT)


def test_values_that_hardly_vary_are_still_correlated() -> None:
    labels = np.arange(50.0)
    assert pearson(labels, 3.0 + 1e-9 * labels).value == pytest.approx(1.0, abs=1e-6)
    assert pearson(labels, np.full(50, 0.1)).value == 0.0
    assert spearman(labels, np.full(50, 0.1)).value == 0.0


@pytest.mark.parametrize("name", ["matthews", "macro_f1", "binary_f1", "pearson", "spearman", "micro_f1"])
def test_weights_mean_that_examples_are_repeated(name: str) -> None:
    generator = np.random.default_rng(3)
    labels, answers = generator.integers(0, 2, size=(2, 30))
    scores, many = generator.choice([0.0, 1.0, 2.0, 7.5], size=(2, 30)), generator.integers(0, 2, size=(2, 30, 3))
    make: dict[str, Any] = {
        "matthews": lambda rows: matthews(labels[rows], answers[rows], 2),
        "macro_f1": lambda rows: macro_f1(labels[rows], answers[rows], 2),
        "binary_f1": lambda rows: binary_f1(labels[rows], answers[rows]),
        "pearson": lambda rows: pearson(scores[0][rows], scores[1][rows]),
        "spearman": lambda rows: spearman(scores[0][rows], scores[1][rows]),
        "micro_f1": lambda rows: many_label_f1(many[0][rows], many[1][rows])["micro_f1"],
    }
    whole = make[name](np.arange(30))
    for weights in draws(30, 20, seed=1):
        assert np.all(weights.sum(axis=1) == 30)
        repeated = [make[name](np.repeat(np.arange(30), row.astype(int))).value for row in weights]
        assert whole.weighted(weights) == pytest.approx(repeated, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", ["matthews", "macro_f1", "binary_f1"])
def test_the_worth_of_an_answer_is_what_a_wrong_one_takes(name: str, classes: int) -> None:
    generator, n = np.random.default_rng(2), 500
    labels = generator.choice(classes, size=n, p=[0.7, 0.3] if classes == 2 else [0.6, 0.3, 0.1])
    if name == "binary_f1":
        labels = (labels == 1).astype(np.int64)

    def score(answers: Any) -> Score:
        if name == "binary_f1":
            return binary_f1(labels, answers)
        return (matthews if name == "matthews" else macro_f1)(labels, answers, classes)

    kinds = 2 if name == "binary_f1" else classes
    taken = []
    for row in range(n):
        for step in range(1, kinds):
            answers = labels.copy()
            answers[row] = (answers[row] + step) % kinds
            taken.append(n * (1.0 - score(answers).value))
    assert score(labels).worth == pytest.approx(np.mean(taken), rel=0.02)


def test_the_variance_is_about_that_of_many_samples() -> None:
    generator = np.random.default_rng(0)

    def sample() -> tuple[Any, Any]:
        labels = generator.integers(0, 2, size=400)
        return labels, np.where(generator.random(400) < 0.8, labels, 1 - labels)

    seen = [matthews(*sample(), 2) for _ in range(200)]
    assert np.mean([score.variance for score in seen]) == pytest.approx(np.var([s.value for s in seen]), rel=0.3)


def test_a_single_example_has_no_variance() -> None:
    assert macro_f1(np.array([1]), np.array([1]), 2).variance is None


def test_large_splits_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(draws(7, 10, seed=0)))
    monkeypatch.setattr("autodistill.evaluators.measures.CHUNK", 21)
    parts = list(draws(7, 10, seed=0))
    assert [len(part) for part in parts] == [3, 3, 3, 1]
    assert np.array_equal(np.concatenate(parts), whole)
