"""Test an evaluator: a conformance suite, and toy predictions for every kind of task.

A plugin's tests subclass `EvaluatorSuite` and supply the fixture ``make_evaluator``::

    class TestBrier(EvaluatorSuite):
        @pytest.fixture
        def make_evaluator(self):
            return lambda: Brier()

The suite tries the evaluator on every task that it says it supports (`TOY_TASKS`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autodistill.components.architecture import Architecture
from autodistill.components.outcome import Described, Evaluator, Predictions, compares_with_teacher, metrics_of
from autodistill.components.students import Vocabulary
from autodistill.components.task import TaskSpec
from autodistill.errors import TrialError, UserError

MakeEvaluator = Callable[[], Evaluator]

#: Examples in the suite's splits.
EXAMPLES = 60

_CLASSES = ("a", "b", "c")

#: One task of every kind that predictions are made of.
TOY_TASKS: dict[str, TaskSpec] = {
    "classification": TaskSpec("classification", _CLASSES, ("text",), "x.y"),
    "label-free": TaskSpec("classification", _CLASSES, ("text",), "x.y", label_free=True),
    "labelled test": TaskSpec("classification", _CLASSES, ("text",), "x.y", label_free=True, test_labels=True),
    "several labels": TaskSpec("classification", _CLASSES, ("text",), "x.y", multi_label=True),
    "words": TaskSpec("token_classification", _CLASSES, ("words",), "x.y"),
    "regression": TaskSpec("regression", (), ("text",), "x.y"),
    "questions": TaskSpec("question_answering", (), ("question", "context"), "x.y"),
    "masked words": TaskSpec("mlm", (), ("text",), "x.y"),
    "embedding": TaskSpec("embedding", (), ("text",), "x.y"),
    "CoLA": TaskSpec("classification", ("0", "1"), ("text",), "x.y", benchmark="glue/cola"),
    "MRPC": TaskSpec("classification", ("0", "1"), ("text", "other"), "x.y", benchmark="glue/mrpc"),
    "STS-B": TaskSpec("regression", (), ("text", "other"), "x.y", benchmark="glue/stsb"),
}


def toy_predictions(task: TaskSpec, quality: float, examples: int = EXAMPLES, seed: int = 0) -> Predictions:
    """Predictions of a toy model on a toy split.

    Args:
        task: of any kind.
        quality: 0 guesses, 1 is always right; the split is the same for all.
        examples: of the split.
        seed: of the split and the guesses.
    """
    generator = np.random.default_rng(seed)
    ids = [f"e{number}" for number in range(examples)]
    make = {
        "token_classification": _words,
        "mlm": _masked,
        "question_answering": _questions,
        "regression": _numbers,
        "embedding": _vectors,
    }.get(task.kind, _several_labels if task.multi_label else _classes)
    made: dict[str, Any] = make(task, quality, examples, generator)
    if task.label_free and not task.test_labels:
        made["labels"] = None
    return Predictions(ids=ids, task=task, **{"teacher_logits": made["logits"] * 0 + made.pop("truth"), **made})


def _classes(task: TaskSpec, quality: float, n: int, generator: np.random.Generator) -> dict[str, Any]:
    labels = generator.integers(0, task.num_labels, size=n)
    truth = 4.0 * np.eye(task.num_labels)[labels]
    noise = generator.normal(size=truth.shape)
    return {"logits": quality * truth + (1 - quality) * noise, "labels": labels, "truth": truth}


def _several_labels(task: TaskSpec, quality: float, n: int, generator: np.random.Generator) -> dict[str, Any]:
    labels = generator.integers(0, 2, size=(n, task.num_labels)).astype(np.float32)
    truth = 4.0 * (2 * labels - 1)
    noise = generator.normal(size=truth.shape)
    return {"logits": quality * truth + (1 - quality) * noise, "labels": labels, "truth": truth}


def _words(task: TaskSpec, quality: float, n: int, generator: np.random.Generator) -> dict[str, Any]:
    owners = np.repeat(np.arange(n), generator.integers(1, 6, size=n))
    return {**_classes(task, quality, len(owners), generator), "owners": owners}


def _masked(task: TaskSpec, quality: float, n: int, generator: np.random.Generator) -> dict[str, Any]:
    owners = np.repeat(np.arange(n), generator.integers(1, 6, size=n))
    loss = (1.01 - quality) * generator.uniform(0.5, 2.0, size=len(owners))
    right = (loss < 0.7).astype(np.float64)
    logits = np.stack([loss, right], axis=1)
    groups = np.arange(n) // 2
    return {"logits": logits, "labels": None, "owners": owners, "groups": groups, "truth": np.array([0.01, 1.0])}


def _questions(task: TaskSpec, quality: float, n: int, generator: np.random.Generator) -> dict[str, Any]:
    texts = [f"red cat {number} sees blue dog" for number in range(n)]
    right = generator.random(n) < quality
    # "red cat" of every context, or its first letters only
    logits = np.stack([np.zeros(n), np.where(right, 7, 2), np.full(n, 1.0), np.full(n, -1.0)], axis=1)
    labels = [["red cat", "cat"] for _ in range(n)]
    return {"logits": logits, "labels": labels, "texts": texts, "truth": np.array([0.0, 7.0, 1.0, -1.0])}


def _numbers(task: TaskSpec, quality: float, n: int, generator: np.random.Generator) -> dict[str, Any]:
    labels = generator.uniform(0, 5, size=n).astype(np.float32)
    truth = labels[:, None].astype(np.float64)
    noise = generator.normal(size=truth.shape)
    return {"logits": quality * truth + (1 - quality) * noise, "labels": labels, "truth": truth}


def _vectors(task: TaskSpec, quality: float, n: int, generator: np.random.Generator) -> dict[str, Any]:
    truth = generator.normal(size=(n, 8))
    noise = generator.normal(size=truth.shape)
    return {"logits": quality * truth + (1 - quality) * noise, "labels": None, "truth": truth}


def reordered(predictions: Predictions, order: Any) -> Predictions:
    """The same predictions with the examples in another order."""
    rows = order
    owners = predictions.owners
    if owners is not None:
        rows = np.concatenate([np.flatnonzero(owners == one) for one in order])
        owners = np.repeat(np.arange(len(order)), [np.count_nonzero(predictions.owners == one) for one in order])

    def take(values: Any) -> Any:
        if values is None:
            return None
        return [values[row] for row in rows] if isinstance(values, list) else values[rows]

    return replace(
        predictions,
        ids=[predictions.ids[row] for row in order],
        logits=take(predictions.logits),
        labels=take(predictions.labels),
        teacher_logits=take(predictions.teacher_logits),
        owners=owners,
        texts=take(predictions.texts),
        groups=None if predictions.groups is None else predictions.groups[order],
    )


class EvaluatorSuite:
    """What every evaluator must do; subclass it and supply the fixture ``make_evaluator``."""

    #: What `describe` is asked about.
    ARCHITECTURE = Architecture("bert", {"num_layers": 2, "hidden_size": 32, "num_heads": 4, "intermediate_size": 64})

    @pytest.fixture
    def make_evaluator(self) -> MakeEvaluator:
        """Builds the evaluator; override it."""
        raise NotImplementedError("Override the fixture make_evaluator: a callable without arguments.")

    def test_metrics_have_names_and_directions(self, make_evaluator: MakeEvaluator) -> None:
        """Names are parts of ``<label>.<metric>``."""
        evaluator = make_evaluator()
        assert evaluator.metrics
        for name, direction in evaluator.metrics.items():
            assert name.isidentifier(), f"{name!r} cannot be a part of a metric's name"
            assert direction in ("maximize", "minimize")

    def test_it_supports_some_task_and_says_why_not_the_others(self, make_evaluator: MakeEvaluator) -> None:
        """The reason completes "... cannot score this task: "."""
        evaluator = make_evaluator()
        answers = [evaluator.supports(task) for task in TOY_TASKS.values()]
        assert any(answer is None for answer in answers), "it supports no kind of task"
        assert all(answer is None or answer.strip() == answer != "" for answer in answers)

    def test_the_metrics_of_a_task_are_among_its_metrics(self, make_evaluator: MakeEvaluator) -> None:
        """With the same directions."""
        evaluator = make_evaluator()
        for task in TOY_TASKS.values():
            if evaluator.supports(task) is None:
                own = metrics_of(evaluator, task)
                assert own, "a supported task has at least one metric"
                assert dict(evaluator.metrics) | dict(own) == dict(evaluator.metrics)

    def test_it_does_one_of_two_things(self, make_evaluator: MakeEvaluator) -> None:
        """It describes architectures or scores predictions; the other method is missing or not implemented."""
        evaluator = make_evaluator()
        name, argument = (
            ("score", toy_predictions(TOY_TASKS["classification"], 0.5))
            if evaluator.before_training
            else ("describe", _described(self.ARCHITECTURE))
        )
        method = getattr(evaluator, name, None)
        # A subclass of the protocol inherits its stub, which does nothing.
        if method is not None and getattr(type(evaluator), name, None) is not getattr(Evaluator, name):
            with pytest.raises(NotImplementedError):
                method(argument)

    def test_what_it_describes_is_exact(self, make_evaluator: MakeEvaluator) -> None:
        """All metrics, finite, and the same when asked again."""
        evaluator = make_evaluator()
        if evaluator.before_training:
            subject = _described(self.ARCHITECTURE)
            found = evaluator.describe(subject)
            assert set(found) == set(evaluator.metrics)
            assert all(math.isfinite(value) for value in found.values())
            assert found == make_evaluator().describe(subject)

    def test_scores_are_finite_and_complete(self, make_evaluator: MakeEvaluator) -> None:
        """Every metric of the task, with a variance that is not negative."""
        for evaluator, task in _scored(make_evaluator()):
            scores = evaluator.score(toy_predictions(task, 0.6))
            assert set(scores) == set(metrics_of(evaluator, task))
            for name, score in scores.items():
                assert math.isfinite(score.value), f"{name} of {task.kind}"
                assert score.variance is None or score.variance >= 0

    def test_the_teacher_itself_can_be_scored(self, make_evaluator: MakeEvaluator) -> None:
        """Predictions of the teacher have no ``teacher_logits``; what never reads them scores the same without."""
        for evaluator, task in _scored(make_evaluator()):
            predictions = toy_predictions(task, 0.1)  # far from the teacher's
            alone = evaluator.score(replace(predictions, teacher_logits=None))
            assert set(alone) == set(metrics_of(evaluator, task))
            assert all(math.isfinite(score.value) for score in alone.values())
            if not compares_with_teacher(evaluator):
                values = {name: score.value for name, score in evaluator.score(predictions).items()}
                assert values == {name: score.value for name, score in alone.items()}, (
                    "the teacher's answers change its scores, but it says needs_teacher = False"
                )

    def test_a_better_model_scores_better(self, make_evaluator: MakeEvaluator) -> None:
        """In the direction of each metric; the perfect model is not beaten."""
        for evaluator, task in _scored(make_evaluator()):
            worse, better = (evaluator.score(toy_predictions(task, quality)) for quality in (0.1, 1.0))
            for name, direction in metrics_of(evaluator, task).items():
                sign = 1 if direction == "maximize" else -1
                assert sign * better[name].value > sign * worse[name].value, f"{name} of {task.kind}"

    def test_contributions_and_weights_give_the_value(self, make_evaluator: MakeEvaluator) -> None:
        """The mean of the contributions, or the metric with all weights one; a paired comparison rests on it."""
        for evaluator, task in _scored(make_evaluator()):
            for name, score in evaluator.score(toy_predictions(task, 0.6)).items():
                if score.per_example is not None:
                    assert len(score.per_example) == EXAMPLES
                    assert np.mean(score.per_example) == pytest.approx(score.value, abs=1e-12), name
                if score.weighted is not None:
                    units = score.n or 0
                    assert 1 <= units <= EXAMPLES, f"{name} has weights but not the number of its examples"
                    assert score.weighted(np.ones((1, units))) == pytest.approx([score.value], abs=1e-9), name

    def test_the_order_of_the_examples_does_not_matter(self, make_evaluator: MakeEvaluator) -> None:
        """Up to rounding."""
        order = np.random.default_rng(1).permutation(EXAMPLES)
        for evaluator, task in _scored(make_evaluator()):
            predictions = toy_predictions(task, 0.6)
            first, second = evaluator.score(predictions), evaluator.score(reordered(predictions, order))
            for name, score in first.items():
                assert second[name].value == pytest.approx(score.value, abs=1e-9), f"{name} of {task.kind}"

    def test_the_same_predictions_get_the_same_scores(self, make_evaluator: MakeEvaluator) -> None:
        """Also from a fresh instance, and global generators are left alone."""
        states = random.getstate(), str(np.random.get_state(legacy=False))
        for evaluator, task in _scored(make_evaluator()):
            first = evaluator.score(toy_predictions(task, 0.6))
            second = make_evaluator().score(toy_predictions(task, 0.6))
            assert {n: (s.value, s.variance) for n, s in first.items()} == {
                n: (s.value, s.variance) for n, s in second.items()
            }
        assert (random.getstate(), str(np.random.get_state(legacy=False))) == states, "global seeds were advanced"

    def test_a_model_that_diverged_is_not_scored(self, make_evaluator: MakeEvaluator) -> None:
        """A NaN among the logits is a failure of the trial, not a score."""
        for evaluator, task in _scored(make_evaluator()):
            predictions = toy_predictions(task, 0.6)
            logits = np.array(predictions.logits)
            logits[3] = np.nan
            with pytest.raises(TrialError):
                evaluator.score(replace(predictions, logits=logits))

    def test_missing_labels_are_told(self, make_evaluator: MakeEvaluator) -> None:
        """A split without them cannot be scored against them; what needs none scores all the same."""
        for evaluator, task in _scored(make_evaluator()):
            predictions = toy_predictions(task, 0.6)
            with suppress(UserError):
                scores = evaluator.score(replace(predictions, labels=None))
                assert all(math.isfinite(score.value) for score in scores.values())


def _scored(evaluator: Evaluator) -> Iterator[tuple[Evaluator, TaskSpec]]:
    """The toy tasks that an evaluator of predictions supports."""
    if not evaluator.before_training:
        for task in TOY_TASKS.values():
            if evaluator.supports(task) is None:
                yield evaluator, task


def _described(architecture: Architecture) -> Described:
    from autodistill.students.bert import BertFamily
    from autodistill.students.configs import BertFamilyConfig

    family = BertFamily(**vars(BertFamilyConfig()))
    vocabulary = Vocabulary(size=100, max_positions=64, type_size=2, pad_token_id=0)
    return Described(architecture, family, TOY_TASKS["classification"], vocabulary, tokens=16)
