"""Studies whose teacher is another encoder than BERT: other segments, positions and attention."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import autodistill
from autodistill.engine.session import check_workbench
from autodistill.engine.workbench import Workbench
from autodistill.errors import ConfigError
from autodistill.registry import default_registry
from autodistill.testing.sources import write_tiny_corpus, write_tiny_glue
from autodistill.testing.tiny import write_tiny_teacher

FAMILIES: dict[str, dict[str, Any]] = {
    "DistilBert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    "DebertaV2": {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["p2c", "c2p"]},
    "MPNet": {},
    "Roberta": {"type_vocab_size": 1},
}
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}

MLM = ("teacher.fine_tune_max_examples=64", "teacher.fine_tune_epochs=1")


def write_teacher(directory: Path, family: str) -> Path:
    """A teacher of another family with the tokeniser of the tiny BERT, which writes two segments."""
    write_tiny_teacher(directory)
    bert = transformers.BertConfig.from_pretrained(directory)
    common = {"vocab_size": bert.vocab_size, "max_position_embeddings": 64, "pad_token_id": 0}
    config = getattr(transformers, f"{family}Config")(**(SIZES | common | FAMILIES[family]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        getattr(transformers, f"{family}Model")(config).save_pretrained(directory)
    return directory


def short_study(directory: Path, family: str, *more: str) -> list[str]:
    return [
        *("teacher=huggingface", f"teacher.path={write_teacher(directory / 'teacher', family)}"),
        *("teacher.allow_weak=true", "loss=[logits_kl]", "schedule=one_phase", "schedule.examples=32"),
        *("schedule.batch_size=16", "schedule.flash_fidelity=0.5", "search=random", "latency=[]", "baseline=[]"),
        "student.space={num_layers: [1], hidden_size: [32], num_heads: [4], intermediate_size: [16, 32]}",
        *("objectives.latency.metric=size.flops", "export=[]", "logger=none", "trainer.threads=1"),
        *("budget.trials=1", "picks.max=1", f"output_dir={directory / 'outputs'}", *more),
    ]


def pairs(directory: Path, family: str, *more: str) -> list[str]:
    write_tiny_glue(directory / "glue", "mrpc", train=48)
    data = ("data=glue", "data.task=mrpc", f"data.root={directory / 'glue'}", "data.max_length=32")
    return short_study(directory, family, *data, "teacher.fine_tune_max_examples=32", *more)


def corpus(directory: Path, family: str, *more: str) -> list[str]:
    path = write_tiny_corpus(directory / "corpus.txt", 80)
    data = ("data=corpus", f"data.path={path}", "data.max_length=24", "data.pairs=true", "data.workers=1")
    held_out = ("data.select_documents=10", "data.test_documents=10")
    return short_study(directory, family, *data, *held_out, *MLM, *more)


def workbench(overrides: list[str]) -> Workbench:
    return Workbench(autodistill.compose(overrides), default_registry())


@pytest.mark.parametrize(
    ("made", "family"), [(pairs, "DistilBert"), (pairs, "DebertaV2"), (pairs, "Roberta"), (corpus, "Roberta")]
)
def test_no_model_of_a_study_sees_segments_that_its_teacher_has_not(
    tmp_path: Path, made: Callable[..., list[str]], family: str
) -> None:
    bench = workbench(made(tmp_path, family))
    assert bench.vocabulary.type_size == 1
    batch = bench.train.batch(np.arange(8))
    assert (batch.input_ids == bench.teacher.tokenizer.sep_token_id).sum(1).min() >= 2, "no pairs"
    assert not batch.token_type_ids.any()
    student = bench.build(bench.some_architectures[0])
    student(batch.input_ids, batch.attention_mask.long(), batch.token_type_ids)


@pytest.mark.parametrize(("made", "family"), [(pairs, "DistilBert"), (pairs, "DebertaV2"), (corpus, "Roberta")])
def test_a_student_of_such_a_teacher_is_trained_on_pairs(
    tmp_path: Path, made: Callable[..., list[str]], family: str
) -> None:
    overrides = made(tmp_path, family, "export=[huggingface,onnx]")
    study = autodistill.run(autodistill.compose(overrides))
    (pick,) = study.summary()["picks"]
    folder = study.directory / "picks" / str(pick["trial"]) / "hf"
    model = transformers.AutoModel.from_pretrained(folder)
    words = transformers.AutoTokenizer.from_pretrained(folder)(["cat w1", "dog"], ["w2", "w3 w4"], padding=True)
    assert "token_type_ids" not in words
    assert model(**{name: torch.tensor(value) for name, value in words.items()}).last_hidden_state.isfinite().all()


def test_bert_pairs_keep_their_segments(tmp_path: Path) -> None:
    overrides = pairs(tmp_path, "DistilBert")
    write_tiny_teacher(tmp_path / "teacher")
    assert workbench(overrides).train.batch(np.arange(8)).token_type_ids.any()


def without_segments(directory: Path, head: bool) -> list[str]:
    """A study on pairs whose teacher is a BERT with a tokeniser that gives no segments, as ALBERT's does."""
    overrides = pairs(directory, "DistilBert", "export=[huggingface,onnx]")
    write_tiny_teacher(directory / "teacher")
    path = directory / "teacher" / "tokenizer_config.json"
    settings = json.loads(path.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 10**30}
    path.write_text(json.dumps(settings))
    if head:
        names = ("not_equivalent", "equivalent")
        labels = {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}
        model = transformers.AutoModelForSequenceClassification.from_pretrained(directory / "teacher", **labels)
        model.save_pretrained(directory / "teacher")
    return overrides


