"""Test a distillation loss: a conformance suite, and toy batches and features to try it on.

A plugin's tests subclass `DistillationLossSuite` and supply the fixture ``make_loss``::

    class TestHiddenHuber(DistillationLossSuite):
        @pytest.fixture
        def make_loss(self):
            return lambda context: HiddenHuber(context, weight=1.0, delta=0.5)

What the features of toy models are made of stands in `toy_features`; no model is run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from autodistill.components.students import Dimensions
from autodistill.components.task import IGNORED, TaskSpec
from autodistill.components.training import (
    FEATURES,
    Batch,
    DistillationLoss,
    FeatureKey,
    Features,
    LossContext,
)
from autodistill.losses.masking import TOKEN_KINDS, counted_tokens

MakeLoss = Callable[[LossContext], DistillationLoss]

#: Toy models: the teacher is deeper and wider, with as many heads.
STUDENT = Dimensions(layers=2, hidden=8, heads=2, classes=3)
TEACHER = Dimensions(layers=4, hidden=12, heads=2, classes=3)

#: A classification into three classes.
CLASSIFICATION = TaskSpec("classification", ("a", "b", "c"), ("text",), "classification.accuracy")

#: Words of the toy vocabulary.
VOCABULARY = 11


def toy_batch(
    lengths: Sequence[int], tokens: int | None = None, *, task: TaskSpec = CLASSIFICATION, seed: int = 0
) -> Batch:
    """A batch of examples of these lengths, padded to ``tokens``, with labels as the task's kind has them."""
    generator = torch.Generator().manual_seed(seed)
    width = tokens or max(lengths)
    mask = torch.arange(width) < torch.tensor(list(lengths))[:, None]
    # Drawn for 64 tokens and cut, so that an example is the same however much it is padded.
    ids = torch.randint(1, VOCABULARY, (len(lengths), 64), generator=generator)[:, :width] * mask
    labels = _toy_labels(task, mask, generator)
    return Batch(ids, mask, torch.zeros_like(ids), labels, torch.arange(len(lengths)))


def _toy_labels(task: TaskSpec, mask: Tensor, generator: torch.Generator) -> Tensor | None:
    examples, tokens = mask.shape
    classes = VOCABULARY if task.kind == "mlm" else max(1, len(task.labels))
    per_token = torch.randint(0, classes, (examples, 64), generator=generator)[:, :tokens]
    if task.label_free or task.kind == "embedding":
        return None
    if task.kind in ("mlm", "token_classification"):
        every_other = torch.arange(tokens) % 2 == 0
        return per_token.masked_fill(~(mask & every_other), IGNORED)
    if task.kind == "question_answering":
        return torch.zeros(examples, 2, dtype=torch.int64)
    if task.kind == "regression":
        return torch.randn(examples, generator=generator)
    if task.multi_label:
        return torch.randint(0, 2, (examples, classes), generator=generator).float()
    return torch.randint(0, classes, (examples,), generator=generator)


