"""One cache of teacher features for all architectures of a study, or what fits of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_studies import tiny_study

import autodistill
from autodistill.components.training import FeatureKey
from autodistill.engine.features import FeaturesSize, StudyFeatures
from autodistill.engine.workbench import Workbench, model_dimensions
from autodistill.errors import ConfigError
from autodistill.registry import default_registry

LOSSES = ("loss=[logits_kl,hidden_mse]", "loss.hidden_mse.embeddings=false", "schedule.layer_mapping=first")
LOGITS: FeatureKey = ("logits", None)


def features_of(directory: Path, *more: str) -> tuple[StudyFeatures, Workbench, list[int]]:
    bench = Workbench(autodistill.compose(tiny_study(directory, *LOSSES, *more)), default_registry())
    teacher: Any = bench.teacher.load(bench.task)
    seen: list[int] = []
    teacher.register_forward_pre_hook(
        lambda module, arguments, named: seen.append(len(named["input_ids"])), with_kwargs=True
    )
    return StudyFeatures(bench, teacher, model_dimensions(teacher), "teacher"), bench, seen


def test_architectures_of_other_depths_share_one_pass_of_the_teacher(tmp_path: Path) -> None:
    features, bench, seen = features_of(tmp_path)
    shallow: frozenset[FeatureKey] = frozenset({LOGITS, ("hidden_states", 1)})
    deep: frozenset[FeatureKey] = shallow | {("hidden_states", 2)}
    batch = bench.splits["train"].batch(bench.stream.rows_at(0, 8))
    assert features.size.stored == "everything"
    given = features.get(shallow).get(batch)
    assert set(given) == shallow
    after_first = sum(seen)
    assert set(features.get(deep).get(batch)) == deep
    assert sum(seen) == after_first, "the teacher ran again for a deeper student"
    folder = tmp_path / "outputs" / "cache" / "teacher_features"
    assert len([path for path in folder.iterdir() if not path.name.startswith(".")]) == 1


def test_a_small_cache_holds_what_flash_runs_read(tmp_path: Path) -> None:
    features, bench, _ = features_of(tmp_path / "large")
    room = 2.01 * features.size.flash / 1e9  # half of it is for features
    assert features.size.flash < 0.9 * features.size.full
    small, bench, seen = features_of(tmp_path / "small", f"cache_max_gb={room}")
    assert small.size.stored == "flash"
    source = small.get(frozenset({LOGITS}))
    before = sum(seen)
    steps = int(bench.schedule.flash_fidelity * bench.schedule.total_examples)
    source.get(bench.splits["train"].batch(bench.stream.rows_at(0, steps)))
    assert sum(seen) == before
    rest = np.setdiff1d(np.arange(len(bench.splits["train"])), bench.stream.rows_at(0, steps + 32))
    source.get(bench.splits["train"].batch(rest[:4]))
    assert sum(seen) == before + 4


def test_no_room_means_online(tmp_path: Path) -> None:
    features, bench, _ = features_of(tmp_path, "cache_max_gb=0")
    assert features.size.stored == "nothing"
    batch = bench.splits["train"].batch(bench.stream.rows_at(0, 4))
    assert set(features.get(frozenset({LOGITS})).get(batch)) == {LOGITS}
    assert not (tmp_path / "outputs" / "cache" / "teacher_features").exists()


def test_a_full_disk_is_an_error_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features, _, _ = features_of(tmp_path)
    features.check()
    monkeypatch.setattr(features, "size", FeaturesSize(10**18, 10**18, 10**19))
    with pytest.raises(ConfigError, match=r"The teacher.s features need 1000000000\.00 GB"):
        features.check()


def test_the_size_says_what_is_stored() -> None:
    for room, told in ((30, "computed once and cached"), (15, "cached for flash runs"), (5, "the teacher runs online")):
        assert told in str(FeaturesSize(20, 10, room))
    assert [FeaturesSize(20, 10, room).bytes_stored for room in (20, 19, 9)] == [20, 10, 0]


def test_augmented_forms_are_read_and_cached(tmp_path: Path) -> None:
    features, bench, seen = features_of(tmp_path, "augmentation.copies=3")
    examples = bench.schedule.total_examples
    assert bench.train.copies == 4
    assert examples > 2 * len(bench.train), "else only one changed form is read"
    rows = bench.stream.rows_at(0, examples)
    assert rows.max() >= 2 * len(bench.train)
    source = features.get(frozenset({LOGITS}))
    before = sum(seen)
    assert set(source.get(bench.train.batch(rows[-8:]))) == {LOGITS}
    assert sum(seen) == before
    assert bench.splits["train"].copies == 1, "the teacher would be fine-tuned on changed forms"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "augmentation.kind=masks",
            r"augmentation.kind must be one of mask, replace, got 'masks'. Did you mean 'mask'",
        ),
        ("augmentation.share=1.0", r"augmentation.share must be in \(0, 1\), got 1.0"),
        ("augmentation.copies=-1", r"augmentation.copies must be >= 0, got -1"),
        ("+augmentation.more=1", r"Unknown key augmentation.more"),
    ],
)
def test_augmentation_out_of_range_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        autodistill.compose(["experiment=quickstart", override])
