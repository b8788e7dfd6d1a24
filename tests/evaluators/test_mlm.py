from __future__ import annotations

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


def test_a_hopeless_loss_has_a_finite_perplexity() -> None:
    given = Predictions(["a", "b"], np.array([[1e4, 0.0], [1e4, 0.0]]), None, None, TASK)
    assert np.isfinite(Mlm().score(given)["perplexity"].value)


def test_a_split_without_masked_tokens_cannot_be_scored() -> None:
    empty = Predictions(["a"], np.zeros((0, 2)), None, None, TASK, np.zeros(0, dtype=np.int64))
    with pytest.raises(DataError, match="No token of the split is masked"):
        Mlm().score(empty)
