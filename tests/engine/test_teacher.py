"""The teacher in the cache: what its features are known by, and what is evicted for them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_studies import tiny_study

import autodistill
from autodistill.components.training import FeatureKey
from autodistill.engine.cache import cached_directory, evict, evictable_bytes
from autodistill.engine.features import StudyFeatures
from autodistill.engine.session import Session, check_study, check_workbench, open_session
from autodistill.engine.stop import StopSignal
from autodistill.engine.teacher import (
    DIGEST,
    PreparedTeacher,
    features_key,
    prepare_teacher,
    take_cached,
    teacher_directory,
)
from autodistill.engine.workbench import Workbench
from autodistill.errors import StudyInterruptedError
from autodistill.folders import lock_of, locked
from autodistill.registry import default_registry
from autodistill.report.progress import QuietProgress
from autodistill.teachers.huggingface import HuggingFaceTeacher
from autodistill.training.fine_tune import fine_tune
from autodistill.training.results import TrainingResult

LOGITS: frozenset[FeatureKey] = frozenset({("logits", None)})
SHORT = ("teacher.fine_tune_epochs=0.3", "schedule.examples=128", "teacher.allow_weak=true")


def workbench(directory: Path, *more: str) -> Workbench:
    return Workbench(autodistill.compose(tiny_study(directory, *SHORT, *more)), default_registry())


def other_entry(bench: Workbench, size: int) -> Path:
    """An entry of the cache that the study has nothing to do with, and that nobody has used for long."""

    def build(folder: Path) -> None:
        (folder / "file").write_bytes(b"x" * size)

    return cached_directory(bench.settings.cache_dir, "teachers", "other", build)


@contextmanager
def opened(bench: Workbench) -> Iterator[Session]:
    with (
        StopSignal() as stop,
        QuietProgress() as progress,
        open_session(bench.settings, default_registry(), progress=progress, stop=stop) as session,
    ):
        yield session


def open_it(bench: Workbench) -> None:
    with opened(bench):
        pass


def test_features_belong_to_weights_and_not_to_the_recipe_that_made_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an eviction, the teacher may be made anew on another machine: its answers are others then."""

    def made() -> tuple[Workbench, PreparedTeacher]:
        bench = workbench(tmp_path)
        return bench, prepare_teacher(bench)

    bench, first = made()
    place = teacher_directory(bench)
    batch = bench.train.batch(bench.stream.rows_at(0, 4))
    answers = StudyFeatures.of(bench, first).get(LOGITS).get(batch)["logits", None]
    assert made()[1].key == first.key == features_key(bench), "made again though it was there"

    shutil.rmtree(place)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("autodistill.engine.teacher.derive_seed", lambda *parts: 5)
        bench, second = made()
    assert teacher_directory(bench) == place, "the recipe is another, so the test says nothing"
    assert second.key != first.key
    other = StudyFeatures.of(bench, second).get(LOGITS).get(batch)["logits", None]
    assert not other.equal(answers)

    shutil.rmtree(place)
    bench, third = made()
    assert third.key == first.key, "the same weights anew, and their features could not be used"


def test_a_teacher_that_is_fine_tuned_in_another_precision_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def places() -> dict[str, Path]:
        names = ("32-true", "32", "null", "bf16-mixed", "bf16")
        return {name: teacher_directory(workbench(tmp_path, f"trainer.precision={name}")) for name in names}

    found = places()
    assert found["32-true"] == found["32"] == found["null"] != found["bf16-mixed"] == found["bf16"]
    kept = workbench(tmp_path, "trainer.precision=bf16-mixed")
    kept.teacher_precision = "32-true"  # of a study that began so
    assert teacher_directory(kept) == found["32-true"]
    found["bf16-mixed"].mkdir(parents=True)
    alone = workbench(tmp_path)
    take_cached(alone)
    assert teacher_directory(alone) == found["bf16-mixed"], "what a study left was not taken"
    found["32-true"].mkdir()
    take_cached(alone)
    assert teacher_directory(alone) == found["bf16-mixed"], "its own was not the first choice"
    monkeypatch.setattr(HuggingFaceTeacher, "needs_fine_tuning", lambda self, task: False)
    assert len(set(places().values())) == 1, "one that knows its task is not trained in any"


def test_other_test_examples_change_neither_the_teacher_nor_what_is_trained_on(tmp_path: Path) -> None:
    first = workbench(tmp_path)
    more = tmp_path / "more.tsv"
    lines = (tmp_path / "data" / "test.tsv").read_text().splitlines()
    more.write_text("\n".join(lines[:-1]) + "\n")
    other = workbench(tmp_path, f"data.test={more}")
    assert other.data.fingerprint != first.data.fingerprint, "scores on the two do not compare"
    assert teacher_directory(other) == teacher_directory(first)
    assert other.train.fingerprint == first.train.fingerprint, "the teacher's features of it would be computed anew"
    assert other.splits["test"].fingerprint != first.splits["test"].fingerprint
    assert (other.stream.rows_at(0, 64) == first.stream.rows_at(0, 64)).all()
    fewer = workbench(tmp_path, "data.train_limit=100")
    assert teacher_directory(fewer) != teacher_directory(first)


