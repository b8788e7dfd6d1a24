"""The student family `mobilebert`: sizes in closed form, checks, and how it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from autodistill.components.architecture import Architecture
from autodistill.components.students import Vocabulary
from autodistill.components.task import TASK_KINDS, TaskSpec
from autodistill.errors import ConfigError
from autodistill.students.configs import MobileBertFamilyConfig
from autodistill.students.mobilebert import MobileBertFamily
from autodistill.testing.losses import toy_batch


def arch(
    layers: int = 4, hidden: int = 136, bottleneck: int = 16, heads: int = 2, inner: int = 24, num_ffn: int = 3
) -> Architecture:
    sizes = {"num_layers": layers, "hidden_size": hidden, "bottleneck_size": bottleneck, "num_heads": heads}
    return Architecture("mobilebert", {**sizes, "intermediate_size": inner, "num_ffn": num_ffn})


architectures = st.builds(
    lambda layers, hidden, size, heads, inner, num_ffn: arch(layers, hidden, size * heads, heads, inner, num_ffn),
    st.integers(1, 3),
    st.integers(129, 160),
    st.integers(1, 12),
    st.integers(1, 4),
    st.integers(1, 60),
    st.integers(1, 3),
)
vocabularies = st.builds(Vocabulary, st.integers(4, 60), st.integers(16, 40), st.integers(1, 3), st.just(0))


def task_of(kind: str) -> TaskSpec:
    labels = ("a", "b", "c") if "classification" in kind else ()
    return TaskSpec(kind, labels, ("text",), "classification.accuracy")


tasks = st.builds(task_of, st.sampled_from(TASK_KINDS))


@settings(max_examples=20)
@given(architectures, tasks, vocabularies)
def test_parameters_in_closed_form_are_those_of_the_built_model(
    architecture: Architecture, task: TaskSpec, vocabulary: Vocabulary
) -> None:
    family = MobileBertFamily(**asdict(MobileBertFamilyConfig()))
    model = family.build(architecture, task, vocabulary)
    assert family.parameters(architecture, task, vocabulary) == sum(p.numel() for p in model.parameters())


@settings(max_examples=15)
@given(architectures, tasks, vocabularies, st.integers(1, 16))
def test_flops_in_closed_form_are_what_the_built_model_computes(
    architecture: Architecture, task: TaskSpec, vocabulary: Vocabulary, tokens: int
) -> None:
    family = MobileBertFamily(**asdict(MobileBertFamilyConfig()))
    model = family.build(architecture, task, vocabulary)
    model.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.ones(1, tokens, dtype=torch.long))
    assert family.flops(architecture, task, vocabulary, tokens) == counter.get_total_flops()


def test_published_sizes_have_the_published_number_of_parameters(mobilebert_family: MobileBertFamily) -> None:
    """transformers' MobileBERT has 24.58M parameters without and 24.84M with the pooler, 36.60M with the LM head."""
    published = arch(24, 512, 128, 4, 512, 4)
    vocabulary = Vocabulary(size=30522, max_positions=512, type_size=2, pad_token_id=0)
    count = mobilebert_family.parameters(published, task_of("embedding"), vocabulary)
    assert round(count / 1e6, 2) == 24.84
    assert round(mobilebert_family.parameters(published, task_of("mlm"), vocabulary) / 1e6, 2) == 36.60


def test_architecture_of_a_built_model_is_the_one_it_was_built_from(
    mobilebert_family: MobileBertFamily, any_task: TaskSpec, vocabulary: Vocabulary
) -> None:
    model = mobilebert_family.build(arch(), any_task, vocabulary)
    assert mobilebert_family.architecture_of(model) == arch()
    model.config.normalization_type = "layer_norm"
    assert mobilebert_family.architecture_of(model) is None


