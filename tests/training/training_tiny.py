"""Tiny real models, a tiny tokeniser and a tiny task; shared by tests and the processes they start."""

from __future__ import annotations

from typing import Any

import datasets
import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from autodistill.components.task import TaskData, TaskSpec

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = [f"w{index}" for index in range(60)]


def make_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: index for index, word in enumerate(SPECIAL + WORDS)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


def make_data(
    examples: int = 64, *, pairs: bool = False, label_free: bool = False, kind: str = "classification", seed: int = 0
) -> TaskData:
    """The class is told by which half of the vocabulary the first word comes from."""
    random = np.random.RandomState(seed)
    words = [[WORDS[index] for index in random.randint(0, 60, random.randint(1, 14))] for _ in range(examples)]
    columns: dict[str, list[Any]] = {
        "id": [f"e{index}" for index in range(examples)],
        "text": [" ".join(text) for text in words],
    }
    if pairs:
        columns["other"] = [" ".join(reversed(text)) for text in words]
    if not label_free:
        classes = [int(int(text[0][1:]) >= 30) for text in words]
        columns["label"] = [float(label) for label in classes] if kind == "regression" else classes
    task = TaskSpec(
        kind=kind,
        labels=() if kind == "regression" else ("low", "high"),
        text_columns=("text", "other") if pairs else ("text",),
        metric="classification.accuracy",
        label_free=label_free,
    )
    split = datasets.Dataset.from_dict(columns)
    return TaskData(
        task, {"train": split, "select": split.select(range(examples // 4))}, f"data-{examples}-{seed}-{pairs}-{kind}"
    )


def make_model(
    layers: int = 2, hidden: int = 32, heads: int = 2, labels: int = 2, dropout: float = 0.1, seed: int = 0
) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BertForSequenceClassification(
            BertConfig(
                vocab_size=64,
                hidden_size=hidden,
                num_hidden_layers=layers,
                num_attention_heads=heads,
                intermediate_size=2 * hidden,
                max_position_embeddings=32,
                num_labels=labels,
                hidden_dropout_prob=dropout,
                attention_probs_dropout_prob=dropout,
            )
        ).eval()
