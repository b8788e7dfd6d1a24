"""Tiny teachers on disk: a BERT with random weights and a word tokeniser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from autodistill.components.students import TeacherContext
from autodistill.components.task import TaskSpec
from autodistill.teachers.configs import HuggingFaceTeacherConfig
from autodistill.teachers.huggingface import HuggingFaceTeacher

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij"]


def word_tokenizer(extra: int = 0, pad: str = "[PAD]") -> Any:
    words = {word: index for index, word in enumerate([*WORDS, *(f"word{index}" for index in range(extra))])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad, model_max_length=40, **names)


@pytest.fixture
def save_teacher(tmp_path: Path) -> Callable[..., Path]:
    """Save a tiny BERT, or model of another family, of a class with its tokeniser and return the directory."""

    def save(
        kind: str = "Model", name: str = "teacher", tokenizer: Any = None, family: str = "Bert", **changes: Any
    ) -> Path:
        sizes = {"num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24}
        torch.manual_seed(0)
        sizes |= {"vocab_size": 16, "max_position_embeddings": 40}
        config = getattr(transformers, f"{family}Config")(**(sizes | changes))
        directory = tmp_path / name
        getattr(transformers, f"{family}{kind}")(config).save_pretrained(directory)
        (tokenizer or word_tokenizer()).save_pretrained(directory)
        return directory

    return save


@pytest.fixture
def make_teacher(tmp_path: Path) -> Callable[..., HuggingFaceTeacher]:
    """Build the component with its defaults changed by keywords."""

    def make(**changes: Any) -> HuggingFaceTeacher:
        fields: dict[str, Any] = {key: str(v) if isinstance(v, Path) else v for key, v in changes.items()}
        config = HuggingFaceTeacherConfig(**fields)
        return HuggingFaceTeacher(TeacherContext(tmp_path / "cache"), **asdict(config))

    return make


@pytest.fixture
def task() -> TaskSpec:
    return TaskSpec("classification", ("bad", "good"), ("text",), "classification.accuracy")


@pytest.fixture
def make_tokenizer() -> Callable[..., Any]:
    return word_tokenizer