@pytest.mark.parametrize("head", [False, True])
def test_segments_are_trained_with_where_the_exported_tokeniser_gives_them(tmp_path: Path, head: bool) -> None:
    """A new head is trained with them; one that is kept was trained on what its own tokeniser gives."""
    overrides = without_segments(tmp_path, head)
    bench = workbench(overrides)
    assert bench.teacher.needs_fine_tuning(bench.task) != head
    assert bool(bench.train.batch(np.arange(8)).token_type_ids.any()) != head
    (pick,) = (study := autodistill.run(autodistill.compose(overrides))).summary()["picks"]
    for name in ("hf", "onnx"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(study.directory / "picks" / str(pick["trial"]) / name)
        row = bench.data.splits["select"][0]
        given = tokenizer(*(row[column] for column in bench.task.text_columns), truncation=True, max_length=32)
        batch = bench.splits["select"].batch(np.array([0]))
        assert given["input_ids"] == batch.input_ids[0].tolist()
        assert given.get("token_type_ids", [0] * len(given["input_ids"])) == batch.token_type_ids[0].tolist()
        assert tokenizer.model_max_length == 64, "as many as there are positions"
        assert len(tokenizer("cat " * 200, truncation=True)["input_ids"]) == 64
    assert "token_type_ids" not in bench.teacher.tokenizer.model_input_names


def test_students_with_one_segment_get_no_second_from_the_exported_tokeniser(tmp_path: Path) -> None:
    bench = workbench(pairs(tmp_path, "DebertaV2"))
    own = bench.teacher.tokenizer
    own.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    assert any(own("a cat", "a dog")["token_type_ids"])
    bench.tokenizer.save_pretrained(tmp_path / "exported")
    assert "token_type_ids" not in transformers.AutoTokenizer.from_pretrained(tmp_path / "exported")("a cat", "a dog")


def test_lengths_beyond_a_teachers_positions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"data\.max_length is 64, but .* has 63 positions\. Give data\.max_length=63"
    ):
        workbench(pairs(tmp_path, "Roberta", "data.max_length=64")).max_length  # noqa: B018


@pytest.mark.parametrize("family", ["DebertaV2", "MPNet"])
@pytest.mark.parametrize(
    ("loss", "needs"), [("attention_kl", "attentions"), ("minilm_relation", "keys, queries, values")]
)
def test_losses_on_attention_are_refused_where_a_teacher_gives_none(
    tmp_path: Path, family: str, loss: str, needs: str
) -> None:
    bench = workbench(pairs(tmp_path, family, f"loss=[logits_kl,{loss}]"))
    with pytest.raises(
        ConfigError,
        match=rf"loss\.{loss} needs {needs}, which the teacher .* cannot give \(it gives embeddings, hidden_stat",
    ):
        check_workbench(bench)
