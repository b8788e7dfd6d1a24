from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autodistill.components.outcome import Predictions
from autodistill.components.task import TaskSpec
from autodistill.errors import DataError
from autodistill.evaluators.mlm import Mlm

TASK = TaskSpec("mlm", (), ("text",), "mlm.accuracy")


def test_scores_are_means_over_masked_tokens() -> None:
    owners = np.array([0, 0, 0, 1])
    logits = np.array([[1.0, 1], [2.0, 0], [3.0, 0], [6.0, 1]])
    scores = Mlm().score(Predictions(["a", "b"], logits, None, None, TASK, owners))
    assert scores["loss"].value == 3.0
    assert scores["accuracy"].value == 0.5
    assert scores["perplexity"].value == pytest.approx(np.exp(3.0))
    weighted = scores["perplexity"].weighted
    assert weighted is not None
    assert weighted(np.array([[0.0, 2.0], [1.0, 1.0]])) == pytest.approx(np.exp([6.0, 3.0]))


def test_what_is_sampled_are_documents_where_they_are_known() -> None:
    generator = np.random.default_rng(0)
    documents = np.repeat(np.arange(50), 20)
    loss = generator.normal(2.0, 0.5, size=50)[documents] + generator.normal(0.0, 0.5, size=1000)
    logits = np.stack([loss, (loss < 2.0).astype(np.float64)], axis=1)
    given = Predictions([""] * 1000, logits, None, None, TASK)
    alone, together = (Mlm().score(item)["loss"] for item in (given, replace(given, groups=documents)))
    assert together.value == alone.value
    assert (together.n, together.counted, alone.n) == (50, 1000, 1000)
    assert together.variance == pytest.approx(0.25 / 50 + 0.25 / 1000, rel=0.5)
    assert alone.variance == pytest.approx(0.5 / 1000, rel=0.5)


def test_a_hopeless_loss_has_a_finite_perplexity() -> None:
    given = Predictions(["a", "b"], np.array([[1e4, 0.0], [1e4, 0.0]]), None, None, TASK)
    assert np.isfinite(Mlm().score(given)["perplexity"].value)


def test_a_split_without_masked_tokens_cannot_be_scored() -> None:
    empty = Predictions(["a"], np.zeros((0, 2)), None, None, TASK, np.zeros(0, dtype=np.int64))
    with pytest.raises(DataError, match="No token of the split is masked"):
        Mlm().score(empty)
