from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss

from autodistill.components.outcome import Predictions
from autodistill.components.task import TaskSpec
from autodistill.evaluators.token_classification import TokenClassification

TASK = TaskSpec("token_classification", ("O", "B", "I"), ("words",), "token_classification.f1")


def predictions(seed: int = 0) -> Predictions:
    """Sentences of one class each that are right or wrong as a whole."""
    generator = np.random.default_rng(seed)
    owners = np.repeat(np.arange(100), generator.integers(1, 20, size=100))
    labels = generator.integers(0, 3, size=100)[owners]
    wrong = generator.random(100)[owners] < 0.3
    logits = 3.0 * np.eye(3)[np.where(wrong, (labels + 1) % 3, labels)]
    return Predictions([str(i) for i in range(100)], logits, labels, None, TASK, owners)


def test_words_are_scored_together_as_scikit_learn_does() -> None:
    given = predictions()
    labels, answers = np.asarray(given.labels), given.logits.argmax(axis=1)
    scores = TokenClassification().score(given)
    assert scores["f1"].value == pytest.approx(f1_score(labels, answers, labels=[1, 2], average="micro"), abs=1e-15)
    assert scores["macro_f1"].value == pytest.approx(f1_score(labels, answers, average="macro"), abs=1e-15)
    assert scores["accuracy"].value == pytest.approx(accuracy_score(labels, answers))
    exponentials = np.exp(given.logits)
    shares = exponentials / exponentials.sum(axis=1, keepdims=True)
    assert scores["loss"].value == pytest.approx(log_loss(labels, shares))


def test_sentences_are_what_is_sampled() -> None:
    given = predictions()
    score = TokenClassification().score(given)["accuracy"]
    assert score.n == 100
    assert score.variance > 2 * score.value * (1 - score.value) / len(np.asarray(given.labels))  # type: ignore[operator]


def test_what_it_does_not_score_it_says() -> None:
    evaluator = TokenClassification()
    assert "the task is mlm" in str(evaluator.supports(TaskSpec("mlm", (), ("text",), "x.y")))
    free = TaskSpec("token_classification", ("O",), ("words",), "x.y", label_free=True)
    assert "use the evaluator 'agreement'" in str(evaluator.supports(free))
