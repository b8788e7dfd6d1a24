"""The student family `bert`: sizes in closed form, checks, and how it starts from a BERT teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from autodistill.components.architecture import Architecture
from autodistill.components.students import Vocabulary
from autodistill.components.task import TASK_KINDS, TaskSpec
from autodistill.errors import ConfigError
from autodistill.students.bert import BertFamily
from autodistill.students.configs import BertFamilyConfig

Logits = Callable[[Any], torch.Tensor]


def arch(layers: int = 4, hidden: int = 32, heads: int = 4, inner: int = 48) -> Architecture:
    sizes = {"num_layers": layers, "hidden_size": hidden, "num_heads": heads, "intermediate_size": inner}
    return Architecture("bert", sizes)


architectures = st.builds(
    lambda layers, size, heads, inner: arch(layers, size * heads, heads, inner),
    st.integers(1, 3),
    st.integers(1, 12),
    st.integers(1, 4),
    st.integers(1, 60),
)
vocabularies = st.builds(Vocabulary, st.integers(4, 60), st.integers(16, 40), st.integers(1, 3), st.just(0))


def task_of(kind: str, classes: int) -> TaskSpec:
    labels = tuple(f"class {index}" for index in range(classes)) if "classification" in kind else ()
    return TaskSpec(kind, labels, ("text",), "classification.accuracy")


tasks = st.builds(task_of, st.sampled_from(TASK_KINDS), st.integers(2, 5))


@settings(max_examples=30)
@given(architectures, tasks, vocabularies)
def test_parameters_in_closed_form_are_those_of_the_built_model(
    architecture: Architecture, task: TaskSpec, vocabulary: Vocabulary
) -> None:
    family = BertFamily(**asdict(BertFamilyConfig()))
    model = family.build(architecture, task, vocabulary)
    assert family.parameters(architecture, task, vocabulary) == sum(p.numel() for p in model.parameters())


@settings(max_examples=20)
@given(architectures, tasks, vocabularies, st.integers(1, 16))
def test_flops_in_closed_form_are_what_the_built_model_computes(
    architecture: Architecture, task: TaskSpec, vocabulary: Vocabulary, tokens: int
) -> None:
    family = BertFamily(**asdict(BertFamilyConfig()))
    model = family.build(architecture, task, vocabulary)
    model.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.ones(1, tokens, dtype=torch.long))
    assert family.flops(architecture, task, vocabulary, tokens) == counter.get_total_flops()


def test_built_model_is_stock_labelled_and_silent_about_dropout(
    bert_family: BertFamily, task: TaskSpec, vocabulary: Vocabulary
) -> None:
    model = bert_family.build(arch(), task, vocabulary)
    assert type(model).__module__ == "transformers.models.bert.modeling_bert"
    assert model.config.id2label == {0: "bad", 1: "good", 2: "odd"}
    assert model.config.label2id == {"bad": 0, "good": 1, "odd": 2}
    assert model.config.problem_type == "single_label_classification"
    assert model.config.hidden_dropout_prob == 0
    assert not model.training


def test_same_seed_builds_the_same_weights(bert_family: BertFamily, task: TaskSpec, vocabulary: Vocabulary) -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(bert_family.build(arch(), task, vocabulary).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_attentions_and_hidden_states_can_be_had_after_a_switch_to_eager(
    bert_family: BertFamily, task: TaskSpec, vocabulary: Vocabulary, batch: dict[str, torch.Tensor]
) -> None:
    model = bert_family.build(arch(layers=2), task, vocabulary)
    model.set_attn_implementation("eager")
    output = model(**batch, output_attentions=True, output_hidden_states=True)
    assert [tuple(a.shape) for a in output.attentions] == [(3, 4, 11, 11)] * 2
    assert [tuple(h.shape) for h in output.hidden_states] == [(3, 11, 32)] * 3


def test_architecture_of_a_built_model_is_the_one_it_was_built_from(
    bert_family: BertFamily, any_task: TaskSpec, vocabulary: Vocabulary
) -> None:
    assert bert_family.architecture_of(bert_family.build(arch(2, 24, 3, 20), any_task, vocabulary)) == arch(
        2, 24, 3, 20
    )


def test_architecture_of_another_family_is_none(bert_family: BertFamily) -> None:
    config = DistilBertConfig(n_layers=1, dim=8, n_heads=2, hidden_dim=8, vocab_size=50)
    assert bert_family.architecture_of(DistilBertForSequenceClassification(config)) is None


def test_dimensions_are_those_of_the_model(bert_family: BertFamily, task: TaskSpec) -> None:
    dimensions = bert_family.dimensions(arch(3, 24, 2, 20), task)
    assert (dimensions.layers, dimensions.hidden, dimensions.heads, dimensions.classes) == (3, 24, 2, 3)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (arch(hidden=30), r"num_heads must divide hidden_size, got 4 and 30 in bert\(hidden_size=30, .*\)\."),
        (arch(layers=0), r"num_layers must be a whole number >= 1, got 0 in bert\("),
        (
            Architecture("bert", {**arch().choices, "num_heads": 2.5}),
            r"num_heads must be a whole number >= 1, got 2\.5",
        ),
        (Architecture("bert", {"num_layers": 2}), "lacks hidden_size, num_heads, intermediate_size; the family 'bert'"),
        (
            Architecture("bert", {**arch().choices, "num_layer": 2}),
            "has the unknown choice 'num_layer'. Did you mean 'num_layers'?",
        ),
        (
            Architecture("mobilebert", {}),
            r"The student family 'bert' cannot build mobilebert\(\): it is of 'mobilebert'",
        ),
    ],
)
def test_impossible_choices_are_refused(bert_family: BertFamily, architecture: Architecture, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        bert_family.validate(architecture)


def test_classification_without_class_names_is_refused(bert_family: BertFamily, vocabulary: Vocabulary) -> None:
    task = TaskSpec("classification", (), ("text",), "classification.accuracy", label_free=True)
    with pytest.raises(ConfigError, match="needs its class names before a model can be built, and it has none"):
        bert_family.build(arch(), task, vocabulary)


def test_student_of_the_teachers_architecture_repeats_its_logits_exactly(
    bert_family: BertFamily, task: TaskSpec, vocabulary: Vocabulary, make_teacher: Any, logits_of: Logits
) -> None:
    teacher = make_teacher(layer_norm_eps=1e-5)
    student = bert_family.build(arch(), task, vocabulary)
    report = bert_family.initialise(student, teacher)
    assert torch.equal(logits_of(student), logits_of(teacher))
    assert set(report.groups.values()) == {"exact"}
    assert report.layer_map == (1, 2, 3, 4)
    assert all(torch.equal(a, b) for a, b in zip(student.parameters(), teacher.parameters(), strict=True))


def test_a_student_may_start_at_random_to_show_what_the_teacher_gives(
    task: TaskSpec, vocabulary: Vocabulary, make_teacher: Any
) -> None:
    family = BertFamily(**asdict(BertFamilyConfig(initialisation="random")))
    student = family.build(arch(), task, vocabulary)
    before = [parameter.clone() for parameter in student.parameters()]
    report = family.initialise(student, make_teacher())
    assert all(torch.equal(a, b) for a, b in zip(before, student.parameters(), strict=True))
    assert set(report.groups.values()) == {"random"}


def test_shallower_student_holds_exact_copies_of_the_mapped_layers(
    bert_family: BertFamily, task: TaskSpec, vocabulary: Vocabulary, make_teacher: Any
) -> None:
    teacher = make_teacher()
    student = bert_family.build(arch(layers=2), task, vocabulary)
    report = bert_family.initialise(student, teacher)
    assert report.layer_map == (2, 4)
    assert set(report.groups.values()) == {"exact"}
    for mine, theirs in zip(student.bert.encoder.layer, [teacher.bert.encoder.layer[i] for i in (1, 3)], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))


def test_dropping_feed_forward_units_that_do_nothing_changes_nothing(
    bert_family: BertFamily, task: TaskSpec, vocabulary: Vocabulary, make_teacher: Any, logits_of: Logits
) -> None:
    teacher = make_teacher()
    silent = torch.tensor([0, 3, 17, 40])
    with torch.no_grad():
        for layer in teacher.bert.encoder.layer:
            layer.output.dense.weight[:, silent] = 0
    student = bert_family.build(arch(inner=44), task, vocabulary)
    report = bert_family.initialise(student, teacher)
    torch.testing.assert_close(logits_of(student), logits_of(teacher))
    assert {report.groups[f"layer.{i}.feed_forward"] for i in range(4)} == {"reduced"}
    assert {report.groups[f"layer.{i}.attention"] for i in range(4)} == {"exact"}


def test_splitting_a_silent_head_away_changes_nothing(
    bert_family: BertFamily, task: TaskSpec, vocabulary: Vocabulary, make_teacher: Any, logits_of: Logits
) -> None:
    """Half of each head's channels do nothing: as many heads of half the size give the same answers."""
    teacher = make_teacher()
    silent = torch.arange(32).view(4, 8)[:, 4:].flatten()
    with torch.no_grad():
        for layer in teacher.bert.encoder.layer:
            attention = layer.attention
            for linear in (attention.self.query, attention.self.key, attention.self.value):
                linear.weight[silent] = 0
                linear.bias[silent] = 0
            attention.output.dense.weight[:, silent] = 0
    # Eight heads of four channels: every teacher head is split in two, of which the second has nothing to say.
    student = bert_family.build(arch(heads=8), task, vocabulary)
    report = bert_family.initialise(student, teacher)
    torch.testing.assert_close(logits_of(student), logits_of(teacher), atol=1e-4, rtol=1e-4)
    assert report.groups["layer.0.attention"] == "reduced"


