from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from autodistill.components.outcome import Predictions
from autodistill.components.task import TaskSpec
from autodistill.errors import ConfigError
from autodistill.evaluators.configs import EmbeddingConfig
from autodistill.evaluators.embedding import Embedding

TASK = TaskSpec("embedding", (), ("text",), "embedding.retrieval")


def score(student: Any, teacher: Any, neighbours: int = 5) -> dict[str, float]:
    given = Predictions([str(i) for i in range(len(student))], student, None, teacher, TASK)
    return {name: item.value for name, item in Embedding(neighbours=neighbours).score(given).items()}


def test_retrieval_counts_common_neighbours_as_scikit_learn_finds_them() -> None:
    generator = np.random.default_rng(0)
    teacher = generator.normal(size=(80, 6))
    student = teacher + generator.normal(size=(80, 6))

    def nearest(vectors: Any) -> Any:
        return NearestNeighbors(n_neighbors=6, metric="cosine").fit(vectors).kneighbors(vectors)[1][:, 1:]

    expected = np.mean([np.isin(a, b).mean() for a, b in zip(nearest(student), nearest(teacher), strict=True)])
    assert score(student, teacher)["retrieval"] == pytest.approx(expected)


def test_lengths_do_not_matter_and_the_teacher_agrees_with_itself() -> None:
    teacher = np.random.default_rng(0).normal(size=(20, 4))
    assert score(3.0 * teacher, teacher) == pytest.approx({"retrieval": 1.0, "cosine": 1.0})
    assert score(teacher, None) == pytest.approx({"retrieval": 1.0, "cosine": 1.0})


def test_a_student_of_another_width_has_neighbours_but_no_cosine() -> None:
    teacher = np.random.default_rng(0).normal(size=(20, 4))
    found = score(np.hstack([teacher, teacher]), teacher)
    assert found["retrieval"] == 1.0
    assert np.isnan(found["cosine"])


def test_small_and_empty_vectors_are_no_trouble() -> None:
    assert score(np.ones((1, 3)), np.ones((1, 3)))["retrieval"] == 1.0
    assert score(np.zeros((4, 3)), np.ones((4, 3)), neighbours=50)["cosine"] == 0.0


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    student, teacher = generator.normal(size=(2, 30, 4))
    whole = score(student, teacher)
    monkeypatch.setattr("autodistill.evaluators.embedding._BLOCK", 70)
    assert score(student, teacher) == pytest.approx(whole)


@pytest.mark.parametrize("topics", [1, 8])
def test_equally_good_students_are_told_apart_no_more_often_than_by_chance(topics: int) -> None:
    generator, told_apart = np.random.default_rng(0), 0
    for _ in range(200):
        centres = generator.normal(size=(topics, 16))
        teacher = centres[generator.integers(0, topics, 150)] + 0.5 * generator.normal(size=(150, 16))
        students = teacher + 0.7 * generator.normal(size=(2, 150, 16))
        ours, theirs = (
            Embedding(neighbours=10).score(Predictions([""] * 150, student, None, teacher, TASK))["retrieval"]
            for student in students
        )
        assert ours.per_example is not None
        assert theirs.per_example is not None
        assert ours.per_example.mean() == pytest.approx(ours.value)
        gain = ours.per_example - theirs.per_example
        told_apart += abs(gain.mean()) > 1.96 * gain.std(ddof=1) / np.sqrt(150)
    assert told_apart <= 20  # of 200; 10 are expected, and 46 were when shares of texts counted as independent


def test_its_parameter_has_a_range() -> None:
    with pytest.raises(ConfigError, match=r"evaluator\.embedding\.neighbours must be >= 1, got 0"):
        EmbeddingConfig(neighbours=0)
