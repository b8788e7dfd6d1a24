"""The teacher `huggingface`: what it reads, what it refuses, and how it says so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BartConfig, BartModel, BertConfig, BertModel

from autodistill.components.task import TaskSpec
from autodistill.components.training import FEATURES, Batch
from autodistill.errors import ConfigError, TeacherError
from autodistill.teachers import huggingface
from autodistill.teachers.checkpoint import reorder_classes
from autodistill.teachers.files import file_digest
from autodistill.training.attention import ATTENTION_FEATURES
from autodistill.training.features import forward_features

LABELS = {"id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}}

Save = Callable[..., Path]
Make = Callable[..., huggingface.HuggingFaceTeacher]


def edit_weights(directory: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    path = directory / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_encoder_without_head_gets_a_random_one_with_the_tasks_labels(
    save_teacher: Save, make_teacher: Make, task: TaskSpec
) -> None:
    directory = save_teacher()
    teacher = make_teacher(path=directory)
    model = teacher.load(task)
    assert teacher.name == str(directory)
    assert teacher.labels == ()
    assert teacher.needs_fine_tuning(task)
    assert model.config.id2label == {0: "bad", 1: "good"}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not model.training
    stored = load_file(directory / "model.safetensors")
    assert torch.equal(model.bert.embeddings.word_embeddings.weight, stored["embeddings.word_embeddings.weight"])


def test_same_seed_gives_the_same_new_head(save_teacher: Save, make_teacher: Make, task: TaskSpec) -> None:
    teacher, heads = make_teacher(path=save_teacher()), []
    for _ in range(2):
        torch.manual_seed(5)
        heads.append(teacher.load(task).classifier.weight)
    assert torch.equal(*heads)
    assert heads[0].abs().sum() > 0


def test_checkpoint_with_the_tasks_head_keeps_it(save_teacher: Save, make_teacher: Make, task: TaskSpec) -> None:
    directory = save_teacher("ForSequenceClassification", **LABELS)
    teacher = make_teacher(path=directory)
    assert teacher.labels == ("bad", "good")
    assert not teacher.needs_fine_tuning(task)
    stored = load_file(directory / "model.safetensors")["classifier.weight"]
    assert torch.equal(teacher.load(task).classifier.weight, stored)


@pytest.mark.parametrize("labels", [("bad", "fine"), ("bad", "good", "odd")])
def test_head_with_other_labels_is_new_and_a_warning_names_both(
    save_teacher: Save, make_teacher: Make, labels: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    directory = save_teacher("ForSequenceClassification", **LABELS)
    teacher = make_teacher(path=directory)
    task = TaskSpec("classification", labels, ("text",), "classification.accuracy")
    assert teacher.needs_fine_tuning(task)
    for _ in range(2):
        assert teacher.load(task).config.num_labels == len(labels)
    (message,) = caplog.messages
    assert message.startswith(
        f"The teacher {directory} has a head for the classes bad, good, but the data's are {', '.join(labels)}: its "
        "head is made anew and fine-tuned."
    )


@pytest.mark.parametrize("kind", ["classification", "token_classification"])
@pytest.mark.parametrize("family", ["Bert", "Roberta"])
def test_head_keeps_classes_whose_names_differ_in_case_and_order(
    save_teacher: Save, make_teacher: Make, kind: str, family: str, caplog: pytest.LogCaptureFixture
) -> None:
    head = "ForSequenceClassification" if kind == "classification" else "ForTokenClassification"
    sizes = {"pad_token_id": 0, "max_position_embeddings": 41} if family == "Roberta" else {}
    names = {"id2label": {0: "BAD", 1: "ODD", 2: "GOOD"}, "label2id": {"BAD": 0, "ODD": 1, "GOOD": 2}}
    teacher = make_teacher(path=save_teacher(head, family=family, **names, **sizes))
    as_saved, as_asked = (
        TaskSpec(kind, labels, ("text",), f"{kind}.accuracy")
        for labels in (("Bad", "Odd", "Good"), ("good", "bad", "odd"))
    )
    assert not teacher.needs_fine_tuning(as_saved)
    assert not teacher.needs_fine_tuning(as_asked)
    saved, asked = teacher.load(as_saved), teacher.load(as_asked)
    assert asked.config.id2label == {0: "good", 1: "bad", 2: "odd"}
    tokens = torch.tensor([[2, 7, 9, 3]])
    assert torch.equal(asked(tokens).logits, saved(tokens).logits[..., [2, 0, 1]])
    assert not caplog.messages


def test_default_label_names_stand_for_the_class_ids_and_a_warning_says_so(
    save_teacher: Save, make_teacher: Make, task: TaskSpec, caplog: pytest.LogCaptureFixture
) -> None:
    directory = save_teacher("ForSequenceClassification")
    teacher = make_teacher(path=directory)
    assert not teacher.needs_fine_tuning(task)
    stored = load_file(directory / "model.safetensors")["classifier.weight"]
    assert torch.equal(teacher.load(task).classifier.weight, stored)
    (message,) = caplog.messages
    assert (
        "does not name its classes (LABEL_0, LABEL_1); its outputs are taken to be, in this order, bad, good."
        in message
    )
    assert teacher.needs_fine_tuning(replace(task, labels=("bad", "good", "odd")))


def test_head_of_another_form_is_not_brought_into_another_order() -> None:
    with pytest.raises(
        TeacherError, match=r"The head of BertModel does not end in .* Name the data's classes in the or"
    ):
        reorder_classes(BertModel(BertConfig(num_hidden_layers=1, hidden_size=12)), [1, 0])


@pytest.mark.parametrize(
    ("kind", "saved", "changes", "needed"),
    [
        ("regression", "ForSequenceClassification", {"num_labels": 1}, False),
        ("regression", "ForSequenceClassification", {"num_labels": 2}, True),
        ("regression", "Model", {}, True),
        ("mlm", "ForMaskedLM", {}, False),
        ("mlm", "Model", {}, True),
        ("question_answering", "ForQuestionAnswering", {}, False),
        ("embedding", "ForMaskedLM", {}, False),
    ],
)
def test_other_tasks_are_known_to_checkpoints_of_their_kind(
    save_teacher: Save, make_teacher: Make, kind: str, saved: str, changes: dict[str, int], needed: bool
) -> None:
    task = TaskSpec(kind, (), ("text",), "x.y")
    teacher = make_teacher(path=save_teacher(saved, **changes))
    assert teacher.labels == (("LABEL_0", "LABEL_1") if changes == {"num_labels": 2} else ())
    assert teacher.needs_fine_tuning(task) is needed
    assert teacher.load(task).config.model_type == "bert"


@pytest.mark.parametrize("family", ["Bert", "MobileBert"])
def test_a_checkpoint_of_pretraining_knows_masked_words(save_teacher: Save, make_teacher: Make, family: str) -> None:
    sizes = {"hidden_size": 136, "intra_bottleneck_size": 16} if family == "MobileBert" else {}
    directory = save_teacher("ForPreTraining", family=family, **sizes)
    task, teacher = TaskSpec("mlm", (), ("text",), "mlm.accuracy"), make_teacher(path=directory)
    assert not teacher.needs_fine_tuning(task)
    stored = load_file(directory / "model.safetensors")["cls.predictions.bias"]
    assert teacher.load(task).cls.predictions.bias.equal(stored)


def test_a_checkpoint_that_tells_replaced_words_learns_masked_ones(save_teacher: Save, make_teacher: Make) -> None:
    teacher = make_teacher(path=save_teacher("ForPreTraining", family="Electra", embedding_size=16))
    assert teacher.needs_fine_tuning(TaskSpec("mlm", (), ("text",), "mlm.accuracy"))


@pytest.mark.parametrize("kind", ["ForSequenceClassification", "ForTokenClassification", "Model"])
def test_classes_are_those_of_a_head_for_texts_or_for_words(save_teacher: Save, make_teacher: Make, kind: str) -> None:
    labels = make_teacher(path=save_teacher(kind, **LABELS)).labels
    assert labels == (() if kind == "Model" else ("bad", "good"))


PROBLEMS = {True: "multi_label_classification", False: "single_label_classification"}


@pytest.mark.parametrize("several", [True, False])
def test_a_head_for_one_class_is_another_than_one_for_several(
    save_teacher: Save, make_teacher: Make, task: TaskSpec, several: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Softmax and sigmoid read the same outputs otherwise."""
    teacher = make_teacher(path=save_teacher("ForSequenceClassification", problem_type=PROBLEMS[several], **LABELS))
    same, other = replace(task, multi_label=several), replace(task, multi_label=not several)
    assert not teacher.needs_fine_tuning(same)
    assert teacher.needs_fine_tuning(other)
    assert teacher.load(same).config.problem_type == PROBLEMS[several]
    assert not caplog.messages
    assert teacher.load(other).config.problem_type == PROBLEMS[not several]
    asked, given = ("exactly one class", "any number of classes"), str(several).lower()
    assert re.search(
        rf"gives a text {asked[several]} \(problem_type '{PROBLEMS[several]}' in .* asks for {asked[not several]} "
        rf"\(data.multi_label={str(not several).lower()}\): it is fine-tuned .* give data.multi_label={given}\.",
        caplog.text,
    )
    with pytest.raises(TeacherError, match=rf"{asked[several]}.* Give data\.multi_label={given}, or correct"):
        teacher.load(replace(other, label_free=True))


