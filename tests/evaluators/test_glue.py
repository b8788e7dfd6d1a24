from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from autodistill.components.outcome import Predictions, Score
from autodistill.components.task import TaskSpec
from autodistill.engine.score_statistics import difference, estimate
from autodistill.evaluators.glue import Glue
from autodistill.evaluators.glue_tasks import GLUE_METRICS, glue_average, task_of
from autodistill.evaluators.scoring import proportion


def task(name: str) -> TaskSpec:
    if name == "stsb":
        return TaskSpec("regression", (), ("a", "b"), "glue.score", benchmark="glue/stsb")
    labels = ("0", "1", "2") if name == "mnli" else ("0", "1")
    return TaskSpec("classification", labels, ("a", "b"), "glue.score", benchmark=f"glue/{name}")


def predictions(name: str, n: int = 200, seed: int = 0, ids: list[str] | None = None) -> Predictions:
    generator = np.random.default_rng(seed)
    ids = ids or [str(number) for number in range(n)]
    if name == "stsb":
        labels: Any = generator.choice([0.0, 1.0, 2.5, 5.0], size=n).astype(np.float32)
        return Predictions(ids, labels[:, None] + generator.normal(size=(n, 1)), labels, None, task(name))
    width = 3 if name == "mnli" else 2
    labels = generator.integers(0, width, size=n)
    logits = generator.normal(size=(n, width)) + np.eye(width)[labels]
    return Predictions(ids, logits, labels, None, task(name))


@pytest.mark.parametrize("name", GLUE_METRICS)
def test_official_metrics_are_those_of_scikit_learn_and_scipy(name: str) -> None:
    given_ones = predictions(name)
    labels = np.asarray(given_ones.labels)
    answers = given_ones.logits[:, 0] if name == "stsb" else given_ones.logits.argmax(axis=1)
    expected = {
        "accuracy": lambda: metrics.accuracy_score(labels, answers),
        "f1": lambda: metrics.f1_score(labels, answers),
        "matthews": lambda: metrics.matthews_corrcoef(labels, answers),
        "pearson": lambda: stats.pearsonr(labels, answers).statistic,
        "spearman": lambda: stats.spearmanr(labels, answers).statistic,
    }
    scores = Glue().score(given_ones)
    wanted = [metric for metric in GLUE_METRICS[name] if metric in expected]
    assert set(scores) == {"score", *wanted}
    for metric in wanted:
        assert scores[metric].value == pytest.approx(expected[metric](), abs=1e-14)
    assert scores["score"].value == pytest.approx(np.mean([scores[metric].value for metric in wanted]))


def test_mnli_has_two_parts_that_are_told_apart_by_their_ids() -> None:
    ids = [f"{'mismatched-' if number >= 120 else ''}{number}" for number in range(200)]
    given_ones = predictions("mnli", ids=ids)
    right = given_ones.logits.argmax(axis=1) == given_ones.labels
    scores = Glue().score(given_ones)
    assert scores["accuracy"].value == pytest.approx(right[:120].mean())
    assert scores["accuracy_mismatched"].value == pytest.approx(right[120:].mean())
    assert scores["score"].value == pytest.approx((right[:120].mean() + right[120:].mean()) / 2)
    assert [estimate(scores[name]).n for name in ("accuracy", "accuracy_mismatched", "score")] == [120, 80, 200]
    weighted = scores["accuracy"].weighted
    assert weighted is not None
    assert weighted(np.eye(200)[199:]) == [0.0]  # no matched example was drawn


def test_names_of_tasks_are_read_in_their_usual_spellings() -> None:
    assert [task_of(f"glue/{name}") for name in ("SST-2", "sst2", "STS-B", "CoLA")] == ["sst2", "sst2", "stsb", "cola"]
    assert task_of("glue/imdb") is None
    assert task_of("squad/1.1") is None
    assert task_of("") is None


def test_other_tasks_are_not_scored() -> None:
    assert "the task is classification" in str(Glue().supports(TaskSpec("classification", ("a",), ("text",), "x.y")))
    assert "the task is squad/1.1" in str(
        Glue().supports(TaskSpec("question_answering", (), ("q", "c"), "x.y", benchmark="squad/1.1"))
    )


#: Test scores in BERT's Table 1 (Devlin et al. 2019): MNLI-m and -mm, QQP, QNLI, SST-2, CoLA, STS-B, MRPC, RTE, mean.
TABLE = [
    ("BERT base", (84.6, 83.4, 71.2, 90.5, 93.5, 52.1, 85.8, 88.9, 66.4), 79.6),
    ("BERT large", (86.7, 85.9, 72.1, 92.7, 94.9, 60.5, 86.5, 89.3, 70.1), 82.1),
    ("OpenAI GPT", (82.1, 81.4, 70.3, 87.4, 91.3, 45.4, 80.0, 82.3, 56.0), 75.1),
]


