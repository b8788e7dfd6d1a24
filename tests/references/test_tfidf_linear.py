"""The reference `tfidf_linear`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import datasets
import numpy as np
import pytest

from autodistill.components.students import ReferenceContext
from autodistill.errors import ConfigError
from autodistill.references.configs import TfidfLinearConfig
from autodistill.references.tfidf_linear import TfidfLinear

MakeContext = Callable[..., ReferenceContext]


def make(context: ReferenceContext, **changes: Any) -> TfidfLinear:
    return TfidfLinear(context, **asdict(TfidfLinearConfig(**changes)))


@pytest.mark.parametrize("columns", [1, 2])
def test_words_that_decide_are_learnt(make_context: MakeContext, columns: int) -> None:
    context = make_context(columns)
    reference = make(context)
    assert reference.available() is None
    result = reference.measure()
    assert result.name == "mine"
    for role in ("select", "test"):
        logits = result.logits[role]
        assert logits.shape == (60, 2)
        assert logits.dtype == np.float32
        np.testing.assert_allclose(np.exp(logits).sum(axis=1), 1, rtol=1e-5)
        assert (logits.argmax(axis=1) == np.asarray(list(context.splits[role]["label"]))).mean() > 0.95
    assert result.parameters == result.notes["features"] + 1


def test_same_data_gives_the_same_logits(make_context: MakeContext) -> None:
    context = make_context()
    first, second = make(context).measure(), make(context).measure()
    assert np.array_equal(first.logits["test"], second.logits["test"])


def test_columns_are_in_the_order_of_class_ids_even_when_train_lacks_one(make_context: MakeContext) -> None:
    context = make_context(labels=("never", "bad", "good"), roles=("train", "select"))
    shifted = {
        role: datasets.Dataset.from_list([{**row, "label": row["label"] + 1} for row in split])
        for role, split in context.splits.items()
    }
    result = make(replace(context, splits=shifted)).measure()
    assert set(result.logits) == {"select"}
    assert result.logits["select"].shape == (60, 3)
    assert np.isfinite(result.logits["select"]).all()
    assert set(result.logits["select"].argmax(axis=1)) == {1, 2}


def test_characters_add_features(make_context: MakeContext) -> None:
    context = make_context()
    words, both = make(context).measure(), make(context, character_ngrams=3).measure()
    assert both.notes["features"] > words.notes["features"]


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({"kind": "regression", "labels": ()}, "tfidf_linear classifies; the task is regression"),
        ({"label_free": True}, "tfidf_linear learns from labels, and the data has none"),
        ({"multi_label": True}, "tfidf_linear answers one class per example, and these have several labels"),
    ],
)
def test_reason_is_given_where_it_cannot_be_measured(
    make_context: MakeContext, task: dict[str, Any], reason: str
) -> None:
    assert make(make_context(**task)).available() == reason


def test_one_class_alone_is_no_task(make_context: MakeContext) -> None:
    context = make_context()
    only = context.splits["train"].filter(lambda row: row["label"] == 1)
    reference = make(replace(context, splits={**context.splits, "train": only}))
    assert reference.available() == "tfidf_linear needs two classes in the train split, and there is one"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("word_ngrams", 0, "word_ngrams must be >= 1, got 0."),
        ("character_ngrams", 1, "character_ngrams must be 0 or >= 2, got 1."),
        ("min_documents", 0, "min_documents must be >= 1, got 0."),
        ("regularisation", [], r"regularisation must be a list of at least one number > 0, got \[\]."),
        ("regularisation", [1.0, 0.0], r"at least one number > 0, got \[1.0, 0.0\]."),
    ],
)
def test_values_out_of_range_are_refused(field: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TfidfLinearConfig(**{field: value})
