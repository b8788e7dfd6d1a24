from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autodistill.components.task import TaskData
from autodistill.training.predict import predict
from autodistill.training.tokenised import TokenisedSplit, tokenise


def test_answers_do_not_depend_on_batches_and_keep_the_order(
    model_of: Callable[..., Any], train: TokenisedSplit
) -> None:
    model = model_of()
    logits = predict(model, train, batch_size=5)
    assert logits.shape == (64, 2)
    assert logits.dtype == np.float32
    for row in (0, 17, 63):
        batch = train.batch(np.array([row]))
        with torch.no_grad():
            alone = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        np.testing.assert_allclose(logits[row], alone[0].numpy(), atol=1e-6)


def test_the_mode_of_every_module_is_kept(model_of: Callable[..., Any], train: TokenisedSplit) -> None:
    model = model_of(dropout=0.5).train()
    model.bert.embeddings.eval()
    first, second = predict(model, train), predict(model, train)
    assert np.array_equal(first, second)
    assert model.training
    assert not model.bert.embeddings.training


def test_an_empty_split_has_no_answers(
    model_of: Callable[..., Any], tokenizer: Any, data: TaskData, tmp_path: Path
) -> None:
    empty = TaskData(data.task, {"train": data.splits["train"].select([])}, "empty")
    assert predict(model_of(), tokenise(empty, tokenizer, 8, tmp_path)["train"]).shape == (0, 2)
