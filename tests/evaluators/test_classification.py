from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, hamming_loss, log_loss, matthews_corrcoef

from autodistill.components.outcome import Predictions
from autodistill.components.task import TaskSpec
from autodistill.errors import DataError, TrialError
from autodistill.evaluators.classification import Classification
from autodistill.evaluators.measures import macro_f1

TASK = TaskSpec("classification", ("a", "b", "c"), ("text",), "classification.accuracy")


def predictions(logits: Any, labels: Any, task: TaskSpec = TASK) -> Predictions:
    return Predictions([str(number) for number in range(len(logits))], np.asarray(logits), labels, None, task)


def sample(n: int = 300, classes: int = 3, seed: int = 0) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    labels = generator.choice(classes, size=n, p=[0.7, 0.2, 0.1])
    return generator.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels], labels


def test_scores_agree_with_scikit_learn() -> None:
    logits, labels = sample()
    scores = Classification().score(predictions(logits.astype(np.float32), labels))
    exponentials = np.exp(logits)
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    answers = logits.argmax(axis=1)
    assert scores.keys() == Classification().metrics_of(TASK).keys()
    assert scores["matthews"].value == pytest.approx(matthews_corrcoef(labels, answers))
    assert scores["accuracy"].value == pytest.approx(accuracy_score(labels, answers))
    assert scores["macro_f1"].value == pytest.approx(f1_score(labels, answers, average="macro"))
    assert scores["loss"].value == pytest.approx(log_loss(labels, probabilities), rel=1e-5)


def test_contributions_of_examples_have_the_score_as_their_mean() -> None:
    logits, labels = sample()
    scores = Classification().score(predictions(logits, labels))
    for name in ("accuracy", "loss"):
        contributions = scores[name].per_example
        assert contributions is not None
        assert contributions.shape == (300,)
        assert contributions.mean() == pytest.approx(scores[name].value)
    share = scores["accuracy"].value
    assert scores["accuracy"].variance == pytest.approx(share * (1 - share) / 300)
    assert scores["macro_f1"].per_example is None


def test_the_variance_of_macro_f1_is_that_of_the_bootstrap() -> None:
    logits, labels = sample(n=600)
    answers = logits.argmax(axis=1)
    generator = np.random.default_rng(0)
    rows = generator.integers(0, 600, size=(600, 600))
    resampled = np.var([macro_f1(labels[row], answers[row], 3).value for row in rows])
    assert macro_f1(labels, answers, 3).variance == pytest.approx(resampled, rel=0.2)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30))
def test_macro_f1_is_scikit_learns_for_any_answers(pairs: list[tuple[int, int]]) -> None:
    labels, answers = np.array(pairs).T
    score = macro_f1(labels, answers, 5)
    assert score.value == pytest.approx(f1_score(labels, answers, average="macro", zero_division=0))
    assert score.variance is None if len(pairs) == 1 else score.variance >= 0  # type: ignore[operator]


MANY = TaskSpec("classification", ("a", "b", "c"), ("text",), "classification.micro_f1", multi_label=True)


def test_several_labels_are_scored_as_scikit_learn_does() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, size=(200, 3))
    logits = generator.normal(size=(200, 3)) + 2.0 * (2 * labels - 1)
    labels[:, 2] = 0  # a class that never occurs
    scores = Classification().score(predictions(logits, labels.astype(np.float32), MANY))
    answers, shares = logits > 0, 1 / (1 + np.exp(-logits))
    assert scores.keys() == Classification().metrics_of(MANY).keys()
    assert scores["accuracy"].value == accuracy_score(labels, answers)
    assert scores["micro_f1"].value == pytest.approx(f1_score(labels, answers, average="micro"), abs=1e-15)
    assert scores["macro_f1"].value == pytest.approx(f1_score(labels, answers, average="macro"), abs=1e-15)
    expected = np.mean([log_loss(labels[:, one], shares[:, one], labels=[0, 1]) for one in range(3)])
    assert scores["loss"].value == pytest.approx(expected)
    assert hamming_loss(labels, answers) > 0
    with pytest.raises(DataError, match=r"0 or 1 for every example and class \(200 x 3\), got shape \(200,\)"):
        Classification().score(predictions(logits, labels[:, 0], MANY))


def test_large_logits_give_a_finite_loss() -> None:
    scores = Classification().score(predictions([[1e4, 0.0, 0.0], [0.0, 1e4, 0.0]], [0, 0]))
    assert scores["loss"].value == pytest.approx(5000)


def test_a_model_that_diverged_is_not_scored() -> None:
    with pytest.raises(TrialError, match="The logits of 1 of 2 examples are not finite: the model has diverged"):
        Classification().score(predictions([[np.nan, 0.0, 0.0], [0.0, 1.0, 0.0]], [0, 0]))


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (None, "no labels to score against; use the evaluator 'agreement'"),
        ([0], r"one per example \(2\), got shape \(1,\)"),
        ([0, 3], r"in 0 ... 2, got 0 ... 3"),
        ([-1, 2], r"in 0 ... 2, got -1 ... 2"),
    ],
)
def test_labels_that_cannot_be_scored_against_are_told(labels: Any, match: str) -> None:
    with pytest.raises(DataError, match=match):
        Classification().score(predictions(np.eye(3)[:2], labels))


@pytest.mark.parametrize("logits", [np.zeros(2), np.zeros((0, 3))])
def test_logits_of_another_shape_are_refused(logits: Any) -> None:
    with pytest.raises(ValueError, match="Logits must be examples x classes"):
        Classification().score(predictions(logits, np.zeros(len(logits), dtype=int)))


def test_it_supports_classification_with_labels_only() -> None:
    evaluator = Classification()
    assert evaluator.supports(TASK) is None
    assert "agreement" in str(evaluator.supports(TaskSpec("classification", (), ("text",), "x.y", label_free=True)))
    assert "the task is regression" in str(evaluator.supports(TaskSpec("regression", (), ("text",), "x.y")))
    with pytest.raises(NotImplementedError, match="scores predictions"):
        evaluator.describe(None)  # type: ignore[arg-type]