def test_several_classes_of_a_checkpoint_that_does_not_say_are_taken_with_a_warning(
    save_teacher: Save, make_teacher: Make, task: TaskSpec, caplog: pytest.LogCaptureFixture
) -> None:
    teacher = make_teacher(path=save_teacher("ForSequenceClassification", **LABELS))
    assert not teacher.needs_fine_tuning(replace(task, multi_label=True))
    teacher.load(replace(task, multi_label=True))
    assert "does not say whether a text may have several of its classes" in caplog.text


def test_checkpoint_without_a_pooler_gets_a_random_one(save_teacher: Save, make_teacher: Make, task: TaskSpec) -> None:
    directory = save_teacher("ForMaskedLM")
    assert not any("pooler" in name for name in load_file(directory / "model.safetensors"))
    assert make_teacher(path=directory).load(task).bert.pooler is not None


def test_a_kept_head_does_not_read_a_random_pooler(save_teacher: Save, make_teacher: Make, task: TaskSpec) -> None:
    directory = save_teacher("ForSequenceClassification", **LABELS)
    edit_weights(directory, lambda tensors: [tensors.pop(f"bert.pooler.dense.{name}") for name in ("weight", "bias")])
    with pytest.raises(TeacherError, match=r"bert\.pooler\.dense\.bias, bert\.pooler\.dense\.weight are missing"):
        make_teacher(path=directory).load(task)
    assert make_teacher(path=directory).load(TaskSpec("embedding", (), ("text",), "x.y")) is not None