def test_bert_is_not_of_this_family(mobilebert_family: MobileBertFamily, make_teacher: Any) -> None:
    assert mobilebert_family.architecture_of(make_teacher()) is None


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (arch(hidden=128), r"hidden_size must be > 128, the width of MobileBERT's word embedding, got 128 in"),
        (arch(heads=3), r"num_heads must divide bottleneck_size, got 3 and 16 in mobilebert\("),
        (arch(num_ffn=0), r"num_ffn must be a whole number >= 1, got 0"),
    ],
)
def test_impossible_choices_are_refused(
    mobilebert_family: MobileBertFamily, architecture: Architecture, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        mobilebert_family.validate(architecture)


@pytest.fixture
def teacher(mobilebert_family: MobileBertFamily, task: TaskSpec, vocabulary: Vocabulary) -> Any:
    torch.manual_seed(0)
    model = mobilebert_family.build(arch(), task, vocabulary)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


def test_student_of_the_teachers_architecture_repeats_its_logits_exactly(
    mobilebert_family: MobileBertFamily,
    task: TaskSpec,
    vocabulary: Vocabulary,
    teacher: Any,
    logits_of: Callable[[Any], torch.Tensor],
) -> None:
    student = mobilebert_family.build(arch(), task, vocabulary)
    report = mobilebert_family.initialise(student, teacher)
    assert torch.equal(logits_of(student), logits_of(teacher))
    assert set(report.groups.values()) == {"exact"}


def without_dense_pooler(model: Any) -> Any:
    """A model of the same weights as the published checkpoint has them: nothing between first token and classifier."""
    config = type(model.config)(**{**model.config.to_dict(), "classifier_activation": False})
    other = type(model)(config).eval()
    other.load_state_dict({name: value for name, value in model.state_dict().items() if "pooler" not in name})
    return other


def test_a_teacher_as_published_gives_all_but_the_pooler_that_it_lacks(
    mobilebert_family: MobileBertFamily,
    task: TaskSpec,
    vocabulary: Vocabulary,
    teacher: Any,
    batch: dict[str, torch.Tensor],
) -> None:
    published, student = without_dense_pooler(teacher), mobilebert_family.build(arch(), task, vocabulary)
    head = student.classifier.weight.clone()
    groups = mobilebert_family.initialise(student, published).groups
    assert {name for name, kind in groups.items() if kind != "exact"} == {"pooler", "classifier"}
    assert torch.equal(student.classifier.weight, head), "a head over another pooler means nothing"
    states = [model.base_model(**batch).last_hidden_state for model in (student, published)]
    assert torch.equal(*states)
    assert mobilebert_family.architecture_of(published) == arch()


def test_a_head_over_tokens_fits_whatever_the_pooler(
    mobilebert_family: MobileBertFamily, vocabulary: Vocabulary, logits_of: Callable[[Any], torch.Tensor]
) -> None:
    task = task_of("token_classification")
    published = without_dense_pooler(mobilebert_family.build(arch(), task, vocabulary))
    student = mobilebert_family.build(arch(), task, vocabulary)
    assert set(mobilebert_family.initialise(student, published).groups.values()) == {"exact"}
    assert torch.equal(logits_of(student), logits_of(published))


def test_a_student_may_start_at_random_to_show_what_the_teacher_gives(
    task: TaskSpec, vocabulary: Vocabulary, teacher: Any
) -> None:
    family = MobileBertFamily(**asdict(MobileBertFamilyConfig(initialisation="random")))
    student = family.build(arch(), task, vocabulary)
    before = [parameter.clone() for parameter in student.parameters()]
    assert set(family.initialise(student, teacher).groups.values()) == {"random"}
    assert all(torch.equal(a, b) for a, b in zip(before, student.parameters(), strict=True))


def test_shallower_student_holds_exact_copies_of_the_mapped_layers(
    mobilebert_family: MobileBertFamily, task: TaskSpec, vocabulary: Vocabulary, teacher: Any
) -> None:
    student = mobilebert_family.build(arch(layers=2), task, vocabulary)
    report = mobilebert_family.initialise(student, teacher)
    assert report.layer_map == (2, 4)
    for mine, theirs in zip(student.base_model.encoder.layer, [1, 3], strict=True):
        source = teacher.base_model.encoder.layer[theirs]
        assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), source.parameters(), strict=True))