def toy_features(batch: Batch, size: Dimensions, *, task: TaskSpec = CLASSIFICATION, seed: int) -> Features:
    """Random features of a model of this size: everything that a loss may ask for, finite also under the padding."""
    generator = torch.Generator().manual_seed(seed)
    examples, tokens = batch.input_ids.shape
    keys = batch.attention_mask[:, None, None, :]

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    found: dict[FeatureKey, Tensor] = {("logits", None): draw(*_logit_shape(batch, size, task))}
    if task.kind in TOKEN_KINDS:
        found["masked_logits", None] = found["logits", None][counted_tokens(batch)]
    for layer in range(size.layers + 1):
        found["hidden_states", layer] = draw(examples, tokens, size.hidden)
    found["embeddings", None] = found["hidden_states", 0]
    for layer in range(1, size.layers + 1):
        for name in ("queries", "keys", "values"):
            found[name, layer] = draw(examples, size.heads, tokens, size.attention // size.heads)
        scores = draw(examples, size.heads, tokens, tokens)
        found["attention_scores", layer] = scores
        found["attentions", layer] = scores.masked_fill(~keys, float("-inf")).softmax(-1)
    return found


def _logit_shape(batch: Batch, size: Dimensions, task: TaskSpec) -> tuple[int, ...]:
    examples, tokens = batch.input_ids.shape
    return {
        "mlm": (examples, tokens, VOCABULARY),
        "token_classification": (examples, tokens, size.classes),
        "question_answering": (examples, tokens, 2),
        "embedding": (examples, size.hidden),
    }.get(task.kind, (examples, size.classes))


def padded_features(features: Features, batch: Batch, padded: Batch, filler: float) -> Features:
    """The same features in a batch with more padding; ``filler`` stands wherever something does not count.

    Attention maps have 0 for padded keys, as every softmax over unmasked keys has, and the filler for padded queries.
    """
    examples, tokens = padded.input_ids.shape
    before = batch.input_ids.shape[1]
    mask = padded.attention_mask
    found: dict[FeatureKey, Tensor] = {}
    for key, value in features.items():
        if key[0] == "masked_logits":  # has no padding
            found[key] = value
            continue
        shape = [tokens if index and size == before else size for index, size in enumerate(value.shape)]
        if key[0] in ("hidden_states", "embeddings"):
            shape = [examples, tokens, value.shape[-1]]
        wide = torch.full(shape, filler)
        wide[tuple(slice(size) for size in value.shape)] = value
        counts = _counting(key[0], wide, mask)
        found[key] = torch.where(counts, wide, filler) if counts is not None else value
        if key[0] == "attentions":
            found[key] = torch.where(mask[:, None, None, :], found[key], 0.0)
    return found


def _counting(name: str, value: Tensor, mask: Tensor) -> Tensor | None:
    """Where a padded feature has values of tokens; None for one that has no tokens."""
    if name in ("hidden_states", "embeddings"):
        return mask[:, :, None]
    if name in ("queries", "keys", "values"):
        return mask[:, None, :, None]
    if name in ("attention_scores", "attentions"):
        return mask[:, None, :, None] & mask[:, None, None, :]
    return mask[:, :, None] if value.dim() == 3 else None


def value_of(loss: DistillationLoss, student: Features, teacher: Features, batch: Batch) -> Tensor:
    """The loss, given just the features that it asks for."""
    return loss(
        {key: student[key] for key in loss.student_features},
        {key: teacher[key] for key in loss.teacher_features},
        batch,
    )


@dataclass(frozen=True)
class ToyCase:
    """One pair of toy models on one batch."""

    loss: DistillationLoss
    student: Features
    teacher: Features
    batch: Batch

    def value(self) -> Tensor:
        """The loss."""
        return value_of(self.loss, self.student, self.teacher, self.batch)


class DistillationLossSuite:
    """What every distillation loss must do; subclass it and supply the fixture ``make_loss``.

    Class attributes tell what kind of loss it is: ``TASK`` (its batches and logits follow), ``DIVERGENCE`` (zero for
    equal models, above zero else; false for a cross-entropy), ``SAME_WIDTH`` (the loss refuses other widths).
    """

    TASK = CLASSIFICATION
    DIVERGENCE = True
    SAME_WIDTH = False

    @pytest.fixture
    def make_loss(self) -> MakeLoss:
        """Builds the loss from a `LossContext`; override it."""
        raise NotImplementedError("Override the fixture make_loss: a callable that takes a LossContext.")

    def context(self) -> LossContext:
        """A student and a larger teacher."""
        teacher = replace(TEACHER, hidden=STUDENT.hidden) if self.SAME_WIDTH else TEACHER
        return LossContext(STUDENT, teacher, ((1, 2), (2, 4)), self.TASK)

    def case(self, make_loss: MakeLoss, lengths: Sequence[int] = (3, 5)) -> ToyCase:
        """Both toy models on a batch."""
        context = self.context()
        batch = toy_batch(lengths, task=self.TASK)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            loss = make_loss(context)
        return ToyCase(
            loss,
            toy_features(batch, context.student, task=self.TASK, seed=1),
            toy_features(batch, context.teacher, task=self.TASK, seed=2),
            batch,
        )

    def equal_models(self, make_loss: MakeLoss) -> ToyCase:
        """A teacher that is the student."""
        batch = toy_batch((3, 5), task=self.TASK)
        features = toy_features(batch, STUDENT, task=self.TASK, seed=1)
        loss = make_loss(LossContext(STUDENT, STUDENT, ((1, 1), (2, 2)), self.TASK))
        return ToyCase(loss, features, features, batch)

    def test_it_says_what_it_needs(self, make_loss: MakeLoss) -> None:
        """Role and features are declared, with names that exist."""
        loss = self.case(make_loss).loss
        assert loss.role in ("transfer", "prediction")
        assert loss.student_features, "a loss that reads nothing of the student teaches nothing"
        assert {name for name, _ in (*loss.student_features, *loss.teacher_features)} <= set(FEATURES)

    def test_it_is_a_finite_float32_scalar_above_zero(self, make_loss: MakeLoss) -> None:
        """Models that differ cost something."""
        value = self.case(make_loss).value()
        assert value.shape == ()
        assert value.dtype == torch.float32
        assert bool(torch.isfinite(value))
        assert value > 0

    def test_it_leaves_its_inputs_alone_and_answers_alike_twice(self, make_loss: MakeLoss) -> None:
        """No state, no in-place arithmetic."""
        case = self.case(make_loss)
        before = {key: value.clone() for key, value in {**case.student, **case.teacher}.items()}
        assert case.value().equal(case.value())
        after: Mapping[FeatureKey, Tensor] = {**case.student, **case.teacher}
        assert all(after[key].equal(value) for key, value in before.items())

    def test_it_says_whether_it_learns_from_the_labels(self, make_loss: MakeLoss) -> None:
        """A loss whose value follows from the labels has ``reads_labels = True``; the others work without labels."""
        case = self.case(make_loss)
        if getattr(case.loss, "reads_labels", False):
            return
        for labels in _other_labels(case.batch, self.TASK):
            try:
                value = replace(case, batch=replace(case.batch, labels=labels)).value()
            except Exception as error:
                if labels is not None:
                    raise
                raise AssertionError("it fails without labels: it needs the attribute reads_labels = True") from error
            assert value.equal(case.value()), "the labels change its value: it needs the attribute reads_labels = True"

    def test_gradients_reach_the_student_and_never_the_teacher(self, make_loss: MakeLoss) -> None:
        """Every feature that it reads of the student gets a gradient; none of the teacher's does."""
        case = self.case(make_loss)
        student = {key: value.clone().requires_grad_() for key, value in case.student.items()}
        teacher = {key: value.clone().requires_grad_() for key, value in case.teacher.items()}
        torch.autograd.backward(value_of(case.loss, student, teacher, case.batch))
        for key in case.loss.student_features:
            gradient = student[key].grad
            assert gradient is not None, f"no gradient reaches {key}"
            assert bool(torch.isfinite(gradient).all())
            assert gradient.abs().sum() > 0, f"the gradient of {key} is zero"
        assert all(value.grad is None for value in teacher.values())

    def test_its_parameters_are_made_once_and_trained(self, make_loss: MakeLoss) -> None:
        """Projections exist before the first call, which neither adds nor replaces any."""
        case = self.case(make_loss)
        parameters = list(case.loss.parameters())
        torch.autograd.backward(
            value_of(
                case.loss,
                {key: value.requires_grad_() for key, value in case.student.items()},
                case.teacher,
                case.batch,
            )
        )
        assert [id(item) for item in case.loss.parameters()] == [id(item) for item in parameters]
        assert all(item.grad is not None and item.grad.abs().sum() > 0 for item in parameters)

    @pytest.mark.parametrize("filler", [0.0, 37.0])
    def test_padding_does_not_matter(self, make_loss: MakeLoss, filler: float) -> None:
        """Neither how much there is nor what stands in it."""
        case = self.case(make_loss)
        # 9 tokens: more than any example has, and unlike every other size of the toy models.
        padded = replace(toy_batch((3, 5), 9, task=self.TASK), labels=_padded_labels(case.batch, 9))
        value = value_of(
            case.loss,
            padded_features(case.student, case.batch, padded, filler),
            padded_features(case.teacher, case.batch, padded, filler),
            padded,
        )
        torch.testing.assert_close(value, case.value())

    def test_the_size_and_the_order_of_the_batch_do_not_matter(self, make_loss: MakeLoss) -> None:
        """It is a mean over examples or tokens."""
        case = self.case(make_loss)
        for order in ([1, 0], [0, 1, 0, 1], [0, 0, 1, 1, 1, 0]):
            rows = torch.tensor(order)
            value = value_of(
                case.loss,
                _features_of(case.student, case.batch, rows),
                _features_of(case.teacher, case.batch, rows),
                _rows_of(case.batch, rows),
            )
            torch.testing.assert_close(value, case.value())

    def test_parts_of_a_batch_add_up_to_it(self, make_loss: MakeLoss) -> None:
        """Weighed by ``items``, or by their examples if the loss has no such method."""
        case = self.case(make_loss, (3, 5, 2))
        count = getattr(case.loss, "items", lambda batch: torch.tensor(float(len(batch.rows))))
        parts = torch.tensor(0.0)
        for part in ([0], [1, 2]):
            rows = torch.tensor(part)
            student, teacher = (_features_of(side, case.batch, rows) for side in (case.student, case.teacher))
            batch = _rows_of(case.batch, rows)
            parts = parts + count(batch) / count(case.batch) * value_of(case.loss, student, teacher, batch)
        torch.testing.assert_close(parts, case.value())

    def test_bfloat16_is_close_to_float32(self, make_loss: MakeLoss) -> None:
        """It is reduced in float32, whatever the features are."""
        case = self.case(make_loss)
        rough = value_of(
            case.loss,
            {key: value.bfloat16() for key, value in case.student.items()},
            {key: value.bfloat16() for key, value in case.teacher.items()},
            case.batch,
        )
        assert rough.dtype == torch.float32
        torch.testing.assert_close(rough, case.value(), rtol=0.03, atol=0.01)  # bfloat16 has 8 bits of mantissa

    def test_autocast_rounds_nothing_but_its_projections(self, make_loss: MakeLoss) -> None:
        """Under ``trainer.precision=bf16-mixed`` its own products stay in float32: see ``torch.autocast``."""
        case = self.case(make_loss)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = case.value()
        assert value.dtype == torch.float32
        rounding = 0.03 if list(case.loss.parameters()) else 1e-5  # bfloat16 has 8 bits of mantissa
        torch.testing.assert_close(value, case.value(), rtol=rounding, atol=rounding)

    def test_a_divergence_is_zero_for_equal_models_and_nowhere_less(self, make_loss: MakeLoss) -> None:
        """Zero where student and teacher agree, above zero around it."""
        case = self.equal_models(make_loss)
        at_equality = case.value()
        if self.DIVERGENCE:
            torch.testing.assert_close(at_equality, torch.tensor(0.0), rtol=0, atol=1e-5)
            for seed in range(5):
                other = toy_features(case.batch, STUDENT, task=self.TASK, seed=seed + 10)
                mixed = {key: 0.9 * value + 0.1 * other[key] for key, value in case.student.items()}
                assert value_of(case.loss, mixed, case.teacher, case.batch) > 1e-6
        else:
            assert at_equality > 0


def _rows_of(batch: Batch, rows: Tensor) -> Batch:
    """Some examples of a batch."""
    labels = None if batch.labels is None else batch.labels[rows]
    ids, mask, types = batch.input_ids[rows], batch.attention_mask[rows], batch.token_type_ids[rows]
    return Batch(ids, mask, types, labels, batch.rows[rows])


def _features_of(features: Features, batch: Batch, rows: Tensor) -> Features:
    """The features of some examples of a batch."""
    found = {key: value[rows] for key, value in features.items() if key[0] != "masked_logits"}
    if ("masked_logits", None) in features:
        found["masked_logits", None] = found["logits", None][counted_tokens(_rows_of(batch, rows))]
    return found


def _other_labels(batch: Batch, task: TaskSpec) -> list[Tensor | None]:
    """Other labels for the same examples, and none where nothing but their values can be meant by them."""
    labels = batch.labels
    if labels is None:
        return []
    if task.kind in TOKEN_KINDS:  # they also say which tokens count
        classes = VOCABULARY if task.kind == "mlm" else len(task.labels)
        return [torch.where(labels == IGNORED, labels, (labels + 1) % classes)]
    if task.multi_label:
        return [1 - labels, None]
    return [(labels + 1) % len(task.labels) if task.kind == "classification" else labels + 1, None]


def _padded_labels(batch: Batch, tokens: int) -> Tensor | None:
    """The batch's labels; those of tokens with more of `IGNORED` at the end."""
    labels = batch.labels
    if labels is None or labels.dim() != 2 or labels.shape != batch.attention_mask.shape:
        return labels
    wide = torch.full((len(labels), tokens), IGNORED)
    wide[:, : labels.shape[1]] = labels
    return wide
