"""Every built-in loss, in each of its forms, passes the suite that plugin authors get; a wrong one does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor

from autodistill.components.task import TaskSpec
from autodistill.components.training import Batch, Features, LossContext
from autodistill.losses.hard_label import label_loss
from autodistill.losses.logits_kl import LogitsKL
from autodistill.losses.plugin import autodistill_losses
from autodistill.testing.losses import CLASSIFICATION, DistillationLossSuite, MakeLoss

SPECS = {spec.name: spec for spec in autodistill_losses()}


def built_in(name: str, **parameters: Any) -> MakeLoss:
    module, attribute = SPECS[name].target.split(":")
    return partial(getattr(import_module(module), attribute), **asdict(SPECS[name].config(**parameters)))


def task(kind: str, **changes: Any) -> TaskSpec:
    return replace(CLASSIFICATION, kind=kind, **changes)


class TestHiddenMSE(DistillationLossSuite):
    @pytest.fixture(params=[True, False])
    def make_loss(self, request: pytest.FixtureRequest) -> MakeLoss:
        return built_in("hidden_mse", embeddings=request.param)


class TestHiddenCosine(DistillationLossSuite):
    @pytest.fixture(params=[True, False])
    def make_loss(self, request: pytest.FixtureRequest) -> MakeLoss:
        return built_in("hidden_cosine", last_only=request.param)


class TestFeatureMap(DistillationLossSuite):
    @pytest.fixture
    def make_loss(self) -> MakeLoss:
        return built_in("feature_map")


class TestEmbeddingMSE(DistillationLossSuite):
    @pytest.fixture
    def make_loss(self) -> MakeLoss:
        return built_in("embedding_mse")


class TestAttentionKL(DistillationLossSuite):
    @pytest.fixture
    def make_loss(self) -> MakeLoss:
        return built_in("attention_kl")


class TestAttentionMSE(DistillationLossSuite):
    @pytest.fixture
    def make_loss(self) -> MakeLoss:
        return built_in("attention_mse")


class TestMiniLMRelation(DistillationLossSuite):
    @pytest.fixture(params=[0, 1, 4])
    def make_loss(self, request: pytest.FixtureRequest) -> MakeLoss:
        return built_in("minilm_relation", relation_heads=request.param)


class TestMiniLMRelationOfPairs(DistillationLossSuite):
    @pytest.fixture
    def make_loss(self) -> MakeLoss:
        return built_in("minilm_relation", layers="pairs")


class TestLogitsKL(DistillationLossSuite):
    @pytest.fixture(params=["forward", "reverse", "symmetric", "jsd"])
    def make_loss(self, request: pytest.FixtureRequest) -> MakeLoss:
        return built_in("logits_kl", divergence=request.param, beta=0.3)


class TestLogitsKLOfManyLabels(TestLogitsKL):
    TASK = task("classification", multi_label=True)


class TestLogitsKLOfTokens(TestLogitsKL):
    TASK = task("token_classification")


class TestLogitsKLOfTokensWithoutLabels(TestLogitsKL):
    TASK = task("token_classification", label_free=True)


class TestLogitsKLOfSpans(TestLogitsKL):
    TASK = task("question_answering", labels=())


class TestLogitsKLOfWords(TestLogitsKL):
    TASK = task("mlm", labels=())


class TestLogitsKLOfValues(TestLogitsKL):
    TASK = task("regression")


class TestLogitsKLOfEmbeddings(TestLogitsKL):
    TASK = task("embedding", labels=())
    SAME_WIDTH = True


class TestMLMSoft(DistillationLossSuite):
    TASK = task("mlm", labels=())
    DIVERGENCE = False

    @pytest.fixture(params=[0.0, 0.5, 1.0])
    def make_loss(self, request: pytest.FixtureRequest) -> MakeLoss:
        return built_in("mlm_soft", hard_share=request.param)


class TestHardLabel(DistillationLossSuite):
    DIVERGENCE = False

    @pytest.fixture
    def make_loss(self) -> MakeLoss:
        return built_in("hard_label")


def test_every_built_in_loss_is_in_this_file() -> None:
    suites = [value for value in globals().values() if isinstance(value, type) and value.__name__.startswith("Test")]
    assert {suite.__name__.split("Of")[0].removeprefix("Test") for suite in suites} == {
        spec.target.rpartition(":")[2] for spec in SPECS.values()
    }


class Wrong(LogitsKL):
    """A loss with one mistake."""

    def __init__(self, context: LossContext, mistake: str) -> None:
        super().__init__(context, weight=1.0, temperature=2.0, divergence="forward", beta=0.5)
        self.mistake = mistake

    def __call__(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """The loss with its mistake."""
        own, other = student["logits", None], teacher["logits", None]
        if self.mistake == "a cross-entropy":
            return -(other.detach().softmax(-1) * own.log_softmax(-1)).sum(-1).mean()
        value = super().__call__(student, teacher, batch)
        if self.mistake == "a sum over the batch":
            return value * len(own)
        if self.mistake == "a gradient into the teacher":
            return value + 1e-3 * (own - other).square().mean()
        if self.mistake == "labels that it reads":
            return value + label_loss(own, batch.labels, "classification")  # type: ignore[arg-type]
        if self.mistake == "labels that it needs":
            return value + 0 * batch.labels.sum()  # type: ignore[union-attr]
        return value.bfloat16()


@pytest.mark.parametrize(
    ("mistake", "caught_by"),
    [
        ("a cross-entropy", "test_a_divergence_is_zero_for_equal_models_and_nowhere_less"),
        ("a sum over the batch", "test_the_size_and_the_order_of_the_batch_do_not_matter"),
        ("a gradient into the teacher", "test_gradients_reach_the_student_and_never_the_teacher"),
        ("labels that it reads", "test_it_says_whether_it_learns_from_the_labels"),
        ("labels that it needs", "test_it_says_whether_it_learns_from_the_labels"),
        ("a sum in bfloat16", "test_it_is_a_finite_float32_scalar_above_zero"),
    ],
)
def test_the_suite_catches(mistake: str, caught_by: str) -> None:
    suite, check = DistillationLossSuite(), getattr(DistillationLossSuite, caught_by)
    check(suite, built_in("logits_kl"))
    make: Callable[[LossContext], Any] = partial(Wrong, mistake=mistake)
    with pytest.raises(AssertionError):
        check(suite, make)


def test_padding_that_counts_is_caught() -> None:
    def careless(context: LossContext) -> Any:
        loss = built_in("hidden_mse")(context)

        class Careless(type(loss)):  # type: ignore[misc]
            def __call__(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
                every = replace(batch, attention_mask=torch.ones_like(batch.attention_mask))
                value: Tensor = super().__call__(student, teacher, every)
                return value

        loss.__class__ = Careless
        return loss

    with pytest.raises(AssertionError):
        DistillationLossSuite().test_padding_does_not_matter(careless, 0.0)