def test_trained_pooler_is_kept_under_a_new_head(save_teacher: Save, make_teacher: Make, task: TaskSpec) -> None:
    directory = save_teacher()
    edit_weights(directory, lambda tensors: tensors["pooler.dense.bias"].add_(0.1))
    stored = load_file(directory / "model.safetensors")["pooler.dense.weight"]
    assert torch.equal(make_teacher(path=directory).load(task).bert.pooler.dense.weight, stored)


def test_untrained_pooler_starts_as_an_orthogonal_map(save_teacher: Save, make_teacher: Make, task: TaskSpec) -> None:
    pooler = make_teacher(path=save_teacher()).load(task).bert.pooler.dense.weight
    torch.testing.assert_close(pooler @ pooler.T, torch.eye(16), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("dropout", "expected"), [(None, 0.1), (0.0, 0.0)])
def test_dropout_is_the_checkpoints_unless_given(
    save_teacher: Save, make_teacher: Make, task: TaskSpec, dropout: float | None, expected: float
) -> None:
    model = make_teacher(path=save_teacher(), fine_tune_dropout=dropout).load(task)
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {expected}
    assert model.config.hidden_dropout_prob == model.config.attention_probs_dropout_prob == expected


def test_dropout_reaches_what_is_a_number_or_was_left_out(
    save_teacher: Save, make_teacher: Make, task: TaskSpec
) -> None:
    tokens = dict.fromkeys(("eos_token_id", "bos_token_id", "cls_token_id", "sep_token_id", "pad_token_id"), 0)
    directory = save_teacher(family="ModernBert", **tokens)
    model = make_teacher(path=directory, fine_tune_dropout=0.5).load(task)
    attention = model.model.layers[1].attn
    assert (attention.attention_dropout, attention.out_drop.p) == (0.5, 0.5)
    assert model.drop.p == model.model.layers[1].mlp.drop.p == 0.5


