"""The data set of docstrings: disjoint splits, equal shares, a snapshot that lasts."""

from __future__ import annotations

import json
import stat
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from autodistill.components.task import ROLES, DataContext, TaskData
from autodistill.data import python_docs
from autodistill.data.configs import PythonDocsConfig
from autodistill.data.docstrings import Excerpt
from autodistill.data.python_docs import PythonDocs, deal
from autodistill.data.splits import shingles
from autodistill.errors import ConfigError, DataError

SMALL = {
    "libraries": ["pluggy", "rich", "networkx"],
    "examples_per_library": 60,
    "examples_per_file": 6,
    "min_words": 6,
}


def load(folder: Path, **parameters: Any) -> TaskData:
    config = PythonDocsConfig(**{**SMALL, **parameters})
    return PythonDocs(DataContext(folder), **asdict(config)).load()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def data(cache: Path) -> TaskData:
    return load(cache)


def test_the_task_is_to_name_the_library(data: TaskData) -> None:
    assert data.task.labels == ("networkx", "pluggy", "rich")
    assert data.task.text_columns == ("text",)
    for role in ROLES:
        assert set(data.splits[role].column_names) == {"id", "text", "label"}
        assert set(data.splits[role]["label"]) == {0, 1, 2}
        assert data.splits[role][0]["id"] == f"{role}-0"


def test_libraries_have_about_their_share_of_every_split(data: TaskData) -> None:
    counts = Counter(data.splits["test"]["label"])
    assert min(counts.values()) >= 0.3 * 40
    assert set(data.notes["libraries"]) == set(data.task.labels)


def test_no_text_looks_like_one_of_another_split(data: TaskData) -> None:
    seen: set[int] = set()
    for role in ROLES:
        own = [shingles(text) for text in data.splits[role]["text"]]
        assert all(2 * len(shingle & seen) < len(shingle) for shingle in own)
        seen.update(*own)


def test_no_text_names_its_library(data: TaskData) -> None:
    for role in ROLES:
        assert not [text for text in data.splits[role]["text"] if {"networkx", "pluggy", "rich"} & set(text.split())]


def test_a_second_load_reads_the_snapshot(cache: Path, data: TaskData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_docs, "harvest_all", None)
    again = load(cache)
    assert again.fingerprint == data.fingerprint
    assert again.splits["train"].to_list() == data.splits["train"].to_list()


def test_building_again_elsewhere_gives_the_same_data(data: TaskData, tmp_path: Path) -> None:
    again = load(tmp_path)
    assert again.fingerprint == data.fingerprint
    assert all(again.splits[role].to_list() == data.splits[role].to_list() for role in ROLES)


def test_the_fingerprint_follows_parameters_and_versions(
    data: TaskData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(tmp_path, max_words=20).fingerprint != data.fingerprint
    monkeypatch.setattr(python_docs, "library_version", lambda library: "0.0.1")
    assert load(tmp_path).fingerprint != data.fingerprint


def test_a_named_snapshot_is_read_whatever_is_installed(
    cache: Path, data: TaskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(python_docs, "library_version", None)
    assert load(cache, snapshot=data.fingerprint).splits["test"].to_list() == data.splits["test"].to_list()
    with pytest.raises(DataError, match=r"There is no python_docs snapshot 'abc'.*data.snapshot=null"):
        load(cache, snapshot="abc")


def test_a_snapshot_is_not_read_with_other_settings_than_it_was_made_with(cache: Path, data: TaskData) -> None:
    with pytest.raises(
        ConfigError, match=r"\n  data.examples_per_library=90: the data has data.examples_per_library=60\nEither"
    ):
        load(cache, snapshot=data.fingerprint, examples_per_library=90)
    with pytest.raises(ConfigError, match=r"data.test_share=0.25: .*\nEither give.* study.name=NAME"):
        load(cache, snapshot=data.fingerprint, test_share=0.25)
    assert load(cache, snapshot=data.fingerprint, max_length=9).fingerprint == data.fingerprint


def test_a_snapshot_of_an_earlier_version_is_used_with_a_warning_where_its_name_says_other_settings(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fingerprint = load(tmp_path).fingerprint
    facts = tmp_path / "python_docs" / fingerprint / "snapshot.json"
    facts.write_text(
        json.dumps({name: item for name, item in json.loads(facts.read_text()).items() if name != "settings"})
    )
    assert load(tmp_path, snapshot=fingerprint).fingerprint == fingerprint
    assert not caplog.records
    # That version ignored what was given, and stored it with the study, which must still go on.
    assert load(tmp_path, snapshot=fingerprint, examples_per_library=90).fingerprint == fingerprint
    (record,) = caplog.records
    assert "was made with other data.* settings" in record.getMessage()


def test_a_damaged_snapshot_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "python_docs" / load(tmp_path).fingerprint
    (folder / "test.parquet").write_bytes((folder / "train.parquet").read_bytes())
    with pytest.raises(DataError, match=r"snapshot .* is damaged.*Delete that folder"):
        load(tmp_path)
    (folder / "test.parquet").write_text("nonsense")
    with pytest.raises(DataError, match=r"is damaged"):
        load(tmp_path)


def test_folders_are_private_and_nothing_half_written_stays(cache: Path, data: TaskData) -> None:
    folder = cache / "python_docs"
    assert sorted(path.name for path in folder.iterdir()) == [f".{data.fingerprint}.lock", data.fingerprint]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o700 for path in (folder, folder / data.fingerprint))


def test_whole_files_are_dealt() -> None:
    excerpts = [Excerpt(f"text {number}", f"file {number % 20}") for number in range(100)]
    dealt = deal(excerpts, {"test": 0.3, "select": 0.2})
    assert {role: len(items) for role, items in dealt.items()} == {"test": 30, "select": 20, "train": 50}
    groups = [{excerpt.group for excerpt in items} for items in dealt.values()]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]


def test_a_library_that_is_not_installed_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'nosuchlib' of data.libraries is not installed"):
        load(tmp_path, libraries=["pluggy", "nosuchlib"])


def test_a_library_with_too_little_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"too few for a .* split"):
        load(tmp_path, libraries=["pluggy", "iniconfig"], min_words=30)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"libraries": ["torch"]}, r"data.libraries must be two or more different names, got \['torch'\]"),
        ({"libraries": ["torch", "torch"]}, "data.libraries"),
        ({"examples_per_library": 9}, "data.examples_per_library must be >= 10, got 9"),
        ({"max_words": 2}, r"data.max_words must be >= min_words \(6\), got 2"),
        ({"test_share": 1.0}, "data.test_share must be between 0 and 1, got 1.0"),
        ({"select_share": 0.7}, r"data.select_share must be > 0 and < 1 - test_share \(0.7\), got 0.7"),
        ({"max_length": 1}, "data.max_length must be >= 8, got 1"),
    ],
)
def test_bad_parameters_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PythonDocsConfig(**{**SMALL, **parameters})
