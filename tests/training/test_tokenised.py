from __future__ import annotations

import pickle
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import BertJapaneseTokenizer

from autodistill.components.task import TaskData
from autodistill.errors import DataError
from autodistill.training.tokenised import TokenisedSplit, tokenise, tokenizer_fingerprint


def test_tokens_are_those_of_the_tokeniser(tokenizer: Any, data: TaskData, tmp_path: Path) -> None:
    splits = tokenise(data, tokenizer, 8, tmp_path)
    assert set(splits) == {"train", "select"}
    expected = tokenizer(data.splits["train"]["text"][:5], truncation=True, max_length=8, padding=True)
    batch = splits["train"].batch(np.arange(5))
    assert batch.input_ids.tolist() == expected["input_ids"]
    assert batch.attention_mask.tolist() == [[bool(value) for value in row] for row in expected["attention_mask"]]
    assert batch.rows.tolist() == [0, 1, 2, 3, 4]


def test_pairs_carry_token_types(tokenizer: Any, data_of: Callable[..., TaskData], tmp_path: Path) -> None:
    data = data_of(pairs=True)
    train = tokenise(data, tokenizer, 12, tmp_path)["train"]
    texts, others = data.splits["train"]["text"][:9], data.splits["train"]["other"][:9]
    expected = tokenizer(
        list(texts), list(others), truncation=True, max_length=12, padding=True, return_token_type_ids=True
    )
    batch = train.batch(np.arange(9))
    assert batch.input_ids.tolist() == expected["input_ids"]
    assert batch.token_type_ids.tolist() == expected["token_type_ids"]


def test_types_that_the_models_do_not_have_are_the_first(
    tokenizer: Any, data_of: Callable[..., TaskData], tmp_path: Path
) -> None:
    """Tokenisers of DistilBERT and DeBERTa write BERT's segments, which a student with one could not look up."""
    data = data_of(pairs=True)
    both, one = (tokenise(data, tokenizer, 12, tmp_path, type_size=size)["train"] for size in (2, 1))
    rows = np.arange(9)
    assert both.batch(rows).token_type_ids.max() == 1
    assert not one.batch(rows).token_type_ids.any()
    assert one.batch(rows).input_ids.equal(both.batch(rows).input_ids)
    assert one.fingerprint != both.fingerprint, "the teacher's features of the two are not the same"


def test_a_batch_is_padded_to_its_longest_row(train: TokenisedSplit) -> None:
    shortest, longest = int(train.lengths.argmin()), int(train.lengths.argmax())
    assert train.batch(np.array([shortest])).input_ids.shape == (1, train.lengths[shortest])
    batch = train.batch(np.array([shortest, longest, shortest]))
    assert batch.input_ids.shape == (3, train.lengths[longest])
    assert batch.attention_mask.sum(1).tolist() == train.lengths[[shortest, longest, shortest]].tolist()
    assert (batch.input_ids[~batch.attention_mask] == train.pad_token_id).all()


def test_ids_labels_and_lengths_keep_their_order(train: TokenisedSplit, data: TaskData) -> None:
    assert len(train) == 64
    assert train.ids == list(data.splits["train"]["id"])
    assert train.labels is not None
    assert train.labels.dtype == np.int64
    assert train.labels.tolist() == list(data.splits["train"]["label"])
    batch = train.batch(np.array([7, 3]))
    assert batch.labels is not None
    assert batch.labels.tolist() == [data.splits["train"]["label"][7], data.splits["train"]["label"][3]]


def test_truncation_is_counted_exactly(tokenizer: Any, data: TaskData, tmp_path: Path) -> None:
    words = [len(text.split()) + 2 for text in data.splits["train"]["text"]]
    train = tokenise(data, tokenizer, 9, tmp_path)["train"]
    assert 9 in words
    assert train.truncated == sum(count > 9 for count in words)
    assert train.lengths.tolist() == [min(count, 9) for count in words]


def test_a_regression_has_float_labels(tokenizer: Any, data_of: Callable[..., TaskData], tmp_path: Path) -> None:
    train = tokenise(data_of(kind="regression"), tokenizer, 9, tmp_path)["train"]
    assert train.labels is not None
    assert train.labels.dtype == np.float32


