"""Changed forms of examples: a pure function of (fingerprint, seed, row), and the example itself among them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autodistill.components.task import TaskData
from autodistill.components.training import FeatureKey
from autodistill.errors import ConfigError
from autodistill.training.augmented import Augmentation, augmented
from autodistill.training.stream import ExampleStream
from autodistill.training.teacher_cache import TeacherCache
from autodistill.training.teacher_features import OnlineTeacherFeatures, cached_teacher_features
from autodistill.training.tokenised import TokenisedSplit, tokenise

MASK = Augmentation("mask", 2, 0.3, 0)
SPECIAL = (0, 1, 2, 3)


@pytest.fixture
def words(tokenizer: Any) -> Any:
    """The tiny tokeniser with a mask token: a word of its vocabulary that stands in no text."""
    tokenizer.mask_token = "[UNK]"
    return tokenizer


@pytest.fixture
def split(train: TokenisedSplit, words: Any) -> TokenisedSplit:
    return augmented(train, MASK, words)


def test_the_example_itself_is_the_first_form(train: TokenisedSplit, split: TokenisedSplit) -> None:
    rows = np.arange(len(train))
    plain, first = train.batch(rows), split.batch(rows)
    assert all(own.equal(other) for own, other in zip(vars(plain).values(), vars(first).values(), strict=True))
    assert split.copies == 3
    assert len(split) == len(train)
    assert split.fingerprint != train.fingerprint


@pytest.mark.parametrize("kind", ["mask", "replace"])
def test_changed_forms_differ_in_that_share_of_ordinary_tokens(train: TokenisedSplit, words: Any, kind: Any) -> None:
    split = augmented(train, replace(MASK, kind=kind, copies=20), words)
    rows = np.arange(len(train), 21 * len(train))
    changed, plain = split.batch(rows), train.batch(rows % len(train))
    assert changed.rows.tolist() == rows.tolist()
    assert changed.labels is not None
    assert plain.labels is not None
    assert changed.labels.equal(plain.labels)
    different = changed.input_ids != plain.input_ids
    ordinary = plain.attention_mask & ~torch.isin(plain.input_ids, torch.tensor(SPECIAL))
    assert not different[~ordinary].any()
    share = float(different.sum() / ordinary.sum())
    # Of replaced tokens some are drawn as what they were; special ones, a third or so of all here, are drawn again.
    assert share == pytest.approx(0.3, abs=0.02) if kind == "mask" else 0.24 < share < 0.3
    shown = changed.input_ids[different]
    assert bool((shown == 1).all()) if kind == "mask" else not torch.isin(shown, torch.tensor(SPECIAL)).any()


@settings(max_examples=20, deadline=None)
@given(rows=st.lists(st.integers(0, 191), min_size=1, max_size=12), random=st.randoms(use_true_random=False))
def test_a_form_does_not_depend_on_its_batch(rows: list[int], random: Any, tmp_path_factory: Any) -> None:
    split = shared_split(tmp_path_factory)
    shuffled = random.sample(rows, len(rows))
    batch = split.batch(np.array(shuffled))
    for place, row in enumerate(shuffled):
        alone = split.batch(np.array([row]))
        length = int(alone.attention_mask.sum())
        assert batch.input_ids[place, :length].equal(alone.input_ids[0])


_shared: list[TokenisedSplit] = []


def shared_split(tmp_path_factory: Any) -> TokenisedSplit:
    from training_tiny import make_data, make_tokenizer

    if not _shared:
        words = make_tokenizer()
        words.mask_token = "[UNK]"
        _shared.append(augmented(tokenise(make_data(), words, 16, tmp_path_factory.mktemp("a"))["train"], MASK, words))
    return _shared[0]


def test_seed_and_form_decide(train: TokenisedSplit, words: Any, split: TokenisedSplit) -> None:
    forms = [split.batch(np.arange(len(train)) + form * len(train)).input_ids for form in (1, 2)]
    assert not forms[0].equal(forms[1])
    again = augmented(train, MASK, words).batch(np.arange(len(train), 2 * len(train)))
    assert again.input_ids.equal(forms[0])
    other = augmented(train, replace(MASK, seed=1), words)
    assert other.fingerprint != split.fingerprint
    assert not other.batch(np.arange(len(train), 2 * len(train))).input_ids.equal(forms[0])
    travelled = pickle.loads(pickle.dumps(split))
    assert travelled.fingerprint == split.fingerprint
    assert travelled.batch(np.array([70])).input_ids.equal(split.batch(np.array([70])).input_ids)


def test_the_teacher_answers_every_form_once(
    split: TokenisedSplit, model_of: Callable[..., Any], tmp_path: Path
) -> None:
    keys: frozenset[FeatureKey] = frozenset({("logits", None)})
    teacher = model_of()
    stream = ExampleStream(len(split), 0, split.lengths, split.copies)
    cached = cached_teacher_features(teacher, split, keys, tmp_path, "teacher", 10**9, stream.prefix(150))
    assert isinstance(cached, TeacherCache)
    for start in (0, 64, 128):
        batch = split.batch(stream.rows_at(start, start + 8))
        torch.testing.assert_close(
            cached.get(batch)["logits", None], OnlineTeacherFeatures(teacher, keys).get(batch)["logits", None]
        )


def test_no_copies_change_nothing(train: TokenisedSplit, words: Any) -> None:
    assert augmented(train, replace(MASK, copies=0), words) is train


def test_what_cannot_be_changed_is_refused(
    data_of: Callable[..., TaskData], tokenizer: Any, train: TokenisedSplit
) -> None:
    with pytest.raises(ConfigError, match=r"needs a mask token.*augmentation.kind=replace"):
        augmented(train, MASK, tokenizer)
    for kind in ("question_answering", "token_classification"):
        train.kind = kind
        with pytest.raises(ConfigError, match=rf"of kind '{kind}' change with single words.*copies=0"):
            augmented(train, replace(MASK, kind="replace"), tokenizer)
