from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autodistill.components.training import FeatureKey, Features
from autodistill.errors import ConfigError
from autodistill.training.row_sets import RowSet
from autodistill.training.teacher_cache import TeacherCache
from autodistill.training.teacher_features import (
    OnlineTeacherFeatures,
    PartlyCachedTeacherFeatures,
    SelectedTeacherFeatures,
    cached_teacher_features,
    check_disk,
    estimate_bytes,
)
from autodistill.training.tokenised import TokenisedSplit

KEYS: frozenset[FeatureKey] = frozenset(
    {("logits", None), ("hidden_states", 0), ("hidden_states", 2), ("attentions", 2), ("queries", 1)}
)
LARGE = 10**9


def examples_seen(model: Any) -> list[int]:
    seen: list[int] = []
    model.register_forward_pre_hook(
        lambda module, arguments, named: seen.append(len(named["input_ids"])), with_kwargs=True
    )
    return seen


def assert_alike(first: Features, second: Features, mask: torch.Tensor) -> None:
    assert set(first) == set(second)
    for key, value in first.items():
        other = second[key]
        assert value.shape == other.shape
        assert value.dtype == torch.float32
        if key[0] == "hidden_states":
            value, other = value[mask], other[mask]
        elif key[0] == "attentions" or key[0] == "queries":
            value, other = value.transpose(1, 2)[mask], other.transpose(1, 2)[mask]
        elif key[0] == "attention_scores":
            counted = (mask[:, None, :, None] & mask[:, None, None, :]).expand_as(value)
            value, other = value[counted], other[counted]
        torch.testing.assert_close(value, other, atol=2e-3, rtol=2e-3)


def test_cached_features_are_the_online_ones(
    model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path
) -> None:
    teacher = model_of()
    cached = cached_teacher_features(teacher, train, KEYS, tmp_path, "teacher", LARGE, None)
    assert isinstance(cached, TeacherCache)
    online = OnlineTeacherFeatures(teacher, KEYS)
    for rows in ([0], [5, 3, 60, 3], list(range(63, 20, -1))):
        batch = train.batch(np.array(rows))
        assert_alike(cached.get(batch), online.get(batch), batch.attention_mask)
        torch.testing.assert_close(cached.get(batch)["logits", None], online.get(batch)["logits", None])


