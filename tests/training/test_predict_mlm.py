"""Answers of a masked language model, from a corpus to scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

from autodistill.components.outcome import Predictions
from autodistill.components.task import IGNORED, Masking, TaskData, TaskSpec
from autodistill.evaluators.mlm import Mlm
from autodistill.training.predict import predict, targets_of
from autodistill.training.tokenised import tokenise

WORDS = ["the", "a", "cat", "dog", "sees", "runs", "red", "blue"]
TASK = TaskSpec("mlm", (), ("text",), "mlm.accuracy", masking=Masking())


@dataclass(frozen=True)
class OnePart:
    """Documents in memory."""

    texts: tuple[str, ...]
    workers: int | None = 1
    parts: int = 1

    def documents(self, part: int) -> Iterator[str]:
        yield from self.texts


def test_every_masked_token_is_scored_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]) + "\n")
    tokenizer = BertTokenizerFast(str(tmp_path / "vocab.txt"))
    generator = np.random.default_rng(0)
    texts = tuple(" ".join(generator.choice(WORDS, size=generator.integers(3, 30))) for _ in range(40))
    split = tokenise(TaskData(TASK, {"test": OnePart(texts)}, "mlm"), tokenizer, 16, tmp_path / "cache", 0)["test"]
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), **sizes, max_position_embeddings=64)).eval()
    # Room for the logits of two rows: the batches are then small.
    monkeypatch.setattr("autodistill.training.predict.MOST_LOGITS", 2 * 16 * len(tokenizer))
    answers, targets = predict(model, split), targets_of(split)
    assert targets.owners is not None
    assert targets.labels is not None
    scores = Mlm().score(Predictions(split.ids, answers, targets.labels, None, TASK, targets.owners))

    batch = split.batch(np.arange(len(split), dtype=np.int64))
    assert batch.labels is not None
    counted = batch.labels != IGNORED
    with torch.no_grad():
        logits = model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask.long(),
            token_type_ids=batch.token_type_ids,
        ).logits[counted]
    truth = batch.labels[counted]
    assert targets.labels.tolist() == truth.tolist()
    assert scores["loss"].value == pytest.approx(float(torch.nn.functional.cross_entropy(logits, truth)), rel=1e-5)
    assert scores["accuracy"].value == pytest.approx(float((logits.argmax(-1) == truth).float().mean()))
