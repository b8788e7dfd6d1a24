from __future__ import annotations

import string
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from autodistill.configs.composition import compose
from autodistill.configs.paths import overrides_with_paths
from autodistill.configs.settings import Settings
from autodistill.registry import Registry

TASK = ["data=text_classification", "data.train=train.tsv"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a file of examples and a teacher's folder."""
    (tmp_path / "train.tsv").write_text("text\tlabel\na\tb\n")
    (tmp_path / "small teacher").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lasting(found: Settings) -> list[str]:
    return overrides_with_paths(found.overrides, found.paths)


def test_paths_are_made_absolute_and_mean_the_same_elsewhere(
    here: Path, fresh_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = compose([*TASK, "teacher.path=small teacher"], fresh_registry)
    assert found.one("data").parameters["train"] == str(here / "train.tsv")
    assert found.raw["teacher"]["path"] == str(here / "small teacher")
    monkeypatch.chdir(here / "small teacher")
    again = compose(lasting(found), fresh_registry)
    assert again.one("data").parameters == found.one("data").parameters
    assert again.one("teacher").parameters == found.one("teacher").parameters
    assert again.paths == {}  # nothing was relative any more


def test_a_path_of_an_entry_with_a_label_is_made_absolute(here: Path, fresh_registry: Registry) -> None:
    (here / "times.json").write_text("{}")
    found = compose([*TASK, "latency=[]", "+latency.mine={name: replay, path: times.json}"], fresh_registry)
    assert found.several["latency"]["mine"].parameters["path"] == str(here / "times.json")
    assert lasting(found)[-1] == f"++latency.mine.path={here / 'times.json'}"
    assert compose(lasting(found), fresh_registry).raw["latency"] == found.raw["latency"]


def test_a_name_on_a_hub_and_a_missing_file_stay_as_they_were_given(here: Path, fresh_registry: Registry) -> None:
    found = compose(["data=text_classification", "data.train=none.tsv", "teacher.path=some/model"], fresh_registry)
    assert found.one("data").parameters["train"] == "none.tsv"
    assert found.one("teacher").parameters["path"] == "some/model"
    assert lasting(found) == list(found.overrides)


@given(st.text(st.sampled_from([*string.ascii_letters, *string.digits, *"\\\"'=,:;(){}[]#&~+ .-_/"]), min_size=1))
def test_every_path_survives_the_grammar_of_overrides(name: str) -> None:
    (override,) = overrides_with_paths([], {"data.train": f"/{name}"})
    parsed = OverridesParser.create().parse_override(override)
    assert (parsed.key_or_group, parsed.value()) == ("data.train", f"/{name}")
