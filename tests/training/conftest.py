"""Fixtures of the training tests: tiny real models and data."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autodistill.components.task import TaskData
from autodistill.training.tokenised import TokenisedSplit, tokenise

sys.path.insert(0, str(Path(__file__).parent))  # helper modules beside the tests
from training_tiny import make_data, make_model, make_tokenizer


@pytest.fixture
def tokenizer() -> Any:
    return make_tokenizer()


@pytest.fixture
def data() -> TaskData:
    return make_data()


@pytest.fixture
def data_of() -> Callable[..., TaskData]:
    return make_data


@pytest.fixture
def model_of() -> Callable[..., Any]:
    return make_model


@pytest.fixture
def train(tokenizer: Any, data: TaskData, tmp_path: Path) -> TokenisedSplit:
    return tokenise(data, tokenizer, 16, tmp_path / "cache")["train"]
