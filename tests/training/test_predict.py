from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from training_tiny import make_tokenizer
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    BertForTokenClassification,
    BertModel,
)

from autodistill.components.task import TaskData, TaskSpec
from autodistill.errors import OutOfMemoryTrialError
from autodistill.exporters.parity import logits_of
from autodistill.training.predict import predict, predict_elsewhere, targets_of
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


def test_batches_are_halved_where_memory_runs_out(model_of: Callable[..., Any], train: TokenisedSplit) -> None:
    model, wanted = model_of(), predict(model_of(), train)
    sizes, most = [], 10

    def check(module: Any, arguments: Any, options: dict[str, Any]) -> None:
        sizes.append(len(options["input_ids"]))
        if sizes[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    model.register_forward_pre_hook(check, with_kwargs=True)
    np.testing.assert_allclose(predict(model, train), wanted, atol=1e-6)
    assert sizes[:3] == [64, 32, 16]
    assert max(sizes[3:]) == 8
    most = 0
    with pytest.raises(OutOfMemoryTrialError, match="one example at a time"):
        predict(model, train)
    most = 100

    def broken(*_: Any) -> None:
        raise RuntimeError("something else")

    model.register_forward_pre_hook(broken)
    with pytest.raises(RuntimeError, match="something else"):
        predict(model, train)


def test_the_mode_of_every_module_is_kept(model_of: Callable[..., Any], train: TokenisedSplit) -> None:
    model = model_of(dropout=0.5).train()
    model.bert.embeddings.eval()
    first, second = predict(model, train), predict(model, train)
    assert np.array_equal(first, second)
    assert model.training
    assert not model.bert.embeddings.training


def test_weights_are_not_moved_within_inference_mode(
    model_of: Callable[..., Any], train: TokenisedSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are can neither be trained nor exported afterwards; on the CPU alone nothing moves, so this looks."""
    model, inside = model_of(), []
    monkeypatch.setattr(type(model), "to", lambda self, *args: inside.append(torch.is_inference_mode_enabled()) or self)
    predict(model, train)
    assert inside == [False, False]


def test_an_empty_split_has_no_answers(
    model_of: Callable[..., Any], tokenizer: Any, data: TaskData, tmp_path: Path
) -> None:
    empty = TaskData(data.task, {"train": data.splits["train"].select([])}, "empty")
    assert predict(model_of(), tokenise(empty, tokenizer, 8, tmp_path)["train"]).shape == (0, 2)


def split_of(task: TaskSpec, columns: dict[str, list[Any]], folder: Path, max_length: int = 16) -> TokenisedSplit:
    count = len(next(iter(columns.values())))
    rows = datasets.Dataset.from_dict({"id": [f"e{row}" for row in range(count)], **columns})
    return tokenise(TaskData(task, {"train": rows}, task.kind), make_tokenizer(), max_length, folder)["train"]


def tiny(kind: Any, **more: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return kind(BertConfig(vocab_size=len(make_tokenizer()), **sizes, max_position_embeddings=64, **more)).eval()


def test_words_are_answered_one_by_one_in_the_order_of_the_split(tmp_path: Path) -> None:
    task = TaskSpec("token_classification", ("O", "NAME"), ("words",), "x.y")
    words = [["w1", "w2,w3", "w4"], ["w5"], ["w1"] * 6]
    split = split_of(task, {"words": words, "label": [[1, 0, 1], [1], [0] * 6]}, tmp_path)
    model = tiny(BertForTokenClassification, num_labels=2)
    answers, targets = predict(model, split, batch_size=2), targets_of(split)
    assert answers.shape == (10, 2)
    assert targets.owners is not None
    assert targets.owners.tolist() == [0] * 3 + [1] + [2] * 6
    assert targets.labels is not None
    assert targets.labels.tolist() == [1, 0, 1, 1] + [0] * 6
    batch = split.batch(np.array([0]))
    with torch.no_grad():
        logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask.long()).logits[0].numpy()
    # [CLS] w1 w2 , w3 w4 [SEP]: the first piece of each word
    np.testing.assert_allclose(answers[:3], logits[[1, 2, 5]], atol=1e-6)


def test_without_labels_every_token_is_answered(tmp_path: Path) -> None:
    task = TaskSpec("token_classification", ("O", "NAME"), ("words",), "x.y", label_free=True)
    split = split_of(task, {"words": [["w1", "w2"], ["w3"]]}, tmp_path)
    targets = targets_of(split)
    assert targets.labels is None
    assert targets.owners is not None
    assert len(predict(tiny(BertForTokenClassification, num_labels=2), split)) == len(targets.owners)


def test_a_question_gets_one_span_out_of_all_its_windows(tmp_path: Path) -> None:
    task = TaskSpec("question_answering", (), ("question", "context"), "squad.f1", stride=3)
    contexts = ["w1 w2 w3", " ".join(f"w{number % 9 + 1}" for number in range(40)), "w4"]
    columns: dict[str, list[Any]] = {
        "question": ["w1", "w2", "w3"],
        "context": contexts,
        "answers": [{"text": ["w2"], "start": [3]}, {"text": [], "start": []}, {"text": ["w4"], "start": [0]}],
    }
    split = split_of(task, columns, tmp_path)
    assert len(split) > 3
    spans = predict(tiny(BertForQuestionAnswering), split, batch_size=4)
    assert spans.shape == (3, 4)
    for context, (start, stop, score, null) in zip(contexts, spans, strict=True):
        assert 0 <= start < stop <= len(context)
        assert np.isfinite([score, null]).all()
        assert context[int(start) : int(stop)].strip() == context[int(start) : int(stop)]
    assert targets_of(split).labels is None
    np.testing.assert_allclose(spans, predict(tiny(BertForQuestionAnswering), split, batch_size=1), atol=1e-5)


def test_embeddings_have_unit_length(tmp_path: Path) -> None:
    task = TaskSpec("embedding", (), ("text",), "x.y")
    split = split_of(task, {"text": ["w1", "w2 w3 w4 w5"]}, tmp_path)
    vectors = predict(tiny(BertModel), split)
    assert vectors.shape == (2, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)


def test_a_model_of_another_process_is_answered_for_in_the_same_way(
    model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path
) -> None:
    words = TaskSpec("token_classification", ("O", "NAME"), ("words",), "x.y")
    questions = TaskSpec("question_answering", (), ("question", "context"), "squad.f1", stride=3)
    vectors = TaskSpec("embedding", (), ("text",), "x.y")
    context = " ".join(f"w{number % 9 + 1}" for number in range(40))
    columns: dict[str, list[Any]] = {"question": ["w1", "w2"], "context": [context, "w4"]}
    columns["answers"] = [{"text": ["w2"], "start": [3]}, {"text": ["w4"], "start": [0]}]
    cases = [
        (model_of(), train),
        (
            tiny(BertForTokenClassification, num_labels=2),
            split_of(words, {"words": [["w1", "w2"], ["w5"]], "label": [[1, 0], [1]]}, tmp_path),
        ),
        (tiny(BertForQuestionAnswering), split_of(questions, columns, tmp_path)),
        (tiny(BertModel), split_of(vectors, {"text": ["w1", "w2 w3 w4 w5"]}, tmp_path)),
    ]
    for model, split in cases:
        found = predict_elsewhere(partial(logits_of, model), split, batch_size=3)
        np.testing.assert_allclose(found, predict(model, split, batch_size=5), atol=1e-5)