@pytest.mark.parametrize(("name", "scores", "average"), TABLE, ids=[row[0] for row in TABLE])
def test_the_usual_average_is_that_of_published_rows(name: str, scores: tuple[float, ...], average: float) -> None:
    matched, mismatched, qqp, qnli, sst2, cola, stsb, mrpc, rte = scores
    values = {
        "mnli": {"accuracy": matched, "accuracy_mismatched": mismatched},
        "qqp": {"f1": qqp, "accuracy": 0.0},
        "qnli": {"accuracy": qnli},
        "sst2": {"accuracy": sst2},
        "cola": {"matthews": cola},
        "stsb": {"spearman": stsb, "pearson": 0.0},
        "mrpc": {"f1": mrpc, "accuracy": 0.0},
        "rte": {"accuracy": rte},
        "wnli": {"accuracy": 0.0},
    }
    found = glue_average(
        "paper",
        {task: {metric: entry(value, None, None) for metric, value in row.items()} for task, row in values.items()},
    )
    assert found is not None
    assert round(found.value, 1) == average
    assert (found.low, found.high) == (None, None)
    assert found.missing == ()
    assert "wnli" not in found.tasks


def test_a_part_of_mnli_is_no_surer_than_its_own_answers() -> None:
    """A twentieth of the split is mismatched; a difference on it is that of so few examples."""
    ids = [f"mismatched-{n}" if n < 50 else str(n) for n in range(1000)]
    labels = np.arange(1000) % 3

    def scores(wrong: int) -> Mapping[str, Score]:
        answers = np.where(np.arange(1000) < wrong, (labels + 1) % 3, labels)
        return Glue().score(Predictions(ids, np.eye(3)[answers], labels, None, task("mnli")))

    few, own = difference(scores(0)["accuracy_mismatched"], scores(4)["accuracy_mismatched"]), np.arange(50)
    alone = difference(proportion(own >= 0), proportion(own >= 4))
    assert few.value == pytest.approx(alone.value)
    assert few.value > 0 > few.low  # type: ignore[operator]
    assert (few.low, few.high) == pytest.approx((alone.low, alone.high), abs=0.015)
    assert difference(scores(0)["accuracy_mismatched"], scores(15)["accuracy_mismatched"]).low > 0  # type: ignore[operator]
    assert scores(0)["score"].worth == pytest.approx(1.0)  # an answer counts in one part alone
    whole = estimate(scores(0)["accuracy_mismatched"])
    assert (whole.low, whole.high) == pytest.approx((estimate(proportion(own >= 0)).low, 1.0), abs=0.01)


def test_both_parts_of_mnli_come_from_one_model() -> None:
    def entry(value: float, half: float) -> dict[str, float]:
        return {"value": value, "low": value - half, "high": value + half}

    mnli = {"accuracy": entry(0.8, 0.02), "accuracy_mismatched": entry(0.82, 0.02)}
    alone = glue_average("paper", {"mnli": mnli})
    assert alone is not None
    assert (alone.low, alone.high) == pytest.approx((0.79, 0.83))  # no surer than each of them
    more = glue_average("paper", {"mnli": mnli, "rte": {"accuracy": entry(0.6, 0.03)}})
    assert more is not None
    assert more.high == pytest.approx(more.value + math.hypot(0.04, 0.03) / 3)


def test_an_average_says_what_it_covers() -> None:
    found = glue_average(
        "leaderboard", {"rte": {"score": entry(0.6, 0.5, 0.7)}, "mrpc": {"score": entry(0.85, 0.8, 0.9)}}
    )
    assert found is not None
    assert found.value == pytest.approx((0.6 + 0.85) / 2)
    assert found.tasks == ("mrpc", "rte")
    assert found.missing == ("cola", "sst2", "stsb", "qqp", "mnli", "qnli", "wnli")
    assert glue_average("paper", {"wnli": {"accuracy": entry(0.5, 0.4, 0.6)}}) is None


def entry(value: float, low: float | None, high: float | None) -> dict[str, float | None]:
    return {"value": value, "low": low, "high": high}


def test_the_interval_of_an_average_adds_the_tasks_own_in_quadrature() -> None:
    tasks = {
        "rte": {"accuracy": entry(0.6, 0.5, 0.8), "score": entry(0.6, 0.5, 0.8)},
        "mrpc": {"f1": entry(0.8, 0.7, 0.9), "accuracy": entry(0.7, 0.6, 0.8), "score": entry(0.75, 0.7, 0.8)},
        "wnli": {"accuracy": entry(0.5, 0.4, 0.6)},
    }
    found = glue_average("paper", tasks)
    assert found is not None
    assert (found.tasks, found.missing) == (("mrpc", "rte"), ("cola", "sst2", "stsb", "qqp", "mnli", "qnli"))
    assert found.value == pytest.approx(0.7)
    assert found.low == pytest.approx(0.7 - np.hypot(0.1, 0.1) / 2)
    assert found.high == pytest.approx(0.7 + np.hypot(0.2, 0.1) / 2)
    leaderboard = glue_average("leaderboard", tasks)
    assert leaderboard is not None
    assert leaderboard.value == pytest.approx((0.6 + 0.75) / 2)
    assert "wnli" in leaderboard.missing  # it has no score


def test_an_average_without_an_interval_of_each_task_has_none() -> None:
    found = glue_average(
        "paper", {"rte": {"accuracy": entry(0.6, None, None)}, "sst2": {"accuracy": entry(0.9, 0.8, 1)}}
    )
    assert found is not None
    assert (found.value, found.low, found.high) == (pytest.approx(0.75), None, None)
    assert glue_average("paper", {"wnli": {"accuracy": entry(0.6, 0.5, 0.7)}}) is None
