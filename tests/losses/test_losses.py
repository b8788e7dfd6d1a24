"""The mathematics of each built-in loss beyond what the conformance suite asks of all of them."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from importlib import import_module
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autodistill.components.students import Dimensions
from autodistill.components.task import IGNORED, TaskSpec
from autodistill.components.training import Batch, FeatureKey, LossContext
from autodistill.errors import ConfigError
from autodistill.losses.divergences import divergence, kl
from autodistill.losses.plugin import autodistill_losses
from autodistill.testing.losses import toy_batch, toy_features, value_of

SIZES = Dimensions(layers=2, hidden=8, heads=2, classes=3)
TASK = TaskSpec("classification", ("a", "b", "c"), ("text",), "classification.accuracy")
CONTEXT = LossContext(SIZES, replace(SIZES, layers=4), ((1, 2), (2, 4)), TASK)
MLM = replace(TASK, kind="mlm", labels=())
SPECS = {spec.name: spec for spec in autodistill_losses()}
TRANSFER = ("hidden_mse", "hidden_cosine", "feature_map", "attention_kl", "attention_mse")


def make(name: str, context: LossContext = CONTEXT, **parameters: Any) -> Any:
    module, attribute = SPECS[name].target.split(":")
    return getattr(import_module(module), attribute)(context, **asdict(SPECS[name].config(**parameters)))


def log_distributions(seed: int, classes: int, sharpness: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = (sharpness * torch.randn(4, classes, generator=generator) for _ in range(2))
    return first.log_softmax(-1), second.log_softmax(-1)


sharpness = st.floats(0.0, 30.0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 40), sharpness, st.floats(0.01, 0.99))
def test_divergences_are_never_negative_and_bounded_as_theory_says(
    seed: int, classes: int, sharp: float, beta: float
) -> None:
    teacher, student = log_distributions(seed, classes, sharp)
    for name in ("forward", "reverse", "symmetric", "jsd"):
        assert bool((divergence(name, teacher, student, beta) >= -1e-5).all())
        assert bool((divergence(name, teacher, teacher, beta).abs() <= 1e-5).all())
    entropy = -beta * math.log(beta) - (1 - beta) * math.log1p(-beta)
    assert bool((divergence("jsd", teacher, student, beta) <= entropy + 1e-5).all())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 40), sharpness)
def test_divergences_mirror_each_other(seed: int, classes: int, sharp: float) -> None:
    teacher, student = log_distributions(seed, classes, sharp)
    forward, reverse = divergence("forward", teacher, student, 0.5), divergence("reverse", teacher, student, 0.5)
    assert forward.equal(divergence("reverse", student, teacher, 0.5))
    torch.testing.assert_close(divergence("symmetric", teacher, student, 0.5), (forward + reverse) / 2)
    torch.testing.assert_close(
        divergence("symmetric", teacher, student, 0.5), divergence("symmetric", student, teacher, 0.5)
    )
    for beta in (0.2, 0.5):
        torch.testing.assert_close(
            divergence("jsd", teacher, student, beta), divergence("jsd", student, teacher, 1 - beta)
        )


def test_the_generalised_jsd_tends_to_the_kls() -> None:
    teacher, student = (value.double() for value in log_distributions(1, 5, 1.0))
    small = 1e-5  # GKD (arXiv 2306.13649): the limits divided by beta and by 1 - beta
    torch.testing.assert_close(
        divergence("jsd", teacher, student, small) / small, kl(teacher, student), rtol=1e-3, atol=1e-4
    )
    torch.testing.assert_close(
        divergence("jsd", teacher, student, 1 - small) / small, kl(student, teacher), rtol=1e-3, atol=1e-4
    )


def test_forward_covers_and_reverse_seeks_one_mode() -> None:
    """Between two peaks forward KL punishes the student that ignores one, reverse KL the one that spreads out."""
    two_peaks = torch.tensor([0.495, 0.01, 0.495]).log()
    one_peak, spread = torch.tensor([0.98, 0.01, 0.01]).log(), torch.tensor([1 / 3, 1 / 3, 1 / 3]).log()
    assert kl(two_peaks, one_peak) > kl(two_peaks, spread)
    assert kl(one_peak, two_peaks) < kl(spread, two_peaks)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.25, 16.0), st.integers(0, 1000))
def test_the_temperature_softens_and_rescales(temperature: float, seed: int) -> None:
    loss, batch = make("logits_kl", temperature=temperature), toy_batch([3, 5])
    student, teacher = (toy_features(batch, SIZES, seed=seed + side) for side in (0, 1))
    p = (teacher["logits", None] / temperature).softmax(-1)
    q = (student["logits", None] / temperature).softmax(-1)
    expected = temperature**2 * (p * (p / q).log()).sum(-1).mean()
    torch.testing.assert_close(value_of(loss, student, teacher, batch), expected, rtol=1e-3, atol=1e-4)


def test_logits_of_tokens_count_where_they_are_labelled() -> None:
    context = replace(CONTEXT, task=replace(TASK, kind="token_classification"))
    loss, batch = make("logits_kl", context), toy_batch([2, 4])
    labels = torch.full((2, 4), IGNORED)
    labels[0, 1] = labels[1, 3] = 2
    student, teacher = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    value = loss({("logits", None): student}, {("logits", None): teacher}, replace(batch, labels=labels))
    counted = labels != IGNORED
    kept = make("logits_kl")(
        {("logits", None): student[counted]}, {("logits", None): teacher[counted]}, toy_batch([1, 1])
    )
    torch.testing.assert_close(value, kept)


def test_a_regression_compares_values() -> None:
    one = replace(SIZES, classes=1)
    context = LossContext(one, one, ((1, 1),), replace(TASK, kind="regression", labels=()))
    batch = replace(toy_batch([2, 2]), labels=torch.tensor([1.0, 3.0]))
    student, teacher = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [0.0]])
    value = make("logits_kl", context)({("logits", None): student}, {("logits", None): teacher}, batch)
    torch.testing.assert_close(value, torch.tensor(2.5))
    value = make("hard_label", context)({("logits", None): student}, {}, batch)
    torch.testing.assert_close(value, torch.tensor(0.5))


def test_a_cross_entropy_is_smallest_at_the_label_frequencies() -> None:
    loss = make("hard_label")
    batch = replace(toy_batch([2, 2, 2, 2]), labels=torch.tensor([0, 0, 1, 2]))
    best = torch.tensor([0.5, 0.25, 0.25]).log()
    at_best = loss({("logits", None): best.repeat(4, 1)}, {}, batch)
    torch.testing.assert_close(at_best, 1.5 * torch.log(torch.tensor(2.0)))
    for seed in range(5):
        shift = 0.1 * torch.randn(3, generator=torch.Generator().manual_seed(seed))
        assert loss({("logits", None): (best + shift).repeat(4, 1)}, {}, batch) > at_best


@settings(max_examples=20, deadline=None)
@given(st.floats(0.0, 0.9), st.integers(0, 1000))
def test_soft_masked_words_are_cheapest_at_the_mixture(share: float, seed: int) -> None:
    loss = make("mlm_soft", replace(CONTEXT, task=MLM), hard_share=share)
    generator = torch.Generator().manual_seed(seed)
    batch = replace(toy_batch([3, 3]), labels=torch.tensor([[IGNORED, 4, IGNORED], [0, IGNORED, IGNORED]]))
    teacher = torch.randn(2, 11, generator=generator)
    labels = torch.nn.functional.one_hot(torch.tensor([4, 0]), 11)
    targets = share * labels + (1 - share) * teacher.softmax(-1)
    best = targets.clamp_min(1e-12).log()

    def value(logits: Tensor) -> Tensor:
        result: Tensor = loss({("masked_logits", None): logits}, {("masked_logits", None): teacher}, batch)
        return result

    entropy = -(targets * targets.clamp_min(1e-12).log()).sum(-1).mean()
    torch.testing.assert_close(value(best), entropy, rtol=1e-4, atol=1e-5)
    assert value(best + 0.3 * torch.randn(2, 11, generator=generator)) > entropy


@pytest.mark.parametrize(
    ("name", "parameters", "teacher_key"),
    [
        ("hard_label", {}, None),
        ("logits_kl", {"temperature": 1.0}, "masked_logits"),
        ("logits_kl", {"temperature": 2.0}, "logits"),
    ],
)
def test_only_masked_words_are_asked_of_a_student(
    name: str, parameters: dict[str, float], teacher_key: str | None
) -> None:
    loss = make(name, replace(CONTEXT, task=MLM), **parameters)
    assert loss.student_features == {("masked_logits", None)}
    assert loss.teacher_features == ({(teacher_key, None)} if teacher_key else set())
    batch = toy_batch([5, 3], task=MLM)
    student, teacher = (toy_features(batch, SIZES, task=MLM, seed=seed) for seed in (1, 2))
    assert batch.labels is not None
    counted = batch.labels != IGNORED
    own, other = student["logits", None][counted], teacher["logits", None][counted]
    if name == "hard_label":
        expected = torch.nn.functional.cross_entropy(own, batch.labels[counted])
    else:
        t = parameters["temperature"]
        expected = t**2 * kl((other / t).log_softmax(-1), (own / t).log_softmax(-1)).mean()
    torch.testing.assert_close(value_of(loss, student, teacher, batch), expected)


def test_nothing_masked_costs_nothing() -> None:
    loss = make("mlm_soft", replace(CONTEXT, task=MLM))
    batch = replace(toy_batch([3]), labels=torch.full((1, 3), IGNORED))
    logits = torch.randn(0, 11, requires_grad=True)
    value = loss({("masked_logits", None): logits}, {("masked_logits", None): torch.randn(0, 11)}, batch)
    torch.autograd.backward(value)
    assert float(value.detach()) == 0.0


def test_the_scale_of_hidden_states_does_not_depend_on_length_or_width() -> None:
    for hidden in (8, 32):
        size = replace(SIZES, hidden=hidden)
        loss = make("hidden_mse", replace(CONTEXT, student=size, teacher=size, layer_pairs=((1, 1), (2, 2))))
        for length in (2, 50):
            batch = toy_batch([length] * 4)
            student = toy_features(batch, size, seed=1)
            teacher = {key: value + 1 for key, value in student.items()}
            torch.testing.assert_close(value_of(loss, student, teacher, batch), torch.tensor(1.0))


@pytest.mark.parametrize("length", [4, 64])
def test_the_scale_of_attention_does_not_depend_on_length(length: int) -> None:
    batch = toy_batch([length] * 2)
    uniform = torch.full((2, 2, length, length), 1 / length)
    half = torch.zeros(2, 2, length, length)
    half[..., : length // 2] = 2 / length
    pairs = ((1, uniform), (2, uniform)), ((2, half), (4, half))
    student, teacher = ({("attentions", layer): value for layer, value in side} for side in pairs)
    torch.testing.assert_close(make("attention_kl")(student, teacher, batch), torch.log(torch.tensor(2.0)))
    scores = [{("attention_scores", layer): value for (_, layer), value in side.items()} for side in (student, teacher)]
    shifted = dict.fromkeys(scores[1], scores[0]["attention_scores", 1] + 3)
    torch.testing.assert_close(make("attention_mse")(scores[0], shifted, batch), torch.tensor(9.0))


def test_attention_that_ignores_a_key_has_finite_gradients() -> None:
    loss, batch = make("attention_kl", replace(CONTEXT, layer_pairs=((1, 2),))), toy_batch([3, 3])
    scores = torch.tensor([0.0, 0.0, -500.0]).repeat(2, 2, 3, 1).requires_grad_()
    value = loss({("attentions", 1): scores.softmax(-1)}, {("attentions", 2): torch.full((2, 2, 3, 3), 1 / 3)}, batch)
    torch.autograd.backward(value)
    assert torch.isfinite(value)
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 10.0), st.integers(0, 1000))
def test_the_cosine_knows_directions_only(factor: float, seed: int) -> None:
    loss, batch = make("hidden_cosine", last_only=False), toy_batch([3, 5])
    student, teacher = (toy_features(batch, replace(SIZES, layers=4), seed=seed + side) for side in (0, 1))
    scaled = {key: factor * value for key, value in student.items()}
    torch.testing.assert_close(value_of(loss, scaled, teacher, batch), value_of(loss, student, teacher, batch))
    opposite: dict[FeatureKey, Tensor] = {
        ("hidden_states", 2 * layer): -student["hidden_states", layer] for layer in (1, 2)
    }
    torch.testing.assert_close(value_of(loss, student, opposite, batch), torch.tensor(2.0))


def test_the_terms_of_the_feature_map_see_what_they_are_for() -> None:
    pairs = replace(CONTEXT, layer_pairs=((1, 1),))
    batch = toy_batch([3, 5])
    student = toy_features(batch, SIZES, seed=1)
    states = student["hidden_states", 1]

    def term(name: str, other: Tensor) -> float:
        factors = {field: float(field == name) for field in ("shape", "mean", "variance")}
        return float(make("feature_map", pairs, **factors)(student, {("hidden_states", 1): other}, batch))

    shifted, stretched = states + 2, states.mean(-1, keepdim=True) + 3 * (states - states.mean(-1, keepdim=True))
    counted = states.var(-1, correction=0)[batch.attention_mask].mean()
    assert term("shape", shifted) == pytest.approx(0, abs=1e-6)
    assert term("mean", shifted) == pytest.approx(4, rel=1e-5)
    assert term("variance", shifted) == pytest.approx(0, abs=1e-5)
    assert term("shape", stretched) == pytest.approx(0, abs=1e-6)
    assert term("mean", stretched) == pytest.approx(0, abs=1e-6)
    assert term("variance", stretched) == pytest.approx(8 * float(counted), rel=1e-4)


@pytest.mark.parametrize(("heads", "relation_heads"), [(1, 2), (4, 2), (8, 4), (2, 1)])
def test_relations_do_not_see_how_heads_are_split(heads: int, relation_heads: int) -> None:
    """The same queries, keys and values in another number of heads are the same relations."""
    batch = toy_batch([3, 5])
    student = toy_features(batch, replace(SIZES, heads=2), seed=1)
    resplit: dict[FeatureKey, Tensor] = {
        (name, 2): value.transpose(1, 2).reshape(2, 5, heads, 8 // heads).transpose(1, 2)
        for (name, layer), value in student.items()
        if name in ("queries", "keys", "values") and layer == 2
    }
    context = replace(CONTEXT, teacher=replace(SIZES, heads=heads))
    loss = make("minilm_relation", context, relation_heads=relation_heads)
    torch.testing.assert_close(value_of(loss, student, resplit, batch), torch.tensor(0.0), atol=1e-6, rtol=0)


def test_relations_are_those_of_the_paper() -> None:
    batch, size = toy_batch([4]), replace(SIZES, heads=1)
    context = replace(CONTEXT, student=size, teacher=replace(size, layers=4))
    student, teacher = toy_features(batch, size, seed=1), toy_features(batch, replace(size, layers=4), seed=2)
    expected = []
    for name in ("queries", "keys", "values"):
        a, b = student[name, 2][0, 0], teacher[name, 3][0, 0]
        own, other = ((x @ x.T / math.sqrt(8)).softmax(-1) for x in (a, b))
        expected.append((other * (other / own).log()).sum(-1).mean())
    loss = make("minilm_relation", context, relation_heads=1, teacher_layer=-2)
    assert loss.pairs == ((2, 3),)
    torch.testing.assert_close(value_of(loss, student, teacher, batch), torch.stack(expected).mean())


def test_relations_of_pairs_are_the_mean_over_the_layers_that_were_run() -> None:
    batch, size = toy_batch([4, 2]), replace(SIZES, layers=4)
    student, teacher = toy_features(batch, SIZES, seed=1), toy_features(batch, size, seed=2)
    context = replace(CONTEXT, teacher=size, layer_pairs=((1, 2), (2, 4)))
    loss = make("minilm_relation", context, layers="pairs")
    assert {layer for _, layer in loss.student_features} == {1, 2}
    assert {layer for _, layer in loss.teacher_features} == {2, 4}

    upper = value_of(make("minilm_relation", context), student, teacher, batch)
    lowest = {key: value for key, value in student.items() if key[1] != 2}  # a stage that runs the first layer
    lower = loss(lowest, teacher, batch)
    assert lower > 0
    torch.testing.assert_close(value_of(loss, student, teacher, batch), (upper + lower) / 2)


def test_relations_of_pairs_need_a_pair() -> None:
    with pytest.raises(ConfigError, match=r"loss.minilm_relation compares layers, but the schedule pairs no student"):
        make("minilm_relation", replace(CONTEXT, layer_pairs=()), layers="pairs")


def test_relation_heads_are_chosen_for_any_widths() -> None:
    def heads(student: Dimensions, teacher: Dimensions) -> int:
        chosen: int = make("minilm_relation", replace(CONTEXT, student=student, teacher=teacher)).relation_heads
        return chosen

    teacher = Dimensions(layers=12, hidden=768, heads=12, classes=3)
    assert heads(replace(SIZES, hidden=384, heads=6), teacher) == 12
    assert heads(replace(SIZES, hidden=320, heads=5), teacher) == 8
    assert heads(Dimensions(24, 512, 4, 3, attention_width=96), teacher) == 12
    assert heads(replace(SIZES, hidden=97, heads=1), teacher) == 1


def test_equal_widths_need_no_projection() -> None:
    for name in ("hidden_mse", "hidden_cosine", "feature_map", "embedding_mse"):
        assert list(make(name).parameters()) == []


@pytest.mark.parametrize(
    ("name", "parameters", "count"),
    [
        ("hidden_mse", {"embeddings": True}, 3),
        ("hidden_mse", {"embeddings": False}, 2),
        ("hidden_cosine", {"last_only": True}, 1),
        ("hidden_cosine", {"last_only": False}, 2),
        ("feature_map", {}, 2),
        ("embedding_mse", {}, 1),
    ],
)
def test_other_widths_get_a_trained_projection_per_pair(name: str, parameters: dict[str, Any], count: int) -> None:
    loss = make(name, replace(CONTEXT, teacher=replace(SIZES, layers=4, hidden=12)), **parameters)
    assert [tuple(parameter.shape) for parameter in loss.parameters()] == [(12, 8), (12,)] * count


def test_projections_follow_the_global_seed() -> None:
    context = replace(CONTEXT, teacher=replace(SIZES, hidden=12))
    with torch.random.fork_rng():
        built = []
        for _ in range(2):
            torch.manual_seed(4)
            built.append(list(make("hidden_mse", context).parameters()))
    assert all(first.equal(second) for first, second in zip(*built, strict=True))


@pytest.mark.parametrize("name", TRANSFER)
def test_layers_that_were_not_run_are_left_out(name: str) -> None:
    batch = toy_batch([3, 5])
    student, teacher = toy_features(batch, SIZES, seed=1), toy_features(batch, replace(SIZES, layers=4), seed=2)
    parameters: dict[str, Any] = {"last_only": False} if name == "hidden_cosine" else {}
    both = make(name, CONTEXT, **parameters)
    first = make(name, replace(CONTEXT, layer_pairs=((1, 2),)), **parameters)
    part = {key: value for key, value in student.items() if key[1] != 2}
    torch.testing.assert_close(both(part, teacher, batch), value_of(first, student, teacher, batch))


@pytest.mark.parametrize("name", [*TRANSFER, "minilm_relation"])
def test_a_loss_none_of_whose_layers_was_run_is_zero(name: str) -> None:
    batch = toy_batch([3, 5])
    parameters: dict[str, Any] = {"embeddings": False} if name == "hidden_mse" else {}
    value = make(name, **parameters)({}, toy_features(batch, replace(SIZES, layers=4), seed=2), batch)
    torch.autograd.backward(value)
    assert float(value.detach()) == 0.0


def test_what_cannot_work_is_refused_and_an_alternative_named() -> None:
    with pytest.raises(
        ConfigError, match=r"3 and 5\. Use a teacher with a head for this task, or the loss 'hidden_mse'"
    ):
        make("logits_kl", replace(CONTEXT, teacher=replace(SIZES, classes=5)))
    for name in ("attention_kl", "attention_mse"):
        with pytest.raises(
            ConfigError, match=r"2 heads and the teacher 12\. Use the loss 'minilm_relation'.*num_heads=\[12\]"
        ):
            make(name, replace(CONTEXT, teacher=replace(SIZES, heads=12)))
    with pytest.raises(ConfigError, match=r"the data is label-free\. Use the loss 'logits_kl'"):
        make("hard_label", replace(CONTEXT, task=replace(TASK, label_free=True)))
    with pytest.raises(ConfigError, match=r"of kind 'classification'\. Use the losses 'logits_kl' and 'hard_label'"):
        make("mlm_soft")
    for name in TRANSFER:
        with pytest.raises(ConfigError, match=f"loss.{name} compares layers, but the schedule pairs no"):
            make(name, replace(CONTEXT, layer_pairs=()))
    with pytest.raises(ConfigError, match=r"relation_heads=3 must divide the width of the student's attention.* is 8"):
        make("minilm_relation", relation_heads=3)
    for layer in (5, -5):
        with pytest.raises(ConfigError, match=rf"teacher_layer is {layer}, but the teacher has 4 layers"):
            make("minilm_relation", teacher_layer=layer)


@pytest.mark.parametrize(("name", "task"), [("hard_label", TASK), ("mlm_soft", MLM)])
def test_a_batch_without_labels_is_refused(name: str, task: TaskSpec) -> None:
    batch: Batch = replace(toy_batch([2]), labels=None)
    features = toy_features(batch, SIZES, task=task, seed=1)
    with pytest.raises(ConfigError, match="the batch has none"):
        value_of(make(name, replace(CONTEXT, task=task)), features, features, batch)