def test_merging_heads_that_attend_alike_changes_nothing(
    bert_family: BertFamily, task: TaskSpec, vocabulary: Vocabulary, make_teacher: Any, logits_of: Logits
) -> None:
    teacher = make_teacher()
    with torch.no_grad():
        for layer in teacher.bert.encoder.layer:
            for linear in (layer.attention.self.query, layer.attention.self.key):
                linear.weight.view(2, 2, 8, 32)[:, 1] = linear.weight.view(2, 2, 8, 32)[:, 0].clone()
                linear.bias.view(2, 2, 8)[:, 1] = linear.bias.view(2, 2, 8)[:, 0].clone()
    student = bert_family.build(arch(heads=2), task, vocabulary)
    bert_family.initialise(student, teacher)
    torch.testing.assert_close(logits_of(student), logits_of(teacher), atol=1e-4, rtol=1e-4)


def test_units_beyond_the_teachers_write_nothing_yet(
    bert_family: BertFamily, task: TaskSpec, vocabulary: Vocabulary, make_teacher: Any, logits_of: Logits
) -> None:
    teacher = make_teacher()
    student = bert_family.build(arch(inner=64), task, vocabulary)
    bert_family.initialise(student, teacher)
    torch.testing.assert_close(logits_of(student), logits_of(teacher))


