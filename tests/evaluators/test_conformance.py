from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from autodistill.components.outcome import Evaluator, Predictions, Score
from autodistill.components.search import Direction
from autodistill.components.task import TaskSpec
from autodistill.evaluators.agreement import Agreement
from autodistill.evaluators.classification import Classification
from autodistill.evaluators.embedding import Embedding
from autodistill.evaluators.glue import Glue
from autodistill.evaluators.mlm import Mlm
from autodistill.evaluators.plugin import autodistill_evaluators
from autodistill.evaluators.regression import Regression
from autodistill.evaluators.size import Size
from autodistill.evaluators.squad import Squad
from autodistill.evaluators.token_classification import TokenClassification
from autodistill.testing.evaluators import EvaluatorSuite, MakeEvaluator

MAKERS: dict[str, MakeEvaluator] = {
    "agreement": lambda: Agreement(min_class_examples=10),
    "classification": Classification,
    "embedding": lambda: Embedding(neighbours=5),
    "glue": Glue,
    "mlm": Mlm,
    "regression": Regression,
    "size": Size,
    "token_classification": TokenClassification,
    "squad": lambda: Squad(null_threshold=0.0),
}


@pytest.mark.parametrize("name", MAKERS)
class TestBuiltin(EvaluatorSuite):
    @pytest.fixture
    def make_evaluator(self, name: str) -> MakeEvaluator:
        return MAKERS[name]


def test_every_builtin_evaluator_is_tested() -> None:
    assert set(MAKERS) == {spec.name for spec in autodistill_evaluators()}


class Plain(Size):
    """Says in its own words, or not at all, what it cannot do."""

    def score(self, predictions: Predictions) -> dict[str, Score]:
        raise NotImplementedError


class Missing(Size):
    score = None  # type: ignore[assignment]


@pytest.mark.parametrize("kind", [Plain, Missing])
def test_a_method_that_does_not_apply_needs_no_words(kind: type[Size]) -> None:
    TestBuiltin().test_it_does_one_of_two_things(kind)


class Accuracy(Evaluator):
    """Inherits from the protocol, whose stub of `describe` it has."""

    metrics: ClassVar[Mapping[str, Direction]] = {"accuracy": "maximize"}
    before_training = False
    needs_teacher = False

    def supports(self, task: TaskSpec) -> str | None:
        return "It is for one label." if task.multi_label else Classification().supports(task)

    def score(self, predictions: Predictions) -> dict[str, Score]:
        return {"accuracy": Classification().score(predictions)["accuracy"]}


class LikeTheTeacher(Accuracy):
    def score(self, predictions: Predictions) -> dict[str, Score]:
        teacher: Any = predictions.teacher_logits
        return super().score(replace(predictions, labels=teacher.argmax(axis=-1)))


class LikeTheTeacherIfThere(LikeTheTeacher):
    def score(self, predictions: Predictions) -> dict[str, Score]:
        teacher = predictions.logits if predictions.teacher_logits is None else predictions.teacher_logits
        return super().score(replace(predictions, teacher_logits=teacher))


def test_an_evaluator_may_inherit_from_the_protocol() -> None:
    TestBuiltin().test_it_does_one_of_two_things(Accuracy)
    TestBuiltin().test_the_teacher_itself_can_be_scored(Accuracy)


def test_an_evaluator_that_cannot_score_the_teacher_is_refused() -> None:
    with pytest.raises(AttributeError, match="argmax"):
        TestBuiltin().test_the_teacher_itself_can_be_scored(LikeTheTeacher)


def test_an_evaluator_that_reads_the_teacher_without_saying_so_is_refused() -> None:
    with pytest.raises(AssertionError, match="it says needs_teacher = False"):
        TestBuiltin().test_the_teacher_itself_can_be_scored(LikeTheTeacherIfThere)


def test_an_evaluator_that_does_both_is_refused() -> None:
    class Both(Size):
        def score(self, predictions: Predictions) -> dict[str, Score]:
            return {}

    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        TestBuiltin().test_it_does_one_of_two_things(Both)
