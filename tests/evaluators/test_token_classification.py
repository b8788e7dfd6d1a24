from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss

from autodistill.components.outcome import Predictions
from autodistill.components.task import TaskSpec
from autodistill.evaluators.entities import are_entity_tags, entities, entity_f1
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


def test_entities_are_those_of_seqeval() -> None:
    names = ("O", "B-MISC", "I-MISC", "B-PER", "I-PER")

    def tags(*sentences: str) -> Any:
        return np.array([names.index(tag) for sentence in sentences for tag in sentence.split()])

    owners = np.repeat([0, 1], [7, 3])
    wanted = tags("O O O B-MISC I-MISC I-MISC O", "B-PER I-PER O")
    given = tags("O O B-MISC I-MISC I-MISC I-MISC O", "B-PER I-PER O")
    task = replace(TASK, labels=names)
    score = TokenClassification().score(Predictions(["a", "b"], np.eye(5)[given], wanted, None, task, owners))
    assert score["entity_f1"].value == 0.5  # the example in seqeval's README
    assert score["f1"].value > 0.7  # most words are right all the same
    assert score["entity_f1"].n == 2
    assert entities(tags("I-PER I-PER B-PER O I-MISC I-PER", "I-PER"), names, np.array([0] * 6 + [1])).tolist() == [
        [0, 2, 1],  # begins without B
        [2, 3, 1],
        [4, 5, 0],
        [5, 6, 1],  # another type
        [6, 7, 1],  # another sentence
    ]
    assert entity_f1(np.zeros(3, int), np.zeros(3, int), names, np.zeros(3, int), 1).value == 0.0


def test_entities_of_all_tag_schemes() -> None:
    for names in (("O", "B-A", "I-A", "E-A", "S-A"), ("O", "B-A", "I-A", "L-A", "U-A")):
        tags = np.array([4, 1, 2, 3, 1, 3, 4, 4, 0, 1, 2])
        assert entities(tags, names, np.zeros(11, int))[:, :2].tolist() == [
            *([0, 1], [1, 4], [4, 6], [6, 7], [7, 8], [9, 11])
        ]
        assert are_entity_tags(names)
    assert are_entity_tags(("O", "B", "I"))
    for classes in (("O", "NAME"), ("O", "S", "L"), ("NOUN", "B-PER"), ("O",)):
        assert not are_entity_tags(classes)
        task = replace(TASK, labels=classes)
        assert "entity_f1" not in TokenClassification().metrics_of(task)


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