def test_dropping_units_and_adding_networks_that_do_nothing_changes_nothing(
    mobilebert_family: MobileBertFamily,
    task: TaskSpec,
    vocabulary: Vocabulary,
    teacher: Any,
    logits_of: Callable[[Any], torch.Tensor],
) -> None:
    with torch.no_grad():
        for layer in teacher.base_model.encoder.layer:
            layer.output.dense.weight[:, :8] = 0
            for network in layer.ffn:
                network.output.dense.weight[:, 8:16] = 0
    student = mobilebert_family.build(arch(inner=16, num_ffn=4), task, vocabulary)
    report = mobilebert_family.initialise(student, teacher)
    torch.testing.assert_close(logits_of(student), logits_of(teacher))
    assert report.groups["layer.0.feed_forward"] == "reduced"
    assert report.groups["layer.0.attention"] == "exact"


@pytest.mark.parametrize("importance", ["activations", "weights"])
def test_units_that_are_silent_on_text_go_first_whatever_their_weights(
    importance: str, task: TaskSpec, vocabulary: Vocabulary, teacher: Any, logits_of: Callable[[Any], torch.Tensor]
) -> None:
    with torch.no_grad():
        for layer in teacher.base_model.encoder.layer:
            for inner in (layer.intermediate.dense, *(network.intermediate.dense for network in layer.ffn)):
                inner.bias[:8] = -100  # large weights, which ReLU never lets through
    family = MobileBertFamily(**asdict(MobileBertFamilyConfig(importance=importance)))
    student = family.build(arch(inner=16), task, vocabulary)
    family.initialise(student, teacher, [toy_batch([5, 9]), toy_batch([3], seed=1)])
    same = torch.allclose(logits_of(student), logits_of(teacher), rtol=1e-4, atol=1e-5)
    assert same == (importance == "activations")


def test_a_teacher_runs_once_over_the_text_for_all_students(
    mobilebert_family: MobileBertFamily, task: TaskSpec, vocabulary: Vocabulary, teacher: Any
) -> None:
    passes = []
    teacher.base_model.encoder.register_forward_hook(lambda *_: passes.append(1))
    for inner in (8, 16):
        student = mobilebert_family.build(arch(inner=inner), task, vocabulary)
        mobilebert_family.initialise(student, teacher, [toy_batch([5, 9])])
    assert len(passes) == 1


def test_bert_teacher_gives_reduced_word_embeddings_and_the_rest_stays_random(
    mobilebert_family: MobileBertFamily, task: TaskSpec, vocabulary: Vocabulary, make_teacher: Any
) -> None:
    student = mobilebert_family.build(arch(), task, vocabulary)
    before = student.base_model.encoder.layer[0].attention.self.query.weight.clone()
    report = mobilebert_family.initialise(student, make_teacher(hidden_size=144))
    assert report.groups["word_embeddings"] == "reduced"
    assert {kind for group, kind in report.groups.items() if group != "word_embeddings"} == {"random"}
    assert torch.equal(before, student.base_model.encoder.layer[0].attention.self.query.weight)


@pytest.mark.parametrize("width", [128, 144])
def test_padding_does_not_matter_to_a_student_of_another_family(
    width: int, mobilebert_family: MobileBertFamily, task: TaskSpec, vocabulary: Vocabulary, make_teacher: Any
) -> None:
    """A token reads its neighbours' embeddings, so that of the padding must be the zeros beyond a text's end."""
    student = mobilebert_family.build(arch(), task, vocabulary)
    mobilebert_family.initialise(student, make_teacher(hidden_size=width))
    check_padding(student, vocabulary)


def test_padding_does_not_matter_to_a_student_of_a_mobilebert(
    mobilebert_family: MobileBertFamily, task: TaskSpec, vocabulary: Vocabulary, teacher: Any
) -> None:
    assert teacher.get_input_embeddings().weight[vocabulary.pad_token_id].any()
    student = mobilebert_family.build(arch(layers=2), task, vocabulary)
    mobilebert_family.initialise(student, teacher)
    check_padding(student, vocabulary)


def check_padding(student: Any, vocabulary: Vocabulary) -> None:
    alone = torch.randint(1, 50, (2, 7))
    padded = torch.nn.functional.pad(alone, (0, 4), value=vocabulary.pad_token_id)
    with torch.no_grad():
        states = [student.base_model(ids, (ids != 0).long()).last_hidden_state[:, :7] for ids in (alone, padded)]
    torch.testing.assert_close(*states)