def test_label_free_data_has_no_labels(tokenizer: Any, data_of: Callable[..., TaskData], tmp_path: Path) -> None:
    train = tokenise(data_of(label_free=True), tokenizer, 9, tmp_path)["train"]
    assert train.labels is None
    assert train.batch(np.array([0])).labels is None


def test_the_cache_is_used_and_private(
    tokenizer: Any, data: TaskData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tokenise(data, tokenizer, 8, tmp_path)["train"]
    monkeypatch.setattr("autodistill.training.tokenised._write_split", lambda *arguments: pytest.fail("written again"))
    again = tokenise(data, tokenizer, 8, tmp_path)["train"]
    assert again.directory == first.directory
    assert again.fingerprint == first.fingerprint
    assert stat.S_IMODE(first.directory.stat().st_mode) == 0o700


def test_the_cache_key_has_all_that_decides_the_tokens(
    tokenizer: Any, data: TaskData, data_of: Callable[..., TaskData], tmp_path: Path
) -> None:
    splits = [
        tokenise(data, tokenizer, 8, tmp_path)["train"],
        tokenise(data, tokenizer, 9, tmp_path)["train"],
        tokenise(replace(data, fingerprint="other"), tokenizer, 8, tmp_path)["train"],
        tokenise(data_of(pairs=True), tokenizer, 8, tmp_path)["train"],
    ]
    assert len({split.fingerprint for split in splits}) == 4
    assert splits[0].fingerprint != tokenise(data, tokenizer, 8, tmp_path)["select"].fingerprint


def test_using_a_tokeniser_does_not_change_its_fingerprint(tokenizer: Any) -> None:
    before = tokenizer_fingerprint(tokenizer)
    tokenizer(["w1 w2", "w3"], truncation=True, max_length=3, padding=True)
    assert tokenizer_fingerprint(tokenizer) == before
    tokenizer.truncation_side = "left"
    assert tokenizer_fingerprint(tokenizer) != before
    tokenizer.truncation_side = "right"
    tokenizer.add_tokens(["new"])
    assert tokenizer_fingerprint(tokenizer) != before


def test_what_a_slow_tokeniser_was_made_with_is_in_its_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "A"]) + "\n")

    def made(**options: Any) -> str:
        tokenizer = BertJapaneseTokenizer(str(tmp_path / "vocab.txt"), word_tokenizer_type="basic", **options)
        return tokenizer_fingerprint(tokenizer)

    assert made(do_lower_case=True) == made(do_lower_case=True) != made(do_lower_case=False)
    BertJapaneseTokenizer(str(tmp_path / "vocab.txt"), word_tokenizer_type="basic").save_pretrained(tmp_path / "saved")
    assert tokenizer_fingerprint(BertJapaneseTokenizer.from_pretrained(tmp_path / "saved")) == made()


def test_a_split_can_travel_to_another_process(train: TokenisedSplit) -> None:
    data = pickle.dumps(train)
    assert len(data) < 1000
    again = pickle.loads(data)
    assert again.batch(np.arange(4)).input_ids.equal(train.batch(np.arange(4)).input_ids)


def test_wrong_data_is_named(tokenizer: Any, data: TaskData, tmp_path: Path) -> None:
    broken = {"train": data.splits["train"].remove_columns("text")}
    with pytest.raises(DataError, match=r"Column 'text' is missing; the data has id, label"):
        tokenise(replace(data, splits=broken, fingerprint="a"), tokenizer, 8, tmp_path)
    numbers = data.splits["train"].remove_columns("text").add_column("text", list(range(64)))
    with pytest.raises(DataError, match=r"Column 'text' of example 'e0' must be text, got int"):
        tokenise(replace(data, splits={"train": numbers}, fingerprint="b"), tokenizer, 8, tmp_path)


def test_an_empty_split_is_possible(tokenizer: Any, data: TaskData, tmp_path: Path) -> None:
    empty = replace(data, splits={"train": data.splits["train"].select([])}, fingerprint="empty")
    assert len(tokenise(empty, tokenizer, 8, tmp_path)["train"]) == 0