def test_the_seconds_of_a_fine_tuning_are_those_of_all_its_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = workbench(tmp_path)
    results: list[TrainingResult] = []

    def noted(*given: Any, **named: Any) -> TrainingResult:
        results.append(fine_tune(*given, **named))
        return results[-1]

    monkeypatch.setattr("autodistill.engine.teacher.fine_tune", noted)
    with pytest.raises(StudyInterruptedError, match="Interrupted while fine-tuning the teacher"):
        prepare_teacher(bench, progress=lambda step, steps: time.sleep(3.0), stop_requested=lambda: True)
    teacher = prepare_teacher(bench)
    assert teacher.seconds >= results[1].seconds > results[0].seconds >= 3.0
    assert prepare_teacher(bench).seconds == 0


def test_who_waits_for_another_process_says_so_once_and_can_be_stopped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = workbench(tmp_path)
    asked = iter([False, False, True])
    with (
        locked(lock_of(teacher_directory(bench))),
        pytest.raises(StudyInterruptedError, match=r"Interrupted while another process makes the teacher ready\."),
    ):
        prepare_teacher(bench, stop_requested=lambda: next(asked))
    assert caplog.text.count("Another process makes the teacher ready; this one waits for it.") == 1
    stop = StopSignal()
    stop.request()
    tokens = bench.splits["train"].directory
    shutil.rmtree(tokens)
    with (
        locked(lock_of(tokens)),
        ExitStack() as stack,
        pytest.raises(StudyInterruptedError, match="while another process tokenises the data"),
    ):
        check_study(bench.settings, default_registry(), stack, lambda: stop.requested)


def test_teachers_without_a_digest_get_one(tmp_path: Path) -> None:
    bench = workbench(tmp_path)
    key = prepare_teacher(bench).key
    (teacher_directory(bench) / DIGEST).unlink()
    assert features_key(bench) == key


def test_what_a_study_reads_is_not_evicted_by_another_until_its_session_ends(tmp_path: Path) -> None:
    """In the same process as well, as in a sweep, and also while somebody still refers to what the study had."""
    cache_dir = tmp_path / "outputs" / "cache"
    with opened(workbench(tmp_path)) as session:
        bench = session.bench
        features = StudyFeatures.of(bench, session.teacher)
        assert features.get(LOGITS)
        tokens = {split.directory for split in bench.splits.values()}
        entries = {place for place in (teacher_directory(bench), *tokens, *features.directories) if place.exists()}
        assert len(entries) == 5, "the teacher, three splits, and its answers"
        with opened(workbench(tmp_path, "study.name=other", "data.max_length=12")) as other:
            assert evictable_bytes(cache_dir) == 0
        others = {teacher_directory(other.bench), *(split.directory for split in other.bench.splits.values())}
        assert set(evict(cache_dir, 0)) == others - entries != set()
    assert set(evict(cache_dir, 0)) == entries


def test_a_study_that_fails_keeps_nothing_in_use(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="lightning"), opened(workbench(tmp_path)):
        raise RuntimeError("lightning")
    cache_dir = tmp_path / "outputs" / "cache"
    assert {entry.parent.name for entry in evict(cache_dir, 0)} == {"teachers", "tokenised"}


def test_before_a_teacher_is_made_no_features_are_its_own(tmp_path: Path) -> None:
    bench = workbench(tmp_path)
    assert features_key(bench) == teacher_directory(bench).name
    assert not teacher_directory(bench).exists()


def test_a_disk_full_of_what_can_be_evicted_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = workbench(tmp_path)
    other = other_entry(bench, 10**7)

    def usage(path: Path) -> SimpleNamespace:
        return SimpleNamespace(free=0 if other.exists() else 10**7)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    check_workbench(bench)
    assert other.exists(), "checking removed something"
    open_it(bench)
    assert not other.exists()


def test_a_study_that_goes_on_keeps_its_own_features(tmp_path: Path) -> None:
    bench = workbench(tmp_path)
    features = StudyFeatures.of(bench, prepare_teacher(bench))
    features.get(LOGITS)
    other = other_entry(bench, 1)
    again = workbench(tmp_path, "cache_max_gb=0.0001")  # room for features, and not for the teacher beside them
    (kept,) = (path for path in features.directories if path.exists())
    open_it(again)
    assert kept.exists()
    assert teacher_directory(bench).exists()
    assert not other.exists()
