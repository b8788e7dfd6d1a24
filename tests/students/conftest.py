"""Tiny tasks, vocabularies and teachers with random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from autodistill.components.students import Vocabulary
from autodistill.components.task import TASK_KINDS, TaskSpec
from autodistill.students.bert import BertFamily
from autodistill.students.configs import BertFamilyConfig, MobileBertFamilyConfig
from autodistill.students.mobilebert import MobileBertFamily

LABELS = ("bad", "good", "odd")


def make_task(kind: str) -> TaskSpec:
    labels = LABELS if kind in ("classification", "token_classification") else ()
    return TaskSpec(kind, labels, ("text",), "classification.accuracy")


@pytest.fixture
def task() -> TaskSpec:
    return make_task("classification")


@pytest.fixture(params=TASK_KINDS)
def any_task(request: pytest.FixtureRequest) -> TaskSpec:
    return make_task(request.param)


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary(size=50, max_positions=40, type_size=2, pad_token_id=0)


@pytest.fixture
def bert_family() -> BertFamily:
    return BertFamily(**asdict(BertFamilyConfig()))


@pytest.fixture
def mobilebert_family() -> MobileBertFamily:
    return MobileBertFamily(**asdict(MobileBertFamilyConfig()))


@pytest.fixture
def make_teacher() -> Callable[..., Any]:
    """Build a BERT classifier whose every tensor is random: freshly made biases and norms would hide mistakes."""

    def make(**changes: Any) -> Any:
        sizes = {"num_hidden_layers": 4, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48}
        sizes |= {"vocab_size": 50, "max_position_embeddings": 40, "num_labels": 3} | changes
        torch.manual_seed(0)
        model = BertForSequenceClassification(BertConfig(**sizes)).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        return model

    return make


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    ids = torch.randint(1, 50, (3, 11), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": (torch.arange(11) > 5).long().expand(3, -1)}


@pytest.fixture
def logits_of(batch: dict[str, torch.Tensor]) -> Callable[[Any], torch.Tensor]:
    def run(model: Any) -> torch.Tensor:
        with torch.no_grad():
            logits: torch.Tensor = model(**batch).logits
        return logits

    return run
