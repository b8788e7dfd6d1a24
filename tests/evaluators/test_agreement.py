from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, entropy

from autodistill.components.outcome import Predictions
from autodistill.components.task import TaskSpec
from autodistill.engine.score_statistics import estimate, over_seeds
from autodistill.errors import ConfigError, TrialError
from autodistill.evaluators.agreement import Agreement
from autodistill.evaluators.configs import AgreementConfig

TASK = TaskSpec("classification", (), ("text",), "agreement.accuracy", label_free=True)


def predictions(student: Any, teacher: Any) -> Predictions:
    return Predictions([str(number) for number in range(len(student))], student, None, teacher, TASK)


def agreement(min_class_examples: int = 1) -> Agreement:
    return Agreement(min_class_examples=min_class_examples)


def logits(n: int = 200, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)


@pytest.mark.parametrize("teacher", [None, logits()])
def test_the_teacher_agrees_with_itself(teacher: Any) -> None:
    scores = agreement().score(predictions(logits(), teacher))
    assert {name: score.value for name, score in scores.items()} == {"accuracy": 1.0, "kl": 0.0, "worst_class": 1.0}


def test_the_divergence_is_that_of_teacher_and_student_in_nats() -> None:
    student, teacher = logits(seed=1).astype(np.float64), logits(seed=2).astype(np.float64)
    score = agreement().score(predictions(student, teacher))["kl"]
    assert score.value == pytest.approx(entropy(np.exp(teacher), np.exp(student), axis=1).mean())
    assert score.variance == pytest.approx(score.per_example.var(ddof=1) / 200)  # type: ignore[union-attr]


def test_words_that_agree_together_are_one_answer_to_the_variance_of_the_worst_class() -> None:
    task = TaskSpec("token_classification", (), ("words",), "agreement.accuracy", label_free=True)
    together = np.random.default_rng(0).random(100) < 0.6  # of 100 sentences, each with 20 words
    student = np.where(np.repeat(together, 20)[:, None], [1.0, 0.0], [0.0, 1.0])
    teacher = np.tile([1.0, 0.0], (2000, 1))
    scored = agreement().score(Predictions([""] * 100, student, None, teacher, task, np.repeat(np.arange(100), 20)))[
        "worst_class"
    ]
    assert scored.variance == pytest.approx(together.mean() * (1 - together.mean()) / 100)
    assert scored.counted == 2000


@given(st.integers(0, 1000), st.floats(-50, 50))
def test_the_divergence_is_not_negative_and_ignores_a_shift_of_logits(seed: int, shift: float) -> None:
    student, teacher = logits(20, seed).astype(np.float64), logits(20, seed + 1).astype(np.float64)
    score = agreement().score(predictions(student, teacher))["kl"]
    assert score.per_example is not None
    assert score.per_example.min() >= 0
    shifted = agreement().score(predictions(student + shift, teacher))["kl"]
    assert shifted.value == pytest.approx(score.value)


def test_the_worst_class_is_the_one_that_was_unlearnt() -> None:
    teacher = np.eye(3)[[0] * 20 + [1] * 20 + [2] * 4]
    student = np.eye(3)[[0] * 20 + [1] * 15 + [0] * 5 + [0] * 4]
    scores = agreement(min_class_examples=10).score(predictions(student, teacher))
    assert scores["accuracy"].value == pytest.approx(35 / 44)
    assert scores["worst_class"].value == 0.75
    assert scores["worst_class"].variance == pytest.approx(0.75 * 0.25 / 20)
    found = estimate(scores["worst_class"])
    assert found.n == 20  # of its class
    both = binomtest(15, 20).proportion_ci(1 - 0.05 / 2, "wilson")  # of two classes that are frequent enough
    assert (found.low, found.high) == pytest.approx((both.low, both.high))
    assert agreement(min_class_examples=4).score(predictions(student, teacher))["worst_class"].value == 0
    # All classes are rare: the most frequent ones count.
    assert agreement(min_class_examples=50).score(predictions(student, teacher))["worst_class"].value == 0.75


