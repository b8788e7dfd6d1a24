"""The trivial answer is the best constant one, whatever the metric."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.components.outcome import Evaluator, Predictions, metrics_of
from autodistill.components.task import TaskSpec
from autodistill.engine.trivial import best_of, constant_predictions
from autodistill.evaluators.agreement import Agreement
from autodistill.evaluators.classification import Classification
from autodistill.evaluators.glue import Glue
from autodistill.evaluators.mlm import Mlm
from autodistill.evaluators.regression import Regression
from autodistill.evaluators.squad import Squad
from autodistill.evaluators.token_classification import TokenClassification
from autodistill.testing.evaluators import TOY_TASKS, toy_predictions

CLASSES = TaskSpec("classification", ("0", "1", "2"), ("text",), "x.y")
SETS = TaskSpec("classification", ("a", "b", "c"), ("text",), "x.y", multi_label=True)


def trivial(evaluator: Evaluator, predictions: Predictions) -> Mapping[str, float]:
    scored = [
        {name: score.value for name, score in evaluator.score(constant).items()}
        for constant in constant_predictions(predictions)
    ]
    return best_of(scored, metrics_of(evaluator, predictions.task))


def predictions_of(task: TaskSpec, labels: Any, teacher: Any | None = None) -> Predictions:
    labels = np.asarray(labels)
    logits = np.zeros((len(labels), task.num_labels))
    return Predictions([str(row) for row in range(len(labels))], logits, labels, teacher, task)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30))
def test_no_constant_class_is_better(labels: list[int]) -> None:
    shown = predictions_of(CLASSES, labels)
    found = trivial(Classification(), shown)
    for one in range(3):
        logits = np.tile(np.eye(3)[one], (len(labels), 1))
        scores = Classification().score(Predictions(shown.ids, logits, shown.labels, None, CLASSES))
        assert found["accuracy"] >= scores["accuracy"].value
        assert found["macro_f1"] >= scores["macro_f1"].value
    shares = np.bincount(labels) / len(labels)
    entropy = -sum(share * np.log(share) for share in shares if share > 0)
    assert found["loss"] == pytest.approx(entropy, abs=1e-4)


@given(st.lists(st.tuples(*[st.booleans()] * 3), min_size=1, max_size=20))
def test_no_constant_set_of_labels_is_better(labels: list[tuple[bool, bool, bool]]) -> None:
    shown = predictions_of(SETS, np.array(labels, dtype=np.float32))
    found = trivial(Classification(), shown)
    for one in itertools.product((-1.0, 1.0), repeat=3):
        logits = np.tile(one, (len(labels), 1))
        scores = Classification().score(Predictions(shown.ids, logits, shown.labels, None, SETS))
        for name in ("accuracy", "micro_f1", "macro_f1"):
            assert found[name] >= scores[name].value - 1e-12


def test_a_rare_positive_class_makes_the_best_f1() -> None:
    task = TaskSpec("classification", ("0", "1"), ("a", "b"), "x.y", benchmark="glue/qqp")
    found = trivial(Glue(), predictions_of(task, [1] * 368 + [0] * 632))
    assert found["accuracy"] == pytest.approx(0.632)
    assert found["f1"] == pytest.approx(2 * 368 / (368 + 1000))  # every pair a duplicate
    assert found["score"] == pytest.approx((0.368 + 2 * 368 / 1368) / 2)  # the mean of both, which one answer must give


def test_agreement_counts_from_the_answers_of_the_teacher_not_from_the_labels() -> None:
    task = TaskSpec("classification", ("no", "yes"), ("text",), "x.y", label_free=True, test_labels=True)
    teacher = np.tile([2.0, -2.0], (10, 1))
    shown = predictions_of(task, [1] * 10, teacher)
    assert trivial(Agreement(min_class_examples=1), shown)["accuracy"] == 1.0
    assert trivial(Agreement(min_class_examples=1), shown)["kl"] == pytest.approx(0.0, abs=1e-9)
    assert trivial(Classification(), shown)["accuracy"] == 1.0  # another constant is best by the labels


def test_other_kinds_of_task() -> None:
    numbers = toy_predictions(TOY_TASKS["regression"], 0.5)
    found = trivial(Regression(), numbers)
    assert found["mse"] == pytest.approx(np.var(np.asarray(numbers.labels)), rel=1e-5)
    assert found["spearman"] == 0.0
    words = toy_predictions(TOY_TASKS["words"], 0.5)
    majority = np.bincount(np.asarray(words.labels)).max() / len(np.asarray(words.labels))
    assert trivial(TokenClassification(), words)["accuracy"] == pytest.approx(majority)
    assert trivial(Squad(null_threshold=0.0), toy_predictions(TOY_TASKS["questions"], 0.5))["f1"] == 0.0
    (vectors, _) = constant_predictions(toy_predictions(TOY_TASKS["embedding"], 0.5))
    assert len(np.unique(vectors.logits, axis=0)) == 1


def test_the_trivial_language_model_knows_the_frequencies() -> None:
    labels = np.array([7, 7, 7, 3])
    shown = Predictions(["a"], np.zeros((4, 2)), labels, None, TaskSpec("mlm", (), ("text",), "x.y"), np.zeros(4, int))
    found = trivial(Mlm(), shown)
    assert found["accuracy"] == 0.75
    assert found["loss"] == pytest.approx(-(3 * np.log(0.75) + np.log(0.25)) / 4)
