"""The code that the report offers is code, and loads what was exported."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

from autodistill.report import loading


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A tiny saved classifier with its tokeniser."""
    words = tmp_path / "vocab.txt"
    words.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "some", "text"]))
    directory = tmp_path / 'a "model"'
    config = BertConfig(vocab_size=7, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    BertForSequenceClassification(config).save_pretrained(directory)
    BertTokenizerFast(vocab_file=str(words)).save_pretrained(directory)
    return directory


def test_the_transformers_code_runs(saved: Path) -> None:
    (source,) = loading.snippets({"paths": {"hf": str(saved)}, "exports": []}, "classification")
    names: dict[str, Any] = {}
    exec(compile(source, "snippet", "exec"), names)
    assert isinstance(names["outputs"].logits, torch.Tensor)


@pytest.mark.parametrize("kind", [*loading.AUTO_CLASSES, "embedding"])
def test_every_kind_of_task_has_code(kind: str, summary: dict[str, Any]) -> None:
    sources = loading.snippets(summary["picks"][0], kind)
    assert len(sources) == 2
    for source in sources:
        ast.parse(source)
        assert "picks/12/hf" in source


def test_a_pick_that_is_not_trained_yet_has_no_code() -> None:
    assert loading.snippets({"paths": {"hf": ""}}, "classification") == []
