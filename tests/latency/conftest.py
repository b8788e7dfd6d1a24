"""Tiny real models to be timed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import BertConfig, BertForSequenceClassification

from autodistill.components.latency import LatencyContext, LatencySubject


def build_tiny(layers: int = 1, hidden: int = 32) -> BertForSequenceClassification:
    config = BertConfig(
        vocab_size=60,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=40,
    )
    return BertForSequenceClassification(config).eval()


@pytest.fixture(scope="session")
def make_subject() -> Callable[..., LatencySubject]:
    def make(name: str = "trial 3", layers: int = 1) -> LatencySubject:
        return LatencySubject(name, None, lambda: build_tiny(layers))

    return make


@pytest.fixture
def context(tmp_path: Path) -> LatencyContext:
    return LatencyContext("onnxruntime", (4, 9), tmp_path / "work", None)