def test_narrower_student_is_reduced_everywhere_and_deterministic(
    bert_family: BertFamily, task: TaskSpec, vocabulary: Vocabulary, make_teacher: Any, logits_of: Logits
) -> None:
    teacher, answers = make_teacher(), []
    for seed in range(2):
        torch.manual_seed(seed)
        student = bert_family.build(arch(2, 24, 3, 40), task, vocabulary)
        report = bert_family.initialise(student, teacher)
        answers.append(logits_of(student))
        assert set(report.groups.values()) == {"reduced"}
    # Whatever random start the student had, nothing of it is left.
    assert torch.equal(*answers)


def test_wider_student_keeps_its_random_start(
    bert_family: BertFamily, task: TaskSpec, vocabulary: Vocabulary, make_teacher: Any
) -> None:
    student = bert_family.build(arch(hidden=64), task, vocabulary)
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    report = bert_family.initialise(student, make_teacher())
    assert set(report.groups.values()) == {"random"}
    assert all(torch.equal(before[name], tensor) for name, tensor in student.state_dict().items())


def test_head_with_other_classes_stays_random(
    bert_family: BertFamily, vocabulary: Vocabulary, make_teacher: Any
) -> None:
    task = TaskSpec("classification", ("no", "yes"), ("text",), "classification.accuracy")
    student = bert_family.build(arch(), task, vocabulary)
    report = bert_family.initialise(student, make_teacher())
    assert report.groups["classifier"] == "random"
    assert report.groups["pooler"] == "exact"
    assert report.summary == "exact 17, random 1"


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_every_head_starts_from_a_teacher_of_the_same_kind(
    bert_family: BertFamily, vocabulary: Vocabulary, batch: dict[str, torch.Tensor], kind: str
) -> None:
    task = task_of(kind, 3)
    torch.manual_seed(0)
    teacher = bert_family.build(arch(), task, vocabulary)
    torch.manual_seed(1)
    student = bert_family.build(arch(), task, vocabulary)
    report = bert_family.initialise(student, teacher)
    assert set(report.groups.values()) == {"exact"}
    with torch.no_grad():
        assert torch.equal(student(**batch)[0], teacher(**batch)[0])


def test_teacher_of_another_family_gives_word_embeddings_only(
    bert_family: BertFamily, task: TaskSpec, vocabulary: Vocabulary
) -> None:
    config = DistilBertConfig(n_layers=1, dim=32, n_heads=2, hidden_dim=8, vocab_size=50)
    teacher = DistilBertForSequenceClassification(config)
    student = bert_family.build(arch(), task, vocabulary)
    report = bert_family.initialise(student, teacher)
    assert torch.equal(student.get_input_embeddings().weight, teacher.get_input_embeddings().weight)
    assert [group for group, kind in report.groups.items() if kind != "random"] == ["word_embeddings"]


def test_teacher_with_another_activation_is_refused(
    bert_family: BertFamily, task: TaskSpec, vocabulary: Vocabulary, make_teacher: Any
) -> None:
    student = bert_family.build(arch(), task, vocabulary)
    with pytest.raises(ConfigError, match=r"Set student\.activation=relu\."):
        bert_family.initialise(student, make_teacher(hidden_act="relu"))


def test_wider_student_takes_nothing_so_that_its_activation_may_be_another(
    bert_family: BertFamily, task: TaskSpec, vocabulary: Vocabulary, make_teacher: Any
) -> None:
    student = bert_family.build(arch(hidden=64), task, vocabulary)
    report = bert_family.initialise(student, make_teacher(hidden_act="relu"))
    assert set(report.groups.values()) == {"random"}


def test_activation_that_transformers_does_not_know_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"student\.activation must be .*, got 'gelo'\. Did you mean 'gelu'\?"):
        BertFamily(**asdict(BertFamilyConfig(activation="gelo")))


def test_teacher_with_another_vocabulary_is_refused(
    bert_family: BertFamily, task: TaskSpec, vocabulary: Vocabulary, make_teacher: Any
) -> None:
    student = bert_family.build(arch(), task, vocabulary)
    with pytest.raises(ConfigError, match="The student has 50 word embeddings and the teacher 60"):
        bert_family.initialise(student, make_teacher(vocab_size=60))
