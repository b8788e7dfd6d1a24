"""Every kind of task as tokens and labels: several classes, labelled words, windows over contexts."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import processors
from training_tiny import WORDS, make_tokenizer

from autodistill.components.task import IGNORED, TaskData, TaskSpec
from autodistill.errors import ConfigError, DataError
from autodistill.losses.hard_label import label_loss
from autodistill.training.encoding import QUESTION_TOKENS, answer_tokens, encode
from autodistill.training.tokenised import StoredSplit, tokenise


def split_of(task: TaskSpec, columns: dict[str, list[Any]], folder: Path, max_length: int = 16) -> StoredSplit:
    count = len(next(iter(columns.values())))
    split = datasets.Dataset.from_dict({"id": [f"e{row}" for row in range(count)], **columns})
    found = tokenise(TaskData(task, {"train": split}, task.kind), make_tokenizer(), max_length, folder)["train"]
    assert isinstance(found, StoredSplit)
    return found


def test_several_labels_are_ones_and_zeros(tmp_path: Path) -> None:
    task = TaskSpec("classification", ("a", "b", "c"), ("text",), "classification.accuracy", multi_label=True)
    split = split_of(task, {"text": ["w1", "w2", "w3"], "label": [[0, 2], [], [1]]}, tmp_path)
    labels = split.batch(np.array([2, 0, 1])).labels
    assert labels is not None
    assert labels.dtype == torch.float32
    assert labels.tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]


def test_the_first_piece_of_a_word_carries_its_label(tmp_path: Path) -> None:
    task = TaskSpec("token_classification", ("O", "NAME"), ("words",), "token_classification.f1")
    words = [["w1", "w2,w3", "w4"], ["w5"], []]  # the comma splits a word into three tokens
    split = split_of(task, {"words": words, "label": [[1, 0, 1], [1], []]}, tmp_path)
    assert (split.words, split.unscored) == (4, 0)
    labels = split.batch(np.arange(3)).labels
    assert labels is not None
    assert labels[0].tolist() == [IGNORED, 1, 0, IGNORED, IGNORED, 1, IGNORED]
    assert labels[1].tolist() == [IGNORED, 1, *[IGNORED] * 5]
    assert labels[2].tolist() == [IGNORED] * 7


def test_labels_of_words_beyond_the_length_go_with_them(tmp_path: Path) -> None:
    task = TaskSpec("token_classification", ("O", "NAME"), ("words",), "token_classification.f1")
    split = split_of(task, {"words": [WORDS[:10]], "label": [[1] * 10]}, tmp_path, max_length=6)
    labels = split.batch(np.arange(1)).labels
    assert labels is not None
    assert labels.tolist() == [[IGNORED, 1, 1, 1, 1, IGNORED]]
    assert (split.truncated, split.words, split.unscored) == (1, 10, 6)


def test_words_that_are_nothing_to_the_tokeniser_are_counted(tmp_path: Path) -> None:
    task = TaskSpec("token_classification", ("O", "NAME"), ("words",), "token_classification.f1")
    split = split_of(task, {"words": [["w1", " ", "w2"]], "label": [[1, 1, 0]]}, tmp_path)
    assert (split.words, split.unscored) == (3, 1)


def test_words_without_a_label_each_are_named(tmp_path: Path) -> None:
    task = TaskSpec("token_classification", ("O", "NAME"), ("words",), "token_classification.f1")
    with pytest.raises(DataError, match="Example 'e0' has 2 words but 1 labels"):
        split_of(task, {"words": [["w1", "w2"]], "label": [[1]]}, tmp_path)
    with pytest.raises(DataError, match="Column 'words' of example 'e0' must be a list of words, got 'w1 w2'"):
        split_of(task, {"words": ["w1 w2"], "label": [[1]]}, tmp_path)


QUESTIONS = TaskSpec("question_answering", (), ("question", "context"), "squad.f1", stride=4)


def questions(context: str, answer: str, start: int, question: str = "w1 w2") -> dict[str, list[Any]]:
    return {"question": [question], "context": [context], "answers": [{"text": [answer], "start": [start]}]}


def test_windows_cover_the_context_and_point_at_the_answer(tmp_path: Path) -> None:
    context = " ".join(WORDS[:30])
    answer = "w21 w22"
    split = split_of(QUESTIONS, questions(context, answer, context.index(answer)), tmp_path)
    assert len(split) > 1
    assert split.ids == [f"e0:{number}" for number in range(len(split))]
    assert split.owners.tolist() == [0] * len(split)
    covered = set()
    found = 0
    batch = split.batch(np.arange(len(split)))
    assert batch.labels is not None
    for row, (first, last) in enumerate(batch.labels.tolist()):
        places = split.offsets(row)
        covered |= {tuple(place) for place in places.tolist() if place[0] >= 0}
        assert len(places) == split.lengths[row]
        if last:
            found += 1
            assert context[places[first][0] : places[last][1]] == answer
        else:
            assert (first, last) == (0, 0)
    assert len(covered) == 30
    assert found >= 1


def test_unanswerable_questions_point_at_the_first_token(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {"question": ["w1"], "context": ["w2 w3"], "answers": [{"text": [], "start": []}]}
    labels = split_of(QUESTIONS, columns, tmp_path).batch(np.arange(1)).labels
    assert labels is not None
    assert labels.tolist() == [[0, 0]]


def test_a_long_question_is_cut_and_counted(tmp_path: Path) -> None:
    question = " ".join(WORDS[:9] * (QUESTION_TOKENS // 3))
    split = split_of(QUESTIONS, questions("w2 w3 w4", "w3", 3, question), tmp_path, max_length=2 * QUESTION_TOKENS)
    assert split.truncated == 1
    assert split.lengths.tolist() == [QUESTION_TOKENS + 3 + 3]  # three words of context, three special tokens


@pytest.mark.parametrize(
    ("answer", "held"),
    [("w21 w22", True), (" w21 w22", True), ("w21 w22 ", True), (" ".join(WORDS[12:28]), False)],
)
def test_spaces_around_an_answer_hide_it_not_and_what_no_window_holds_is_counted(
    tmp_path: Path, answer: str, held: bool
) -> None:
    context = " ".join(WORDS[:30])
    split = split_of(QUESTIONS, questions(context, answer, context.index(answer)), tmp_path)
    assert split.unheld == (not held)
    assert (np.asarray(split.labels).any(axis=1).sum() > 0) == held


def test_a_stride_without_room_is_refused(tmp_path: Path) -> None:
    task = TaskSpec("question_answering", (), ("question", "context"), "squad.f1", stride=13)
    with pytest.raises(ConfigError, match=r"data.stride=13 leaves no room .* data.max_length=16 .* data.stride=4 or"):
        split_of(task, questions("w2 w3", "w3", 3), tmp_path)


def test_pairs_of_more_special_tokens_leave_less_room_for_a_question(tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(  # as RoBERTa's
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    columns = {"id": ["e0"], **questions(" ".join(WORDS[:30]), "w3", 9, question="w1 w2 w3 w4")}
    for stride, room in ((10, 1), (9, 2)):
        task = replace(QUESTIONS, stride=stride)
        found = encode(tokenizer, columns, task, 16)
        assert found.truncated == 1
        assert [len(tokens) for tokens in found.input_ids[:2]] == [16, 16]
        assert found.input_ids[0][: room + 2] == [2, *(5 + place for place in range(room)), 3]
    with pytest.raises(
        ConfigError, match=r"data.stride=11 leaves no room .* 4 of them special ones. Give data.stride=4"
    ):
        encode(tokenizer, columns, replace(QUESTIONS, stride=11), 16)
    with pytest.raises(ConfigError, match=r"data.stride=0 leaves no room .* Give a larger data.max_length"):
        encode(tokenizer, columns, replace(QUESTIONS, stride=0), 5)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.data())
def test_an_answer_is_found_exactly_when_the_window_holds_all_of_it(sizes: list[int], data: st.DataObject) -> None:
    stops = np.cumsum(sizes).tolist()
    places = [(-1, -1), *zip([0, *stops[:-1]], stops, strict=True), (-1, -1)]
    start = data.draw(st.integers(0, stops[-1] + 3))
    length = data.draw(st.integers(1, 8))
    first, last = answer_tokens(places, {"text": ["x" * length], "start": [start]})
    if start + length <= stops[-1]:
        assert places[first][0] <= start < places[first][1]
        assert places[last][0] < start + length <= places[last][1]
    else:
        assert (first, last) == (0, 0)


def test_the_losses_are_those_of_the_definitions() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 3, generator=generator)
    labels = torch.tensor([[IGNORED, 2, 0, IGNORED, 1], [IGNORED] * 5])
    expected = -sum(logits[0, place].log_softmax(-1)[label] for place, label in ((1, 2), (2, 0), (4, 1))) / 3
    assert math.isclose(float(label_loss(logits, labels, "token_classification")), float(expected), rel_tol=1e-6)
    assert float(label_loss(logits[1:], labels[1:], "mlm")) == 0.0
    spans = torch.tensor([[1, 3], [0, 0]])
    ends = [logits[row, :, end].log_softmax(-1)[spans[row, end]] for row in (0, 1) for end in (0, 1)]
    value = float(label_loss(logits[..., :2], spans, "question_answering"))
    assert math.isclose(value, -float(sum(ends)) / 4, rel_tol=1e-6)
    padded = torch.cat([logits[..., :2], torch.full((2, 4, 2), 7.0)], dim=1)
    mask = torch.tensor([[True] * 5 + [False] * 4] * 2)
    assert math.isclose(float(label_loss(padded, spans, "question_answering", mask)), value, rel_tol=1e-6)
    several = torch.tensor([[1.0, 0.0, 1.0]])
    chances = logits[0, :1].sigmoid()
    binary = -(several * chances.log() + (1 - several) * (1 - chances).log()).mean()
    assert math.isclose(float(label_loss(logits[0, :1], several, "classification")), float(binary), rel_tol=1e-6)