def test_half_precision_weights_are_loaded_in_single(save_teacher: Save, make_teacher: Make, task: TaskSpec) -> None:
    directory = save_teacher()
    edit_weights(directory, lambda tensors: tensors.update({name: t.half() for name, t in tensors.items()}))
    model = make_teacher(path=directory).load(task)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_vocabulary_is_what_the_configuration_says(save_teacher: Save, make_teacher: Make) -> None:
    vocabulary = make_teacher(path=save_teacher()).vocabulary
    assert (vocabulary.size, vocabulary.max_positions, vocabulary.type_size, vocabulary.pad_token_id) == (16, 40, 2, 0)


def test_padding_is_the_tokenisers_where_the_configuration_names_none(
    save_teacher: Save, make_teacher: Make, make_tokenizer: Callable[..., Any]
) -> None:
    directory = save_teacher(tokenizer=make_tokenizer(pad="[MASK]"))
    edit_json(directory / "config.json", pad_token_id=None)
    assert make_teacher(path=directory).vocabulary.pad_token_id == 4


def test_a_mobilebert_answers_the_same_beside_longer_texts(save_teacher: Save, make_teacher: Make) -> None:
    """Its tokens read their neighbours' embeddings, and some checkpoints have one of the padding."""
    directory = save_teacher(family="MobileBert", hidden_size=136, intra_bottleneck_size=16)
    name = "embeddings.word_embeddings.weight"
    edit_weights(directory, lambda tensors: tensors[name].copy_(torch.randn(tensors[name].shape)))
    model = make_teacher(path=directory).load(TaskSpec("embedding", (), ("text",), "x.y"))
    alone, padded = torch.tensor([[2, 7, 9, 3]]), torch.tensor([[2, 7, 9, 3, 0, 0]])
    with torch.no_grad():
        states = [model(ids, (ids != 0).long()).last_hidden_state[:, :4] for ids in (alone, padded)]
    torch.testing.assert_close(*states)


