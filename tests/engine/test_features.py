"""One cache of teacher features for all architectures of a study, or what fits of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_studies import tiny_study

import autodistill
from autodistill.components.training import FeatureKey, Phase
from autodistill.engine.cache import evict
from autodistill.engine.features import FeaturesSize, StudyFeatures
from autodistill.engine.recipe import online_teacher
from autodistill.engine.session import check_workbench
from autodistill.engine.workbench import Workbench, model_dimensions
from autodistill.errors import ConfigError, StudyInterruptedError
from autodistill.registry import default_registry
from autodistill.training import teacher_cache
from autodistill.training.row_sets import RowSet
from autodistill.training.softened import teacher_needs_of
from autodistill.training.teacher_cache import PassWatch

LOSSES = ("loss=[logits_kl,hidden_mse]", "loss.hidden_mse.embeddings=false", "schedule.layer_mapping=first")
LOGITS: FeatureKey = ("logits", None)


def features_of(directory: Path, *more: str) -> tuple[StudyFeatures, Workbench, list[int]]:
    bench = Workbench(autodistill.compose(tiny_study(directory, *LOSSES, *more)), default_registry())
    with torch.random.fork_rng():
        torch.manual_seed(1)  # of the new head
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
    # A byte for every row of a corpus would be held for as long as the study runs.
    assert not any(isinstance(value, np.ndarray | RowSet) for value in vars(features).values())


def test_a_teacher_in_bfloat16_has_features_of_its_own(tmp_path: Path) -> None:
    exact, bench, _ = features_of(tmp_path)
    quick, _, _ = features_of(tmp_path, "trainer.teacher_precision=bf16-mixed")
    batch = bench.splits["train"].batch(bench.stream.rows_at(0, 8))
    online, _, _ = features_of(tmp_path, "trainer.teacher_precision=bf16-mixed", "cache_max_gb=0")
    value = exact.get(frozenset({LOGITS})).get(batch)[LOGITS]
    for source in (quick, online):
        given = source.get(frozenset({LOGITS})).get(batch)[LOGITS]
        assert 1e-4 < (given - value).abs().max() / value.abs().max() < 0.03
    assert not set(exact.directories) & set(quick.directories)


def test_features_are_not_evicted_while_they_are_read_and_computed_anew_when_they_are_gone(tmp_path: Path) -> None:
    features, bench, seen = features_of(tmp_path)
    features.get(frozenset({LOGITS}))
    once = sum(seen)
    (folder,) = (place for place in features.directories if place.exists())
    os.utime(folder, (0, 0))
    features.get(frozenset({LOGITS}))
    assert sum(seen) == once
    assert folder.stat().st_mtime > 0, "it looks as if nobody used it"
    evict(bench.settings.cache_dir, 0)
    assert folder.exists()
    shutil.rmtree(folder)
    features.get(frozenset({LOGITS}))
    assert sum(seen) >= 2 * features.examples_stored
    assert folder.exists()


def test_features_are_not_evicted_between_their_making_and_their_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, bench, _ = features_of(tmp_path)
    batch = bench.train.batch(bench.stream.rows_at(0, 4))

    def written(*arguments: Any) -> None:
        teacher_cache.write_cache(*arguments)
        assert evict(bench.settings.cache_dir, 0) == []

    monkeypatch.setattr("autodistill.training.teacher_features.write_cache", written)
    assert LOGITS in features.get(frozenset({LOGITS})).get(batch)


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


def test_a_teacher_that_runs_in_the_steps_costs_what_they_ask_it_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached, bench, _ = features_of(tmp_path / "large")
    room = 2.01 * cached.size.flash / 1e9  # half of it is for features
    teacher: Any = bench.teacher.load(bench.task)
    teacher_size = model_dimensions(teacher)
    losses = bench.make_losses(teacher_size, teacher_size)
    deep, words = Phase("deep", frozenset({"transfer"}), 8, 1, 1), Phase("words", frozenset({"prediction"}), 12)
    size = bench.schedule.optimisation.batch_size

    def spent(features: StudyFeatures, bench: Workbench, first: int, last: int) -> tuple[int, float]:
        training: Any = SimpleNamespace(
            losses=losses,
            phases=(deep, words),
            optimisation=bench.schedule.optimisation,
            stream=bench.stream,
            teacher=features.get(teacher_needs_of(loss for loss, _ in losses.values())),
        )
        return online_teacher(bench, teacher, training, first, last)

    assert spent(cached, bench, 0, 20) == (0, 0.0)
    online, bench, _ = features_of(tmp_path / "nothing", "cache_max_gb=0")
    own = bench.architecture_of(teacher)
    assert own is not None
    forward = bench.family_of(own.family).flops(own, bench.task, bench.vocabulary, bench.median_tokens)
    examples, whole = spent(online, bench, 8, 20)
    assert (examples, whole) == (12 * size, pytest.approx(12 * size * forward))
    examples, low = spent(online, bench, 6, 8)  # one of two layers
    assert (examples, low) == (2 * size, pytest.approx(size * forward))
    small, bench, _ = features_of(tmp_path / "flash", f"cache_max_gb={room}")
    assert small.size.stored == "flash"
    flash = int(bench.schedule.flash_fidelity * bench.schedule.total_examples) // size
    assert spent(small, bench, 0, flash) == (0, 0.0)
    examples, some = spent(small, bench, 0, 20)
    assert 0 < examples < 20 * size
    assert 0 < some < low * 4 + whole
    monkeypatch.setattr(Workbench, "architecture_of", lambda self, model: None)
    assert spent(online, bench, 0, 20) == (20 * size, 0.0)


def test_what_fits_for_one_depth_alone_is_not_cached_beside_the_others(tmp_path: Path) -> None:
    features, _, _ = features_of(tmp_path / "large")
    features, bench, _ = features_of(tmp_path, f"cache_max_gb={1.9 * features.size.flash / 1e9}")
    assert features.size.stored == "nothing"
    batch = bench.splits["train"].batch(bench.stream.rows_at(0, 4))
    assert set(features.get(frozenset({LOGITS})).get(batch)) == {LOGITS}  # logits alone would fit
    assert not (tmp_path / "outputs" / "cache" / "teacher_features").exists()


def test_a_full_disk_is_an_error_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features, _, _ = features_of(tmp_path)
    features.check()
    monkeypatch.setattr(features, "size", FeaturesSize(10**18, 10**18, 10**19))
    with pytest.raises(ConfigError, match=r"The teacher.s features need 1000000000\.00 GB"):
        features.check()


def test_the_disk_needs_no_room_for_what_is_there_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features, bench, _ = features_of(tmp_path)
    monkeypatch.setattr(teacher_cache, "BATCH_SIZE", 8)

    def full(path: Path) -> Any:
        return SimpleNamespace(free=features.size.full // 2)

    monkeypatch.setattr(shutil, "disk_usage", full)
    with pytest.raises(ConfigError, match=r"The teacher.s features need"):
        features.check()
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**12))
    rows = len(bench.stream.prefix(bench.schedule.total_examples))
    stop = PassWatch(lambda *at: told.append(at), lambda: told[-1][0] >= 0.75 * rows)
    with pytest.raises(StudyInterruptedError, match=rf"Interrupted after \d+ of the {rows} examples"):
        features.get(frozenset({LOGITS}), stop)
    assert told[0] == (8, rows)
    monkeypatch.setattr(shutil, "disk_usage", full)  # a quarter is still to come
    features.check()
    after: list[int] = []
    features.get(frozenset({LOGITS}), PassWatch(lambda done, _: after.append(done)))
    assert after[0] == told[-1][0] + 8, "it did not go on where it was stopped"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    features.check()


def test_a_disk_that_is_too_small_shows_before_the_teacher_is_fine_tuned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Workbench(autodistill.compose(tiny_study(tmp_path, *LOSSES)), default_registry())
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(ConfigError, match=r"The teacher.s features need"):
        check_workbench(bench)


def test_baselines_read_the_cache_of_all_architectures(tmp_path: Path) -> None:
    """Their depth lies outside the space, so a loss on layers asks for teacher layers that no trial asks for."""
    features, bench, seen = features_of(tmp_path, "student.space.num_layers=[1]", "baseline=[tinybert_4l]")
    (baseline,) = bench.baselines(bench.teacher.load(bench.task))
    size = bench.family.dimensions(baseline.architecture, bench.task)
    assert size.layers == 4
    losses = bench.make_losses(size, model_dimensions(bench.teacher.load(bench.task)))
    keys = teacher_needs_of(loss for loss, _ in losses.values())
    features.get(frozenset({LOGITS}))
    before = sum(seen)
    features.get(keys).get(bench.train.batch(np.arange(4)))
    assert sum(seen) == before


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
