"""A small labelled data set about nothing, and a tiny teacher on disk."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from autodistill.components.students import ReferenceContext
from autodistill.components.task import TaskSpec

WORDS = {"bad": ["dull", "flat", "weak"], "good": ["fine", "bright", "strong"]}
FILLERS = ["a", "plot", "film", "with", "some", "actors", "in", "it"]


def make_split(size: int, seed: int, columns: int) -> datasets.Dataset:
    source = random.Random(seed)
    rows = []
    for index in range(size):
        label = source.randrange(2)
        texts = [source.choices(FILLERS, k=source.randrange(2, 12)) for _ in range(columns)]
        texts[-1].insert(0, source.choice(list(WORDS.values())[label]))
        names = ("first", "second") if columns == 2 else ("text",)
        row = {name: " ".join(words) for name, words in zip(names, texts, strict=True)}
        rows.append({"id": str(index), "label": label, **row})
    return datasets.Dataset.from_list(rows)


def save_teacher(directory: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *FILLERS, *WORDS["bad"], *WORDS["good"]]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(directory)
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(words), max_position_embeddings=32, initializer_range=0.2, **sizes)
    BertForSequenceClassification(config).save_pretrained(directory)


@pytest.fixture
def make_context(tmp_path: Path) -> Callable[..., ReferenceContext]:
    def make(columns: int = 1, roles: tuple[str, ...] = ("train", "select", "test"), **task: Any) -> ReferenceContext:
        names = ("first", "second") if columns == 2 else ("text",)
        fields: dict[str, Any] = {"kind": "classification", "labels": ("bad", "good"), "text_columns": names} | task
        sizes = {"train": 400, "select": 60, "test": 60}
        splits = {role: make_split(sizes[role], seed, columns) for seed, role in enumerate(roles)}
        save_teacher(tmp_path / "teacher")
        spec = TaskSpec(**fields, metric="classification.accuracy")
        return ReferenceContext("mine", spec, splits, tmp_path / "teacher", 12, tmp_path / "work")

    return make
