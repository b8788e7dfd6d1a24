"""Corpora as masked examples: rows that hold every token, and masks that are a pure function of the row."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast, PreTrainedTokenizerFast

from autodistill.components.task import IGNORED, Continued, Masking, TaskData, TaskSpec
from autodistill.components.training import FeatureKey
from autodistill.errors import ConfigError, DataError
from autodistill.training.packed import Masker, PackedSplit, continuing_tokens
from autodistill.training.packing import part_directory
from autodistill.training.stream import ExampleStream
from autodistill.training.teacher_cache import TeacherCache
from autodistill.training.teacher_features import OnlineTeacherFeatures, cached_teacher_features
from autodistill.training.tokenised import tokenise

WORDS = ["play", "##ing", "##ed", "the", "a", "cat", "dog", "sees", "##s", "run", "un", "##known"]


@dataclass(frozen=True)
class Lists:
    """Documents in memory, one list per part."""

    lists: tuple[tuple[str, ...], ...]
    workers: int | None = 1

    @property
    def parts(self) -> int:
        return len(self.lists)

    def documents(self, part: int) -> Iterator[str]:
        yield from self.lists[part]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("tokenizer") / "vocab.txt"
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]) + "\n")
    return BertTokenizerFast(str(path))


def documents(seed: int, count: int, words: int = 12) -> tuple[str, ...]:
    rng = np.random.default_rng(seed)
    whole = ["playing", "played", "the", "a", "cat", "dogs", "sees", "run", "unknown"]
    return tuple(" ".join(rng.choice(whole, size=rng.integers(1, words))) for _ in range(count))


def packed(
    bert: Any, folder: Path, parts: tuple[tuple[str, ...], ...], length: int = 16, seed: int = 0, **masking: Any
) -> PackedSplit:
    task = TaskSpec("mlm", (), ("text",), "mlm.accuracy", masking=Masking(**masking))
    data = TaskData(task, {"train": Lists(parts)}, "fixed")
    split = tokenise(data, bert, length, folder, seed)["train"]
    assert isinstance(split, PackedSplit)
    return split


def unmasked(split: PackedSplit, rows: Any) -> Any:
    batch = split.batch(np.asarray(rows))
    assert batch.labels is not None
    return np.where(batch.labels != IGNORED, batch.labels, batch.input_ids), batch


def test_rows_hold_every_token_in_order(bert: Any, tmp_path: Path) -> None:
    parts = (documents(0, 30), documents(1, 5), (), documents(2, 40))
    split = packed(bert, tmp_path, parts)
    tokens, batch = unmasked(split, range(len(split)))
    assert (tokens[:, 0] == bert.cls_token_id).all()
    assert (split.lengths < 16).sum() <= 3  # the last one of each part that has any
    found = [token for row, length in zip(tokens, split.lengths, strict=True) for token in row[1 : length - 1]]
    expected = [
        token for part in parts for text in part for token in [*bert(text)["input_ids"][1:-1], bert.sep_token_id]
    ]
    separator = bert.sep_token_id  # one may be left over at the end of a part
    assert [token for token in found if token != separator] == [token for token in expected if token != separator]
    assert (batch.token_type_ids == 0).all()


def test_a_vocabulary_may_have_gaps(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "dog"]
    numbers = {word: place for place, word in enumerate(words)} | {"dog": 70_000, "[MASK]": 90_000}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    gaps = PreTrainedTokenizerFast(tokenizer_object=tokenizer, mask_token="[MASK]", **special)
    split = packed(gaps, tmp_path, (("the cat dog " * 200,),), share=0.5)
    tokens, batch = unmasked(split, range(len(split)))
    assert set(np.unique(tokens)) <= set(numbers.values())
    assert set(np.unique(batch.input_ids)) <= set(numbers.values())
    assert 90_000 in batch.input_ids
    assert 70_000 in tokens


@pytest.mark.parametrize("pairs", [False, True])
def test_a_row_is_of_the_document_in_which_it_begins(
    bert: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairs: bool
) -> None:
    monkeypatch.setattr("autodistill.training.packing.BATCH_CHARACTERS", 100)  # a few documents
    parts = (documents(0, 40, 30), (), documents(1, 25, 50))
    found = packed(bert, tmp_path, parts, pairs=pairs).documents.tolist()
    expected: list[tuple[int, int]] = []
    for part, texts in enumerate(parts):
        sizes = [len(bert(text)["input_ids"]) - 2 for text in texts]
        if pairs:
            expected += [(part, number) for number, size in enumerate(sizes) for _ in range(0, size, 13)]
        else:  # with its separator each
            every = [(part, number) for number, size in enumerate(sizes) for _ in range(size + 1)]
            expected += every[: len(every) - (len(every) % 14 == 1)][::14]
    order = {one: number for number, one in enumerate(sorted(set(expected)))}
    assert found == [order[one] for one in expected]


def in_pieces(text: str, words: int) -> list[str]:
    """A document as a stream gives it that is too long."""
    every = text.split()
    pieces = [" ".join(every[start : start + words]) for start in range(0, len(every), words)]
    return [piece if not place else Continued(f" {piece}") for place, piece in enumerate(pieces)]


@pytest.mark.parametrize("characters", [1, 100, 10**6])
def test_a_document_in_pieces_makes_the_rows_of_the_whole(
    bert: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, characters: int
) -> None:
    monkeypatch.setattr("autodistill.training.packing.BATCH_CHARACTERS", characters)  # pieces in batches of their own
    parts = (documents(0, 12, 60), documents(1, 9, 200))
    whole = packed(bert, tmp_path / "a", parts)
    cut = packed(
        bert, tmp_path / "b", tuple(tuple(piece for text in part for piece in in_pieces(text, 7)) for part in parts)
    )
    assert len(cut) == len(whole)
    assert cut.batch(np.arange(len(cut))).input_ids.equal(whole.batch(np.arange(len(whole))).input_ids)
    assert cut.documents.tolist() == whole.documents.tolist()
    counts = [json.loads((cut.directory / f"part-{part:05}" / "counts.json").read_text()) for part in range(2)]
    assert [found["documents"] for found in counts] == [12, 9]


def test_pairs_of_a_document_in_pieces_are_of_one_document(bert: Any, tmp_path: Path) -> None:
    texts = documents(0, 6, 60)
    split = packed(bert, tmp_path, (tuple(piece for text in texts for piece in in_pieces(text, 7)),), pairs=True)
    owners = split.documents
    assert owners.max() == 5
    tokens, _ = unmasked(split, range(len(split)))
    for number, text in enumerate(texts):
        found = [token for token in tokens[owners == number].ravel().tolist() if token not in bert.all_special_ids]
        assert found == bert(text)["input_ids"][1:-1]


def test_pairs_are_two_pieces_of_one_document(bert: Any, tmp_path: Path) -> None:
    split = packed(bert, tmp_path, (documents(0, 30, 40),), pairs=True)
    tokens, batch = unmasked(split, range(len(split)))
    for row, types, length in zip(tokens, batch.token_type_ids.numpy(), split.lengths, strict=True):
        second = int(np.flatnonzero(types).min())
        assert row[second - 1] == row[length - 1] == bert.sep_token_id
        assert types[:length].tolist() == [0] * second + [1] * (length - second)
        assert (types[length:] == 0).all()


def test_rows_are_written_once_for_every_masking_and_seed(bert: Any, tmp_path: Path) -> None:
    parts = (documents(0, 60), documents(1, 50))
    first = packed(bert, tmp_path, parts)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "tokenised").rglob("*.npy")}
    others = [
        packed(bert, tmp_path, parts, seed=1),
        packed(bert, tmp_path, parts, whole_word=True),
        packed(bert, tmp_path, parts, share=0.3, copies=2),
    ]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "tokenised").rglob("*.npy")} == files
    assert len({split.fingerprint for split in (first, *others)}) == 4
    rows = range(len(first))
    for other in others:
        assert (unmasked(other, rows)[0] == unmasked(first, rows)[0]).all()
        assert (unmasked(other, rows)[1].input_ids != unmasked(first, rows)[1].input_ids).any()
    assert packed(bert, tmp_path, parts, pairs=True).directory != first.directory


@pytest.mark.parametrize(("type_size", "second_type"), [(1, 0), (2, 1)])
def test_pieces_of_a_pair_are_of_the_types_that_there_are(
    bert: Any, tmp_path: Path, type_size: int, second_type: int
) -> None:
    task = TaskSpec("mlm", (), ("text",), "mlm.accuracy", masking=Masking(pairs=True))
    data = TaskData(task, {"train": Lists((documents(0, 30, 40),))}, "fixed")
    split = tokenise(data, bert, 16, tmp_path, type_size=type_size)["train"]
    assert split.batch(np.arange(len(split))).token_type_ids.max() == second_type


def test_the_teachers_answers_to_every_masking_are_cached(bert: Any, tmp_path: Path) -> None:
    split = packed(bert, tmp_path, (documents(0, 30),), copies=2)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    teacher = BertForMaskedLM(BertConfig(vocab_size=len(bert), **sizes, max_position_embeddings=16)).eval()
    keys: frozenset[FeatureKey] = frozenset({("hidden_states", 1)})
    cached = cached_teacher_features(teacher, split, keys, tmp_path, "teacher", 10**9, None)
    assert isinstance(cached, TeacherCache)
    for rows in (np.arange(4), len(split) + np.arange(4)):
        batch = split.batch(rows)
        found, expected = (source.get(batch) for source in (cached, OnlineTeacherFeatures(teacher, keys)))
        for key in keys:
            kept = batch.attention_mask
            torch.testing.assert_close(found[key][kept], expected[key][kept], atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("pairs", [False, True])
def test_every_row_of_many_is_found_in_its_part(bert: Any, tmp_path: Path, pairs: bool) -> None:
    parts = (documents(0, 300, 40), documents(1, 1), (), documents(2, 130, 40), documents(3, 250, 40))
    split = packed(bert, tmp_path, parts, pairs=pairs)
    assert len(split) > 500
    written = []
    for part in range(len(parts)):
        tokens, lengths = (
            np.load(part_directory(split.directory, part) / f"{name}.npy") for name in ("tokens", "lengths")
        )
        written += [row.tolist() for row in np.split(tokens, np.cumsum(lengths))[:-1]]
    random = np.random.default_rng(0).permutation(len(split))
    for rows in (random[:200], random[200:]):
        found, _ = unmasked(split, rows)
        for row, length, tokens in zip(rows, split.lengths[rows], found, strict=True):
            assert tokens[:length].tolist() == written[row]


def test_a_mask_depends_on_the_row_alone(bert: Any, tmp_path: Path) -> None:
    parts = (documents(0, 60), documents(1, 50))
    one = packed(bert, tmp_path / "a", parts)
    two = packed(bert, tmp_path / "b", parts)
    rows = np.array([5, 2 * len(one) + 3, 1])
    batch = one.batch(rows)
    for index, row in enumerate(rows):
        alone = two.batch(np.array([row]))
        length = alone.input_ids.shape[1]
        assert batch.labels is not None
        assert alone.labels is not None
        assert batch.input_ids[index, :length].equal(alone.input_ids[0])
        assert batch.labels[index, :length].equal(alone.labels[0])
    assert pickle.loads(pickle.dumps(one)).batch(rows).input_ids.equal(batch.input_ids)
    other = packed(bert, tmp_path / "a", parts, seed=1)
    assert not other.batch(np.arange(20)).input_ids.equal(one.batch(np.arange(20)).input_ids)


def test_copies_mask_the_same_rows_differently(bert: Any, tmp_path: Path) -> None:
    split = packed(bert, tmp_path, (documents(0, 80),), copies=3)
    first, _ = unmasked(split, np.arange(len(split)))
    second, _ = unmasked(split, np.arange(len(split)) + len(split))
    assert (first == second).all()
    assert not split.batch(np.arange(9)).input_ids.equal(split.batch(np.arange(9) + len(split)).input_ids)
    stream = ExampleStream(len(split), 0, split.lengths, split.copies)
    rows = stream.rows_at(0, 4 * len(split))
    assert sorted(rows[: 3 * len(split)].tolist()) == list(range(3 * len(split)))
    assert sorted(rows[3 * len(split) :].tolist()) == list(range(len(split)))
    assert stream.prefix(10**6).numbers().tolist() == list(range(3 * len(split)))


def masker(share: float = 0.15, continues: tuple[int, ...] = (), seed: int = 1) -> Masker:
    return Masker(seed=seed, share=share, mask_token=4, vocabulary=200, special=[0, 1, 2, 3, 4], continues=[*continues])


def test_shares_are_those_of_bert() -> None:
    rng = np.random.default_rng(0)
    tokens = rng.integers(5, 200, size=(400, 128))
    shown, labels = masker().masked(tokens, np.ones_like(tokens, dtype=bool), np.arange(400))
    chosen = labels != IGNORED
    assert chosen.mean() == pytest.approx(0.15, abs=0.006)  # four standard errors
    assert (shown[chosen] == 4).mean() == pytest.approx(0.8, abs=0.02)
    kept = (shown[chosen] == tokens[chosen]).mean()
    assert kept == pytest.approx(0.1 + 0.1 / 195, abs=0.015)  # another token may be the same one
    assert (shown[~chosen] == tokens[~chosen]).all()
    assert (labels[chosen] == tokens[chosen]).all()
    columns = chosen.mean(axis=0)
    assert columns.std() < 1.5 * np.sqrt(0.15 * 0.85 / 400)  # no place is preferred


@settings(max_examples=40)
@given(
    tokens=st.lists(st.lists(st.integers(0, 199), min_size=6, max_size=6), min_size=1, max_size=6),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 2**31 - 1),
)
def test_words_are_masked_whole_and_special_tokens_never(tokens: list[list[int]], share: float, seed: int) -> None:
    array = np.array(tokens)
    mask = array != 0
    continues = tuple(range(100, 200))
    shown, labels = masker(share, continues, seed).masked(array, mask, np.arange(len(tokens)))
    chosen = labels != IGNORED
    special = array < 5
    assert not chosen[special].any()
    assert (shown[special] == array[special]).all()
    assert (shown >= 5)[chosen & (shown != 4)].all()
    for row in range(len(tokens)):
        for column in range(1, 6):
            continued = array[row, column] >= 100 and not special[row, column - 1]
            if continued and not special[row, column]:
                assert chosen[row, column] == chosen[row, column - 1]


def test_the_tokeniser_says_what_continues_a_word(bert: Any, tokenizer: Any) -> None:
    assert [bert.convert_ids_to_tokens(number) for number in continuing_tokens(bert)] == [
        "##ing",
        "##ed",
        "##s",
        "##known",
    ]
    with pytest.raises(ConfigError, match=r"data.whole_word needs a tokeniser that marks where words begin"):
        continuing_tokens(tokenizer)


def test_labels_of_a_split_are_those_of_its_rows(bert: Any, tmp_path: Path) -> None:
    split = packed(bert, tmp_path, (documents(0, 80),), copies=1)
    labels = split.batch(np.arange(len(split))).labels
    assert labels is not None
    assert split.labels.tolist() == labels[labels != IGNORED].tolist()
    assert split.ids[:2] == ["row-0", "row-1"]


def test_a_killed_build_goes_on_with_the_missing_parts(
    bert: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = tuple(documents(seed, 20) for seed in range(3))
    whole = packed(bert, tmp_path / "a", parts)

    class Broken(Lists):
        def documents(self, part: int) -> Iterator[str]:
            if part == 2:
                raise KeyboardInterrupt
            yield from super().documents(part)

    task = TaskSpec("mlm", (), ("text",), "mlm.accuracy", masking=Masking())
    with pytest.raises(KeyboardInterrupt):
        tokenise(TaskData(task, {"train": Broken(parts)}, "fixed"), bert, 16, tmp_path / "b")
    done = [path.stat().st_mtime_ns for path in sorted((tmp_path / "b").rglob("part-0000[01]/tokens.npy"))]
    assert len(done) == 2
    again = packed(bert, tmp_path / "b", parts)
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "b").rglob("part-0000[01]/tokens.npy"))] == done
    assert again.fingerprint == whole.fingerprint
    assert again.batch(np.arange(9)).input_ids.equal(whole.batch(np.arange(9)).input_ids)


def test_a_tokeniser_without_a_mask_is_refused(tokenizer: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the teacher's has none for mask"):
        packed(tokenizer, tmp_path, (documents(0, 20),))


def test_a_split_without_text_is_an_error(bert: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no text for one of its splits"):
        packed(bert, tmp_path, ((), ()))


def test_tokens_of_small_vocabularies_take_two_bytes(bert: Any, tmp_path: Path) -> None:
    split = packed(bert, tmp_path, (documents(0, 20),))
    stored = np.load(split.directory / "part-00000" / "tokens.npy")
    assert stored.dtype == np.uint16
    assert json.loads((split.directory / "part-00000" / "counts.json").read_text())["tokens"] == len(stored)
