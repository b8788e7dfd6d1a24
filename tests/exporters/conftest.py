"""A tiny real model, tokeniser and sample."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from autodistill.components.outcome import ExportSubject
from autodistill.components.task import TaskSpec

VOCABULARY = 50


def tiny_config(**changes: object) -> BertConfig:
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 40,
        "num_labels": 3,
    }
    return BertConfig(**{**sizes, **changes})


def tiny_model(**changes: object) -> BertForSequenceClassification:
    torch.manual_seed(0)
    return BertForSequenceClassification(tiny_config(**changes)).eval()


def padded_batch(lengths: list[int], seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    shape = (len(lengths), max(lengths))
    mask = (np.arange(shape[1])[None, :] < np.array(lengths)[:, None]).astype(np.int64)
    ids = generator.integers(1, VOCABULARY, shape) * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros(shape, dtype=np.int64)}


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    words = {"[PAD]": 0, "[UNK]": 1, "good": 2, "bad": 3}
    core = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    core.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]")


@pytest.fixture
def sample() -> list[dict[str, np.ndarray]]:
    return [padded_batch([5, 3], 0), padded_batch([17], 1), padded_batch([9, 1, 4, 9], 2)]


@pytest.fixture
def subject(tokenizer: PreTrainedTokenizerFast, sample: list[dict[str, np.ndarray]]) -> ExportSubject:
    task = TaskSpec("classification", ("a", "b", "c"), ("text",), "classification.accuracy")
    return ExportSubject("pick 3", tiny_model(), tokenizer, task, sample)


@pytest.fixture
def leftovers(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing but the exports may be left."""
    folder = tmp_path / "picks"
    folder.mkdir()
    yield folder
    hidden = [path.name for path in folder.iterdir() if path.name.startswith(".")]
    assert hidden == []