def test_models_with_different_classes_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 3\), the teacher's \(2, 2\)"):
        agreement().score(predictions(np.zeros((2, 3)), np.zeros((2, 2))))


def test_a_model_that_diverged_is_not_scored() -> None:
    with pytest.raises(TrialError, match="2 of 2 examples are not finite"):
        agreement().score(predictions(np.full((2, 3), np.inf), np.zeros((2, 3))))


def test_it_supports_classification_with_and_without_labels() -> None:
    assert agreement().supports(TASK) is None
    assert "the task is mlm" in str(agreement().supports(TaskSpec("mlm", (), ("text",), "x.y")))
    with pytest.raises(NotImplementedError, match="scores predictions"):
        agreement().describe(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("words", [1, 5])
def test_the_interval_of_the_worst_class_covers_what_is_true_of_it(words: int) -> None:
    """Twenty classes, of each of which nine of ten answers are shared; words of one text are shared or not together."""
    generator, covered = np.random.default_rng(0), 0
    task = TaskSpec("token_classification", tuple(map(str, range(20))), ("words",), "x.y")
    owners = np.repeat(np.arange(1000), words)
    for _ in range(60):
        answers = np.repeat(generator.integers(0, 20, 1000), words)
        shared = np.repeat(generator.random(1000) < 0.9, words)
        student, teacher = np.eye(20)[np.where(shared, answers, (answers + 1) % 20)], np.eye(20)[answers]
        scored = agreement().score(Predictions([""] * 1000, student, None, teacher, task, owners))["worst_class"]
        found = estimate(scored)
        assert found.low is not None
        assert found.high is not None
        assert found.low <= scored.value <= found.high
        covered += found.low <= 0.9 <= found.high
    assert covered >= 53  # of 60: 57 are expected, and none were when it was bootstrapped
    wider = over_seeds([scored, replace(scored, value=scored.value - 0.01)])
    assert (wider.low, wider.high, wider.seeds) == (found.low, found.high, 2)
    assert wider.value == pytest.approx(scored.value - 0.005)


def test_its_parameter_has_a_range() -> None:
    with pytest.raises(ConfigError, match=r"evaluator\.agreement\.min_class_examples must be >= 1, got 0\."):
        AgreementConfig(min_class_examples=0)


def test_several_labels_agree_when_all_decisions_do() -> None:
    task = TaskSpec("classification", ("a", "b"), ("text",), "x.y", multi_label=True)
    teacher = np.array([[2.0, -1.0], [2.0, 1.0], [-1.0, -3.0], [-1.0, 2.0]])
    student = np.array([[1.0, -1.0], [2.0, -1.0], [-1.0, -3.0], [-1.0, 2.0]])
    given_ones = Predictions(["0", "1", "2", "3"], student, None, teacher, task)
    scores = agreement().score(given_ones)
    assert scores["accuracy"].value == 0.75
    assert scores["worst_class"].value == 0.5  # one of two positive answers of class b

    def bernoulli(logits: Any) -> Any:
        share = 1 / (1 + np.exp(-logits))
        return np.stack([share, 1 - share])

    expected = entropy(bernoulli(teacher), bernoulli(student), axis=0).sum(axis=1).mean()
    assert scores["kl"].value == pytest.approx(expected)
    never = Predictions(["0"], np.array([[1.0, 1.0]]), None, np.array([[-1.0, -1.0]]), task)
    assert agreement().score(never)["worst_class"].value == 1.0


def test_words_are_compared_one_by_one() -> None:
    task = TaskSpec("token_classification", ("a", "b"), ("words",), "x.y")
    owners = np.array([0, 0, 0, 1])
    student, teacher = np.eye(2)[[0, 0, 1, 1]], np.eye(2)[[0, 1, 1, 1]]
    scores = agreement().score(Predictions(["s", "t"], student, None, teacher, task, owners))
    assert scores["accuracy"].value == 0.75
    assert scores["accuracy"].n == 2
    assert scores["worst_class"].value == pytest.approx(2 / 3)