def test_an_encoder_decoder_gives_its_logits_alone(save_teacher: Save, make_teacher: Make) -> None:
    sizes = {"d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "pad_token_id": 0, "eos_token_id": 3}
    fields = {"architectures": ["BartModel"], "vocab_size": 16, "max_position_embeddings": 40}
    directory = save_teacher()
    BartModel(BartConfig(**sizes, **heads, **fields)).save_pretrained(directory)
    teacher = make_teacher(path=directory)
    assert teacher.features == {"logits"}
    with pytest.raises(TeacherError, match=r"\(model type 'bart'\) has a decoder, .*Use an encoder such as BERT"):
        teacher.load(TaskSpec("embedding", (), ("text",), "x.y"))


def write_pooling(directory: Path, modules: list[tuple[str, str]] | None, **pooling: object) -> None:
    if modules is not None:
        entries = [{"type": f"sentence_transformers.models.{kind}", "path": path} for kind, path in modules]
        (directory / "modules.json").write_text(json.dumps(entries))
    (directory / "1_Pooling").mkdir()
    (directory / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


MEAN_MODULES = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]


@pytest.mark.parametrize("modules", [MEAN_MODULES, None])
@pytest.mark.parametrize(
    "pooling", [{"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, {"pooling_mode": "mean"}]
)
def test_a_sentence_encoder_that_takes_the_mean_teaches_its_embedding(
    save_teacher: Save, make_teacher: Make, modules: list[tuple[str, str]] | None, pooling: dict[str, object]
) -> None:
    directory = save_teacher()
    write_pooling(directory, modules, **pooling)
    assert make_teacher(path=directory).load(TaskSpec("embedding", (), ("text",), "x.y")) is not None


@pytest.mark.parametrize(
    ("modules", "pooling", "message"),
    [
        (MEAN_MODULES, {"pooling_mode_cls_token": True}, r"by the pooling cls_token \(.*1_Pooling"),
        (None, {"pooling_mode": "lasttoken"}, r"by the pooling lasttoken \("),
        (
            MEAN_MODULES,
            {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
            r"by the pooling cls_token and mean_tokens",
        ),
        ([*MEAN_MODULES, ("Dense", "2_Dense")], {"pooling_mode": "mean"}, r"has a layer Dense behind its pooling"),
        ([("Pooling", "9_Pooling")], {}, r"that nothing describes \(.*9_Pooling.config\.json is missing\)"),
    ],
)
def test_a_sentence_encoder_of_another_pooling_is_refused(
    save_teacher: Save,
    make_teacher: Make,
    task: TaskSpec,
    modules: list[tuple[str, str]] | None,
    pooling: dict[str, object],
    message: str,
) -> None:
    directory = save_teacher()
    write_pooling(directory, modules, **pooling)
    with pytest.raises(TeacherError, match=message + r".*Use a sentence encoder that takes the mean"):
        make_teacher(path=directory).load(TaskSpec("embedding", (), ("text",), "x.y"))
    assert make_teacher(path=directory).load(task) is not None, "a new head reads what it likes"


def test_scores_of_what_a_layer_does_not_see_are_no_feature(save_teacher: Save, make_teacher: Make) -> None:
    directory = save_teacher()
    assert "attention_scores" in make_teacher(path=directory).features
    edit_json(directory / "config.json", sliding_window=4)
    assert make_teacher(path=directory).features == set(FEATURES) - {"attention_scores"}


OTHERS = {
    "MPNet": {"pad_token_id": 1},
    "DebertaV2": {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["p2c", "c2p"]},
    "ConvBert": {"embedding_size": 16, "pad_token_id": 0},
}


@pytest.mark.parametrize("family", OTHERS)
def test_classes_without_sdpa_teach_by_all_but_their_attention(
    save_teacher: Save, make_teacher: Make, make_tokenizer: Callable[..., Any], task: TaskSpec, family: str
) -> None:
    tokenizer = make_tokenizer(pad="[UNK]") if family == "MPNet" else None
    teacher = make_teacher(path=save_teacher(family=family, tokenizer=tokenizer, **OTHERS[family]))
    assert teacher.features == set(FEATURES) - ATTENTION_FEATURES
    model = teacher.load(task)
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    tokens = torch.where(mask, torch.tensor([2, 6, 7, 3, 9, 3]), teacher.vocabulary.pad_token_id)
    batch = Batch(tokens, mask, torch.zeros_like(tokens), None, torch.arange(2))
    keys = frozenset({("logits", None), ("embeddings", None), ("hidden_states", 0), ("hidden_states", 2)})
    with torch.no_grad():
        found = forward_features(model, batch, keys)
    assert set(found) == keys
    assert found["logits", None].shape == (2, 2)
    assert found["hidden_states", 2].shape == (2, 6, 16)
    with pytest.raises(ConfigError, match="does not give attention features"):
        forward_features(model, batch, frozenset({("attentions", 1)}))


@pytest.mark.parametrize(("family", "positions"), [("Bert", 40), ("Roberta", 38), ("MPNet", 38), ("DistilBert", 40)])
def test_positions_are_those_that_a_text_can_fill(
    save_teacher: Save,
    make_teacher: Make,
    make_tokenizer: Callable[..., Any],
    task: TaskSpec,
    family: str,
    positions: int,
) -> None:
    pad = {"pad_token_id": 1} if positions < 40 else {}
    tokenizer = make_tokenizer(pad="[UNK]") if pad else None
    teacher = make_teacher(path=save_teacher(family=family, tokenizer=tokenizer, **pad))
    assert teacher.vocabulary.max_positions == positions
    model = teacher.load(task)
    model(torch.full((1, positions), 7))
    with pytest.raises((IndexError, RuntimeError)):
        model(torch.full((1, positions + 1), 7))


def test_asking_a_class_draws_no_random_numbers(save_teacher: Save, make_teacher: Make) -> None:
    teacher, before = make_teacher(path=save_teacher()), torch.get_rng_state()
    assert teacher.features == set(FEATURES)
    assert torch.equal(torch.get_rng_state(), before)


def test_configuration_that_contradicts_itself_is_refused(save_teacher: Save, make_teacher: Make) -> None:
    directory = save_teacher()
    edit_json(directory / "config.json", num_attention_heads=3)
    with pytest.raises(TeacherError, match=r"No encoder can be built from .* \(model type 'bert'\): The hidden size"):
        make_teacher(path=directory).vocabulary  # noqa: B018


def test_fingerprint_follows_weights_configuration_and_tokeniser(save_teacher: Save, make_teacher: Make) -> None:
    directory = save_teacher()
    prints = [make_teacher(path=directory).fingerprint]
    assert make_teacher(path=directory).fingerprint == prints[0]
    edit_weights(directory, lambda tensors: tensors["pooler.dense.bias"].add_(1))
    prints.append(make_teacher(path=directory).fingerprint)
    edit_json(directory / "config.json", hidden_dropout_prob=0.3)
    prints.append(make_teacher(path=directory).fingerprint)
    edit_json(directory / "tokenizer_config.json", model_max_length=20)
    prints.append(make_teacher(path=directory).fingerprint)
    assert len(set(prints)) == 4


def test_fine_tuning_recipe_is_the_configurations(save_teacher: Save, make_teacher: Make) -> None:
    teacher = make_teacher(path=save_teacher(), fine_tune_epochs=0.5, fine_tune_lr=1e-4)
    assert (teacher.fine_tuning.epochs, teacher.fine_tuning.lr) == (0.5, 1e-4)


def test_label_free_data_and_a_teacher_without_the_head_is_refused(save_teacher: Save, make_teacher: Make) -> None:
    task = TaskSpec("classification", ("bad", "good"), ("text",), "classification.accuracy", label_free=True)
    teacher = make_teacher(path=save_teacher())
    with pytest.raises(TeacherError, match=r"has no head for classification with the classes bad, good\. Use a checkp"):
        teacher.load(task)
    known = make_teacher(path=save_teacher("ForSequenceClassification", name="known", **LABELS))
    assert known.load(task).config.num_labels == 2


def test_path_that_is_no_directory_says_how_to_use_the_hub(make_teacher: Make) -> None:
    with pytest.raises(TeacherError, match=r"teacher\.path=bert-base is no directory\. .* teacher\.allow_hub=true\."):
        make_teacher(path="bert-base")


def test_directory_without_configuration_is_refused(tmp_path: Path, make_teacher: Make) -> None:
    with pytest.raises(TeacherError, match=r"has no config\.json\. It must hold config\.json, model\.safetensors"):
        make_teacher(path=tmp_path)


def test_directory_without_weights_is_refused(save_teacher: Save, make_teacher: Make) -> None:
    directory = save_teacher()
    (directory / "model.safetensors").unlink()
    with pytest.raises(TeacherError, match=r"has no weights: model\.safetensors is missing\."):
        make_teacher(path=directory)


def test_pickled_weights_are_refused_with_the_way_out(save_teacher: Save, make_teacher: Make) -> None:
    directory = save_teacher()
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    with pytest.raises(
        TeacherError, match=r"in pytorch_model\.bin, a pickle, which can run any code .*model\.save_pretrained"
    ):
        make_teacher(path=directory)


def test_missing_shard_is_named(save_teacher: Save, make_teacher: Make) -> None:
    directory = save_teacher()
    (directory / "model.safetensors").rename(directory / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(
        TeacherError, match=r"lacks model-00002-of-00002\.safetensors that its model\.safetensors\.index"
    ):
        make_teacher(path=directory)


def test_sharded_weights_are_loaded(save_teacher: Save, make_teacher: Make, task: TaskSpec) -> None:
    directory = save_teacher()
    tensors = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    shards = {"model-1.safetensors": sorted(tensors)[:10], "model-2.safetensors": sorted(tensors)[10:]}
    for name, keys in shards.items():
        save_file({key: tensors[key] for key in keys}, directory / name, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {key: name for name, keys in shards.items() for key in keys}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    model = make_teacher(path=directory).load(task)
    for name in ("embeddings.word_embeddings.weight", "encoder.layer.1.output.dense.weight"):
        assert torch.equal(model.bert.state_dict()[name], tensors[name])
    with pytest.raises(TeacherError, match=r"has 2 shards\. Set teacher\.sha256=null\."):
        make_teacher(path=directory, sha256="0" * 64)


def test_missing_tokeniser_is_refused(save_teacher: Save, make_teacher: Make) -> None:
    directory = save_teacher()
    (directory / "tokenizer.json").unlink()
    with pytest.raises(TeacherError, match=r"has no tokeniser \(none of tokenizer\.json, vocab\.txt"):
        make_teacher(path=directory)


def test_broken_configuration_is_refused(save_teacher: Save, make_teacher: Make) -> None:
    directory = save_teacher()
    (directory / "config.json").write_text("{")
    with pytest.raises(TeacherError, match=r"config\.json of the teacher is not valid JSON"):
        make_teacher(path=directory)


def test_model_type_that_would_need_remote_code_is_refused(save_teacher: Save, make_teacher: Make) -> None:
    directory = save_teacher()
    edit_json(directory / "config.json", model_type="homemade", auto_map={"AutoModel": "code.Model"})
    with pytest.raises(TeacherError, match=r"is not one that transformers .* knows without running code"):
        make_teacher(path=directory)


def test_expected_digest_is_checked(save_teacher: Save, make_teacher: Make) -> None:
    directory = save_teacher()
    digest = file_digest(directory / "model.safetensors")
    assert make_teacher(path=directory, sha256=digest).name == str(directory)
    with pytest.raises(TeacherError, match=f"is {digest}, expected {'0' * 64}"):
        make_teacher(path=directory, sha256="0" * 64)


def test_larger_tokeniser_is_refused(
    save_teacher: Save, make_teacher: Make, make_tokenizer: Callable[..., Any]
) -> None:
    directory = save_teacher(tokenizer=make_tokenizer(extra=5))
    with pytest.raises(
        TeacherError, match="has 20 tokens, but its configuration has 16 word embeddings: they belong to"
    ):
        make_teacher(path=directory)


def test_tokeniser_that_leaves_most_embeddings_unused_is_refused(save_teacher: Save, make_teacher: Make) -> None:
    with pytest.raises(TeacherError, match="has 15 tokens, but its configuration has 2000 word embeddings"):
        make_teacher(path=save_teacher(vocab_size=2000))


def test_other_padding_token_is_refused(
    save_teacher: Save, make_teacher: Make, make_tokenizer: Callable[..., Any]
) -> None:
    directory = save_teacher(tokenizer=make_tokenizer(pad="[MASK]"))
    with pytest.raises(TeacherError, match="pads with token id 4, but its configuration has pad_token_id 0"):
        make_teacher(path=directory)


def test_missing_weights_are_named(save_teacher: Save, make_teacher: Make, task: TaskSpec) -> None:
    directory = save_teacher()
    edit_weights(directory, lambda tensors: tensors.pop("encoder.layer.1.output.dense.weight"))
    with pytest.raises(TeacherError, match=r"bert\.encoder\.layer\.1\.output\.dense\.weight is missing in .*teacher\."):
        make_teacher(path=directory).load(task)


def test_deeper_configuration_than_weights_is_refused(save_teacher: Save, make_teacher: Make, task: TaskSpec) -> None:
    directory = save_teacher()
    edit_json(directory / "config.json", num_hidden_layers=3)
    with pytest.raises(
        TeacherError, match=r"do not fit its configuration: bert\.encoder\.layer\.2.* and 13 more are missing"
    ):
        make_teacher(path=directory).load(task)


@pytest.mark.parametrize("kind", ["Model", "ForSequenceClassification"])
def test_shallower_configuration_than_weights_is_refused(
    save_teacher: Save, make_teacher: Make, task: TaskSpec, kind: str
) -> None:
    directory = save_teacher(kind, **LABELS)
    edit_json(directory / "config.json", num_hidden_layers=1)
    with pytest.raises(
        TeacherError, match=r"encoder\.layer\.1.* and 13 more have no place in the BertForSequenceClassification"
    ):
        make_teacher(path=directory).load(task)


def test_relative_positions_that_cannot_be_built_are_refused(
    save_teacher: Save, make_teacher: Make, task: TaskSpec
) -> None:
    directory, name = save_teacher(), "encoder.layer.0.attention.self.distance_embedding.weight"
    edit_weights(directory, lambda tensors: tensors.update({name: torch.zeros(79, 8)}))
    with pytest.raises(TeacherError, match=r"distance_embedding\.weight has no place in .* cannot teach"):
        make_teacher(path=directory).load(task)


def test_heads_poolers_and_buffers_that_nobody_asks_for_may_lie_in_the_files(
    save_teacher: Save, make_teacher: Make
) -> None:
    directory = save_teacher("ForPreTraining")
    edit_weights(directory, lambda tensors: tensors.update({"bert.embeddings.position_ids": torch.arange(40)}))
    for kind in ("embedding", "question_answering", "mlm"):
        assert make_teacher(path=directory).load(TaskSpec(kind, (), ("text",), "x.y")) is not None


@pytest.mark.parametrize("end", ["position_embeddings.weight", "word_embeddings._weight"])
def test_what_the_pre_training_of_deberta_leaves_in_the_files_is_no_part_of_it(
    save_teacher: Save, make_teacher: Make, task: TaskSpec, end: str
) -> None:
    directory = save_teacher(family="DebertaV2", relative_attention=True, position_biased_input=False)
    edit_weights(directory, lambda tensors: tensors.update({f"embeddings.{end}": torch.zeros(40, 16)}))
    make_teacher(path=directory).load(task)


def test_a_decoder_that_the_head_has_no_use_for_may_lie_in_the_files(
    save_teacher: Save, make_teacher: Make, task: TaskSpec
) -> None:
    directory = save_teacher("ForPreTraining")
    edit_weights(directory, lambda tensors: tensors.update({"bert.decoder.layers.0.weight": torch.zeros(16, 16)}))
    make_teacher(path=directory).load(task)


def test_wider_configuration_than_weights_is_refused(save_teacher: Save, make_teacher: Make, task: TaskSpec) -> None:
    directory = save_teacher()
    edit_json(directory / "config.json", intermediate_size=32)
    with pytest.raises(
        TeacherError, match=r"0\.intermediate\.dense\.bias has the shape \(24,\) in .* for \(32,\) \(6 such"
    ):
        make_teacher(path=directory).load(task)


def test_promised_head_without_weights_is_refused(save_teacher: Save, make_teacher: Make, task: TaskSpec) -> None:
    directory = save_teacher("ForSequenceClassification", **LABELS)
    edit_weights(directory, lambda tensors: tensors.pop("classifier.weight"))
    with pytest.raises(TeacherError, match=r"classifier\.weight is missing"):
        make_teacher(path=directory).load(task)


def test_weights_that_are_no_safetensors_are_refused(save_teacher: Save, make_teacher: Make, task: TaskSpec) -> None:
    directory = save_teacher()
    (directory / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(TeacherError, match=r"The weights of the teacher .* cannot be loaded"):
        make_teacher(path=directory).load(task)


def test_hub_is_asked_only_when_allowed_and_never_for_code(
    save_teacher: Save, make_teacher: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, asked = save_teacher(), []

    def download(name: str, **arguments: Any) -> str:
        asked.append((name, arguments))
        return str(directory)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert make_teacher(path="lab/model", allow_hub=True, revision="v1").name == "lab/model"
    assert asked == [("lab/model", {"revision": "v1", "allow_patterns": huggingface.HUB_FILES})]
    assert not any(pattern.endswith((".py", ".bin")) for pattern in huggingface.HUB_FILES)


def test_failed_download_says_so(make_teacher: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(TeacherError, match="The teacher lab/no-such-model is no directory and cannot be downloaded"):
        make_teacher(path="lab/no-such-model", allow_hub=True)
