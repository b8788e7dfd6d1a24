from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def sections(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.sections")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("--work /home/me/work --seeds 2", "--work work --seeds 2"),
        ("data.train=/a/b/train.tsv.gz loss=[kl]", "data.train=train.tsv.gz loss=[kl]"),
        ("+latency.a={chip:/c/d.yaml} files=[/e/f,/g]", "+latency.a={chip:d.yaml} files=[f,g]"),
        ("relative/path 3 / 4 https://example.org/x", "relative/path 3 / 4 https://example.org/x"),
    ],
)
def test_absolute_paths_are_told_by_their_last_part(sections: Any, given: str, told: str) -> None:
    assert sections.without_folders(given) == told


def test_sections_hold_no_folders_and_are_found_again(sections: Any, tmp_path: Path) -> None:
    file, settings = sections.ResultsFile("some"), {"work": tmp_path, "overrides": [f"data.path={tmp_path}/texts"]}
    path = tmp_path / "results.json"
    file.write(path, "first", settings, {"a": 1})
    file.write(path, "second", {}, {})
    assert str(tmp_path) not in json.dumps(json.loads(path.read_text())["first"]["settings"])
    assert file.read(path, "first", settings) == {"a": 1}
    assert file.read(path, "first", {**settings, "more": 1}) == {}
