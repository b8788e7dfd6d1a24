from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import mean_absolute_error, mean_squared_error

from autodistill.components.outcome import Predictions
from autodistill.components.task import TaskSpec
from autodistill.errors import DataError
from autodistill.evaluators.regression import Regression

TASK = TaskSpec("regression", (), ("text",), "regression.spearman")


def predictions(answers: Any, labels: Any) -> Predictions:
    return Predictions([str(i) for i in range(len(answers))], np.asarray(answers)[:, None], labels, None, TASK)


def test_scores_are_those_of_scipy_and_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    labels = generator.choice([0.0, 1.0, 2.0, 5.0], size=100)
    answers = labels + generator.normal(size=100)
    scores = Regression().score(predictions(answers, labels))
    assert scores["spearman"].value == pytest.approx(stats.spearmanr(labels, answers).statistic, abs=1e-14)
    assert scores["pearson"].value == pytest.approx(stats.pearsonr(labels, answers).statistic, abs=1e-14)
    assert scores["mse"].value == pytest.approx(mean_squared_error(labels, answers))
    assert scores["mae"].value == pytest.approx(mean_absolute_error(labels, answers))


def test_constant_answers_have_no_correlation() -> None:
    scores = Regression().score(predictions([2.0, 2.0, 2.0], np.array([1.0, 2.0, 4.0])))
    assert scores["spearman"].value == scores["pearson"].value == 0.0


@pytest.mark.parametrize("labels", [None, [1.0], [1.0, np.nan]])
def test_values_that_cannot_be_scored_against_are_told(labels: Any) -> None:
    with pytest.raises(DataError, match=r"[Rr]eference values"):
        Regression().score(predictions([1.0, 2.0], labels))