def test_they_are_the_same_inside_a_run_in_bfloat16(
    model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path
) -> None:
    """A flash run that reads the cache and a full run that does not must learn from one teacher."""
    teacher = model_of(heads=8)  # so many that maps and scores are larger than what they are computed from
    keys = KEYS | {("attention_scores", 1), ("attentions", 1)}
    cached = cached_teacher_features(teacher, train, keys, tmp_path, "teacher", LARGE, None)
    online = OnlineTeacherFeatures(teacher, keys)
    batch = train.batch(np.array([5, 3, 60]))
    outside = cached.get(batch), online.get(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = cached.get(batch), online.get(batch)
    assert_alike(*inside, batch.attention_mask)
    for one, other in zip(inside, outside, strict=True):
        assert all(value.equal(other[key]) for key, value in one.items())


def test_a_teacher_in_bfloat16_teaches_the_same_from_the_cache_and_online(
    model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path
) -> None:
    teacher, keys = model_of(), frozenset({("logits", None), ("hidden_states", 1)})
    cached = cached_teacher_features(teacher, train, keys, tmp_path, "in bf16", LARGE, None, precision="bf16-mixed")
    online, exact = OnlineTeacherFeatures(teacher, keys, "bf16-mixed"), OnlineTeacherFeatures(teacher, keys)
    some = RowSet.of(np.array([5, 3]))
    room = estimate_bytes(teacher, train, keys, some)
    partly = cached_teacher_features(
        teacher, train, keys, tmp_path, "in bf16 too", room, None, some, precision="bf16-mixed"
    )
    assert isinstance(cached, TeacherCache)
    assert isinstance(partly, PartlyCachedTeacherFeatures)
    for row in (5, 3, 60):  # of which the last one is not in the smaller cache
        batch = train.batch(np.array([row]))
        value, largest = exact.get(batch)["logits", None], exact.get(batch)["logits", None].abs().max()
        for source in (cached, online, partly):
            given = source.get(batch)
            assert all(feature.dtype == torch.float32 for feature in given.values())
            # bfloat16 has eight bits; float32, whose rounding differs with the batch, has 24.
            assert 1e-4 * largest < (given["logits", None] - value).abs().max() < 0.03 * largest


def test_the_teacher_runs_once_over_the_rows(
    model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path
) -> None:
    teacher = model_of()
    seen = examples_seen(teacher)
    rows = np.array([9, 2, 9, 40, 2])
    for _ in range(2):
        features = cached_teacher_features(teacher, train, KEYS, tmp_path, "teacher", LARGE, RowSet.of(rows))
        features.get(train.batch(rows))
    probes = 2  # of one example each: the estimate and the shapes
    assert sum(seen) == 3 + probes


def test_rows_that_were_not_asked_for_are_missing(
    model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path
) -> None:
    features = cached_teacher_features(model_of(), train, KEYS, tmp_path, "teacher", LARGE, RowSet.of(np.array([9, 2])))
    with pytest.raises(KeyError, match="Row 63 is not in the teacher cache"):
        features.get(train.batch(np.array([2, 63])))


def test_the_cache_key_has_teacher_features_and_rows(
    model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path
) -> None:
    teacher, logits = model_of(), frozenset({("logits", None)})
    some = RowSet.of(np.array([1, 2]))
    caches = [
        cached_teacher_features(teacher, train, logits, tmp_path, "teacher", LARGE, some),
        cached_teacher_features(teacher, train, logits, tmp_path, "other", LARGE, some),
        cached_teacher_features(teacher, train, KEYS, tmp_path, "teacher", LARGE, some),
        cached_teacher_features(teacher, train, logits, tmp_path, "teacher", LARGE, RowSet.of(np.array([1, 3]))),
        cached_teacher_features(teacher, train, logits, tmp_path, "teacher", LARGE, None),
    ]
    assert len({cache.directory for cache in caches if isinstance(cache, TeacherCache)}) == 5


def test_the_estimate_is_the_size_of_the_files(
    model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path
) -> None:
    teacher = model_of()
    cache = cached_teacher_features(teacher, train, KEYS, tmp_path, "teacher", LARGE, None)
    assert isinstance(cache, TeacherCache)
    files = [path for path in cache.directory.glob("*.npy") if path.name not in ("rows.npy", "lengths.npy")]
    header = 128
    assert estimate_bytes(teacher, train, KEYS) == sum(path.stat().st_size - header for path in files)
    assert estimate_bytes(teacher, train, frozenset({("logits", None)}), RowSet.of(np.array([1, 1, 2]))) == 2 * 2 * 4


def test_a_cache_of_all_rows_serves_some(model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path) -> None:
    teacher = model_of()
    whole = cached_teacher_features(teacher, train, KEYS, tmp_path, "teacher", LARGE, None)
    some = cached_teacher_features(teacher, train, KEYS, tmp_path, "teacher", LARGE, RowSet.of(np.array([1, 2])))
    assert isinstance(whole, TeacherCache)
    assert isinstance(some, TeacherCache)
    assert whole.directory == some.directory


def test_what_is_too_large_runs_online(model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path) -> None:
    teacher = model_of()
    needed = estimate_bytes(teacher, train, KEYS)
    features = cached_teacher_features(teacher, train, KEYS, tmp_path, "teacher", needed - 1, None)
    assert isinstance(features, OnlineTeacherFeatures)
    assert not list(tmp_path.glob("teacher_features/*"))
    assert isinstance(cached_teacher_features(teacher, train, KEYS, tmp_path, "teacher", needed, None), TeacherCache)


def test_what_every_run_reads_first_is_cached_where_all_of_it_is_too_large(
    model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path
) -> None:
    teacher = model_of()
    first = RowSet.of(np.array([4, 9, 2]))
    room = estimate_bytes(teacher, train, KEYS, first)
    features = cached_teacher_features(teacher, train, KEYS, tmp_path, "teacher", room, None, first)
    assert isinstance(features, PartlyCachedTeacherFeatures)
    seen = examples_seen(teacher)
    online = OnlineTeacherFeatures(model_of(), KEYS)
    for rows, computed in (([9, 4], 0), ([9, 4, 5], 3)):
        batch = train.batch(np.array(rows))
        assert_alike(features.get(batch), online.get(batch), batch.attention_mask)
        assert sum(seen) == computed
    assert isinstance(
        cached_teacher_features(teacher, train, KEYS, tmp_path / "other", "teacher", room - 1, None, first),
        OnlineTeacherFeatures,
    )


def test_a_disk_that_is_too_small_is_an_error_that_says_what_to_do(
    model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path
) -> None:
    check_disk(tmp_path / "not" / "there" / "yet", 1)
    with pytest.raises(ConfigError, match=r"need 1000000000.00 GB in cache_dir=.* free\. Free some.*cache_max_gb=0"):
        check_disk(tmp_path, 10**18)


def test_selected_features_are_those(model_of: Callable[..., Any], train: TokenisedSplit) -> None:
    online, batch = OnlineTeacherFeatures(model_of(), KEYS), train.batch(np.arange(3))
    wanted: frozenset[FeatureKey] = frozenset({("hidden_states", 0)})
    selected = SelectedTeacherFeatures(online, wanted).get(batch)
    assert set(selected) == wanted
    torch.testing.assert_close(selected["hidden_states", 0], online.get(batch)["hidden_states", 0])


def test_values_beyond_float16_are_kept_in_bfloat16(
    model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path
) -> None:
    teacher = model_of()
    with torch.no_grad():
        teacher.bert.encoder.layer[1].output.LayerNorm.weight.mul_(1e6)
    keys: frozenset[FeatureKey] = frozenset({("hidden_states", 2)})
    cached = cached_teacher_features(teacher, train, keys, tmp_path, "teacher", LARGE, None)
    batch = train.batch(np.array([0, 5]))
    own, other = cached.get(batch)["hidden_states", 2], OnlineTeacherFeatures(teacher, keys).get(batch)
    assert own.abs().max() > 65504
    torch.testing.assert_close(
        own[batch.attention_mask], other["hidden_states", 2][batch.attention_mask], atol=1e-2, rtol=8e-3
    )


def test_online_features_have_no_gradients_and_no_dropout(model_of: Callable[..., Any], train: TokenisedSplit) -> None:
    teacher = model_of(dropout=0.5).train()
    features = OnlineTeacherFeatures(teacher, KEYS)
    batch = train.batch(np.arange(3))
    first, second = features.get(batch), features.get(batch)
    assert all(not value.requires_grad for value in first.values())
    torch.testing.assert_close(first["logits", None], second["logits", None])


def test_nothing_asked_for_needs_no_teacher(
    model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path
) -> None:
    teacher = model_of()
    seen = examples_seen(teacher)
    features = cached_teacher_features(teacher, train, frozenset(), tmp_path, "teacher", LARGE, None)
    assert features.get(train.batch(np.arange(3))) == {}
    assert seen == []


def test_the_cache_can_travel_to_another_process(
    model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path
) -> None:
    cached = cached_teacher_features(model_of(), train, KEYS, tmp_path, "teacher", LARGE, None)
    data = pickle.dumps(cached)
    assert len(data) < 1000
    batch = train.batch(np.arange(3))
    assert pickle.loads(data).get(batch)["logits", None].equal(cached.get(batch)["logits", None])
