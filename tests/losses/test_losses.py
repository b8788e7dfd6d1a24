"""The mathematics that every built-in loss must obey, loss by loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from autodistill.components.students import Dimensions
from autodistill.components.task import TaskSpec
from autodistill.components.training import Batch, FeatureKey, LossContext
from autodistill.errors import ConfigError
from autodistill.losses.attention_kl import AttentionKL
from autodistill.losses.hard_label import HardLabel
from autodistill.losses.hidden_mse import HiddenMSE
from autodistill.losses.logits_kl import LogitsKL

SIZES = Dimensions(layers=2, hidden=8, heads=2, classes=3)
TASK = TaskSpec("classification", ("a", "b", "c"), ("text",), "classification.accuracy")
CONTEXT = LossContext(SIZES, replace(SIZES, layers=4), ((1, 2), (2, 4)), TASK)

LOSSES: dict[str, Callable[[LossContext], Any]] = {
    "logits_kl": lambda context: LogitsKL(context, weight=1.0, temperature=2.0),
    "hidden_mse": lambda context: HiddenMSE(context, weight=1.0, embeddings=True),
    "attention_kl": lambda context: AttentionKL(context, weight=1.0),
    "hard_label": lambda context: HardLabel(context, weight=1.0),
}
DIVERGENCES = ["logits_kl", "hidden_mse", "attention_kl"]
every_loss = pytest.mark.parametrize("name", LOSSES)
every_divergence = pytest.mark.parametrize("name", DIVERGENCES)

Given = dict[FeatureKey, Tensor]


def make_batch(lengths: list[int], tokens: int | None = None, *, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(tokens or max(lengths)) < torch.tensor(lengths)[:, None]
    ids = torch.randint(0, 9, mask.shape, generator=generator)
    labels = torch.randint(0, 3, (len(lengths),), generator=generator)
    return Batch(ids, mask, torch.zeros_like(ids), labels, torch.arange(len(lengths)))


def make_features(batch: Batch, layers: int, *, seed: int, hidden: int = 8) -> Given:
    generator = torch.Generator().manual_seed(seed)
    examples, tokens = batch.input_ids.shape
    features: Given = {("logits", None): torch.randn(examples, 3, generator=generator)}
    keys = batch.attention_mask[:, None, None, :]
    for layer in range(layers + 1):
        features["hidden_states", layer] = torch.randn(examples, tokens, hidden, generator=generator)
        scores = torch.randn(examples, 2, tokens, tokens, generator=generator).masked_fill(~keys, float("-inf"))
        features["attentions", layer] = scores.softmax(-1)
    return features


def features_of(keys: frozenset[FeatureKey], features: Given) -> Given:
    """Just what was asked for."""
    return {key: features[key] for key in keys}


def paired(loss: Any, student: Given) -> Given:
    """What a teacher equal to the student, pair by pair, would give."""
    pairs = dict(getattr(loss, "pairs", ()))
    return {
        (name, None if layer is None else pairs[layer]): value
        for (name, layer), value in student.items()
        if (name, layer) in loss.student_features
    }


def value_of(loss: Any, student: Given, teacher: Given, batch: Batch) -> Tensor:
    value: Tensor = loss(
        features_of(loss.student_features, student), features_of(loss.teacher_features, teacher), batch
    )
    return value


@every_loss
def test_a_loss_is_a_float32_scalar(name: str) -> None:
    batch, loss = make_batch([3, 5]), LOSSES[name](CONTEXT)
    value = value_of(loss, make_features(batch, 2, seed=1), make_features(batch, 4, seed=2), batch)
    assert value.shape == ()
    assert value.dtype == torch.float32
    assert value > 0
    assert loss.role in ("transfer", "prediction")
    assert loss.weight == 1.0


@every_divergence
def test_a_divergence_is_zero_for_equal_models(name: str) -> None:
    batch, loss = make_batch([3, 5]), LOSSES[name](CONTEXT)
    student = make_features(batch, 2, seed=1)
    torch.testing.assert_close(value_of(loss, student, paired(loss, student), batch), torch.tensor(0.0))


@every_divergence
def test_a_divergence_is_smallest_for_equal_models(name: str) -> None:
    batch, loss = make_batch([3, 5]), LOSSES[name](CONTEXT)
    student = make_features(batch, 2, seed=1)
    teacher = paired(loss, student)
    for seed in range(5):
        other = make_features(batch, 2, seed=seed + 10)
        mixed = {key: 0.9 * value + 0.1 * other[key] for key, value in student.items()}
        assert value_of(loss, mixed, teacher, batch) > 1e-6


def test_a_cross_entropy_is_smallest_at_the_label_frequencies() -> None:
    loss = LOSSES["hard_label"](CONTEXT)
    batch = replace(make_batch([2, 2, 2, 2]), labels=torch.tensor([0, 0, 1, 2]))
    best = torch.tensor([0.5, 0.25, 0.25]).log()
    at_best = value_of(loss, {("logits", None): best.repeat(4, 1)}, {}, batch)
    torch.testing.assert_close(at_best, 1.5 * torch.log(torch.tensor(2.0)))
    for seed in range(5):
        shift = 0.1 * torch.randn(3, generator=torch.Generator().manual_seed(seed))
        assert value_of(loss, {("logits", None): (best + shift).repeat(4, 1)}, {}, batch) > at_best


@every_loss
def test_padding_does_not_matter(name: str) -> None:
    loss = LOSSES[name](CONTEXT)
    short, padded = make_batch([3, 5]), make_batch([3, 5], 9)
    padded = replace(padded, labels=short.labels)
    values = []
    for batch, filler in ((short, 0.0), (padded, 0.0), (padded, 37.0)):
        student, teacher = (make_features(short, layers, seed=layers) for layers in (2, 4))
        wide = [{key: pad(key, value, batch, filler) for key, value in given.items()} for given in (student, teacher)]
        values.append(value_of(loss, wide[0], wide[1], batch))
    torch.testing.assert_close(values[1], values[0])
    torch.testing.assert_close(values[2], values[0])


def pad(key: FeatureKey, value: Tensor, batch: Batch, filler: float) -> Tensor:
    """A feature in a batch with more padding; what stands under the padding is arbitrary."""
    tokens = batch.input_ids.shape[1]
    if key[0] == "logits":
        return value
    if key[0] == "hidden_states":
        result = torch.full((*value.shape[:1], tokens, value.shape[2]), filler)
        result[:, : value.shape[1]] = value
        return torch.where(batch.attention_mask[..., None], result, filler)
    result = torch.full((*value.shape[:2], tokens, tokens), 1 / tokens)
    result[:, :, : value.shape[2]] = 0
    result[:, :, : value.shape[2], : value.shape[3]] = value
    return result


@every_loss
def test_the_scale_does_not_depend_on_batch_size(name: str) -> None:
    loss, batch = LOSSES[name](CONTEXT), make_batch([3, 5])
    student, teacher = make_features(batch, 2, seed=1), make_features(batch, 4, seed=2)
    once = value_of(loss, student, teacher, batch)
    doubled = Batch(*(torch.cat([value, value]) for value in vars(batch).values()))
    twice = value_of(
        loss,
        {key: torch.cat([value, value]) for key, value in student.items()},
        {key: torch.cat([value, value]) for key, value in teacher.items()},
        doubled,
    )
    torch.testing.assert_close(twice, once)


def test_the_scale_of_hidden_states_does_not_depend_on_length_or_width() -> None:
    for hidden in (8, 32):
        context = replace(CONTEXT, student=replace(SIZES, hidden=hidden), teacher=replace(SIZES, hidden=hidden))
        loss = HiddenMSE(context, weight=1.0, embeddings=True)
        for length in (2, 50):
            batch = make_batch([length] * 4)
            student = make_features(batch, 2, seed=1, hidden=hidden)
            teacher = {key: value + 1 for key, value in paired(loss, student).items()}
            torch.testing.assert_close(value_of(loss, student, teacher, batch), torch.tensor(1.0))


def test_the_scale_of_attention_does_not_depend_on_length_or_heads() -> None:
    loss = LOSSES["attention_kl"](CONTEXT)
    for length in (4, 64):
        batch = make_batch([length] * 2)
        uniform = torch.full((2, 2, length, length), 1 / length)
        half = torch.zeros(2, 2, length, length)
        half[..., : length // 2] = 2 / length
        value = value_of(
            loss,
            {("attentions", 1): uniform, ("attentions", 2): uniform},
            {("attentions", 2): half, ("attentions", 4): half},
            batch,
        )
        torch.testing.assert_close(value, torch.log(torch.tensor(2.0)))


@every_loss
def test_bfloat16_is_close_to_float32(name: str) -> None:
    loss, batch = LOSSES[name](CONTEXT), make_batch([3, 5])
    student, teacher = make_features(batch, 2, seed=1), make_features(batch, 4, seed=2)
    exact = value_of(loss, student, teacher, batch)
    rough = value_of(
        loss,
        {key: value.bfloat16() for key, value in student.items()},
        {key: value.bfloat16() for key, value in teacher.items()},
        batch,
    )
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.03, atol=0.01)


@every_loss
def test_gradients_reach_the_student_and_never_the_teacher(name: str) -> None:
    loss, batch = LOSSES[name](CONTEXT), make_batch([3, 5])
    student, teacher = make_features(batch, 2, seed=1), make_features(batch, 4, seed=2)
    for value in (*student.values(), *teacher.values()):
        value.requires_grad_()
    torch.autograd.backward(value_of(loss, student, teacher, batch))
    for key in loss.student_features:
        gradient = student[key].grad
        assert gradient is not None
        assert torch.isfinite(gradient).all()
        assert gradient.abs().sum() > 0
    assert all(value.grad is None for value in teacher.values())


def test_attention_that_ignores_a_key_has_finite_gradients() -> None:
    loss, batch = LOSSES["attention_kl"](replace(CONTEXT, layer_pairs=((1, 2),))), make_batch([3, 3])
    scores = torch.tensor([0.0, 0.0, -500.0]).repeat(2, 2, 3, 1).requires_grad_()
    value = value_of(
        loss, {("attentions", 1): scores.softmax(-1)}, {("attentions", 2): torch.full((2, 2, 3, 3), 1 / 3)}, batch
    )
    torch.autograd.backward(value)
    assert torch.isfinite(value)
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 8.0])
def test_the_temperature_softens_and_rescales(temperature: float) -> None:
    loss = LogitsKL(CONTEXT, weight=1.0, temperature=temperature)
    batch = make_batch([3, 5])
    student, teacher = make_features(batch, 2, seed=1), make_features(batch, 4, seed=2)
    p = (teacher["logits", None] / temperature).softmax(-1)
    q = (student["logits", None] / temperature).softmax(-1)
    expected = temperature**2 * (p * (p / q).log()).sum(-1).mean()
    torch.testing.assert_close(value_of(loss, student, teacher, batch), expected)


def test_logits_of_tokens_count_where_the_mask_is_true() -> None:
    loss, batch = LOSSES["logits_kl"](CONTEXT), make_batch([2, 4])
    student, teacher = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    value = value_of(loss, {("logits", None): student}, {("logits", None): teacher}, batch)
    flat = make_batch([1] * 6)
    kept = value_of(
        loss,
        {("logits", None): student[batch.attention_mask]},
        {("logits", None): teacher[batch.attention_mask]},
        flat,
    )
    torch.testing.assert_close(value, kept)


def test_a_regression_compares_values() -> None:
    one = replace(SIZES, classes=1)
    context = LossContext(one, one, ((1, 1),), replace(TASK, kind="regression", labels=()))
    batch = replace(make_batch([2, 2]), labels=torch.tensor([1.0, 3.0]))
    student, teacher = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [0.0]])
    value = value_of(LOSSES["logits_kl"](context), {("logits", None): student}, {("logits", None): teacher}, batch)
    torch.testing.assert_close(value, torch.tensor(2.5))
    value = value_of(LOSSES["hard_label"](context), {("logits", None): student}, {}, batch)
    torch.testing.assert_close(value, torch.tensor(0.5))


def test_equal_widths_need_no_projection() -> None:
    assert list(HiddenMSE(CONTEXT, weight=1.0, embeddings=True).parameters()) == []


@pytest.mark.parametrize(("embeddings", "pairs"), [(True, 3), (False, 2)])
def test_other_widths_get_a_trained_projection_per_pair(embeddings: bool, pairs: int) -> None:
    context = replace(CONTEXT, teacher=replace(SIZES, layers=4, hidden=12))
    loss = HiddenMSE(context, weight=1.0, embeddings=embeddings)
    parameters = list(loss.parameters())
    assert [tuple(parameter.shape) for parameter in parameters] == [(12, 8), (12,)] * pairs
    assert (("hidden_states", 0) in loss.student_features) == embeddings
    batch = make_batch([3, 5])
    torch.autograd.backward(
        value_of(loss, make_features(batch, 2, seed=1), make_features(batch, 4, seed=2, hidden=12), batch)
    )
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in parameters)


def test_projections_follow_the_global_seed() -> None:
    context = replace(CONTEXT, teacher=replace(SIZES, hidden=12))
    with torch.random.fork_rng():
        built = []
        for _ in range(2):
            torch.manual_seed(4)
            built.append(list(HiddenMSE(context, weight=1.0, embeddings=True).parameters()))
    assert all(first.equal(second) for first, second in zip(*built, strict=True))


@pytest.mark.parametrize("name", ["hidden_mse", "attention_kl"])
def test_layers_that_were_not_run_are_left_out(name: str) -> None:
    batch = make_batch([3, 5])
    student, teacher = make_features(batch, 2, seed=1), make_features(batch, 4, seed=2)
    both = LOSSES[name](CONTEXT)
    first = LOSSES[name](replace(CONTEXT, layer_pairs=((1, 2),)))
    part = {key: value for key, value in student.items() if key[1] != 2}
    torch.testing.assert_close(both(part, teacher, batch), value_of(first, student, teacher, batch))


def test_what_cannot_work_is_refused_and_an_alternative_named() -> None:
    with pytest.raises(
        ConfigError, match=r"3 and 5\. Use a teacher with a head for this task, or the loss 'hidden_mse'"
    ):
        LOSSES["logits_kl"](replace(CONTEXT, teacher=replace(SIZES, classes=5)))
    with pytest.raises(ConfigError, match=r"2 heads and the teacher 12\. .* or use the loss 'hidden_mse'"):
        LOSSES["attention_kl"](replace(CONTEXT, teacher=replace(SIZES, heads=12)))
    with pytest.raises(ConfigError, match=r"the data is label-free\. Use the loss 'logits_kl'"):
        LOSSES["hard_label"](replace(CONTEXT, task=replace(TASK, label_free=True)))
    for name in ("hidden_mse", "attention_kl"):
        with pytest.raises(ConfigError, match=f"loss.{name} compares layers, but the schedule pairs no"):
            LOSSES[name](replace(CONTEXT, layer_pairs=()))


def test_a_batch_without_labels_is_refused() -> None:
    batch = replace(make_batch([2]), labels=None)
    with pytest.raises(ConfigError, match="the batch has none"):
        value_of(LOSSES["hard_label"](CONTEXT), make_features(batch, 2, seed=1), {}, batch)
