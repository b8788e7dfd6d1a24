"""Tiny real models to be timed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
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
def model() -> BertForSequenceClassification:
    """One model, whose own answers a backend's are compared with."""
    return build_tiny(layers=2)


@pytest.fixture
def context(tmp_path: Path) -> LatencyContext:
    return LatencyContext("onnxruntime", (4, 9), tmp_path / "work", None)


@pytest.fixture
def batches() -> list[dict[str, Any]]:
    """Two batches of the tiny models' words, the second padded."""
    rng = np.random.default_rng(0)
    found = []
    for shape in ((2, 7), (3, 5)):
        words = rng.integers(2, 60, shape)
        found.append(
            {"input_ids": words, "attention_mask": np.ones_like(words), "token_type_ids": np.zeros_like(words)}
        )
    found[1]["attention_mask"][0, 3:] = 0
    return found
