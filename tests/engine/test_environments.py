"""What a study was worked on in is remembered, all of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_studies import tiny_study

import autodistill
from autodistill.engine.environment import describe_environment
from autodistill.engine.environments import differences, environments_of, remember_environment
from autodistill.engine.storage import Storage
from autodistill.report.progress import QuietProgress

HERE: dict[str, Any] = {
    "platform": "Linux 6.1 x86_64",
    "memory_bytes": 10,
    "processor": "One",
    "cores": 2,
    "accelerators": [],
    "libraries": {"torch": "2.12.0", "a": "1"},
}
THERE: dict[str, Any] = {
    "platform": "Linux 6.2 x86_64",
    "memory_bytes": 14,
    "processor": "One",
    "cores": 8,
    "accelerators": ["H"],
    "libraries": {"torch": "2.13.0"},
}


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with Storage(f"sqlite:///{tmp_path / 'studies.db'}") as made:
        yield made


def test_each_is_kept_once_and_a_new_one_is_told(storage: Storage) -> None:
    study = storage.create_study("demo", identity={}, config={}, components={}, environment={}).id
    assert remember_environment(storage, study, HERE, None) is None
    assert remember_environment(storage, study, HERE, HERE) is None
    mended = {**HERE, "platform": "Linux 6.3 x86_64", "memory_bytes": 12}  # changes no number
    assert remember_environment(storage, study, mended, HERE) is None
    told = remember_environment(storage, study, THERE, HERE)
    assert told is not None
    assert "cores 2 -> 8; accelerators none -> H; libraries.torch 2.12.0 -> 2.13.0; libraries.a 1 -> none)" in told
    assert "processor" not in told
    assert remember_environment(storage, study, THERE, THERE) is None
    assert remember_environment(storage, study, HERE, THERE) is None
    kept = environments_of(storage, study)
    assert [item["cores"] for item in kept] == [2, 8]
    assert differences(kept) == {
        "cores": [2, 8],
        "accelerators": [[], ["H"]],
        "libraries.torch": ["2.12.0", "2.13.0"],
        "libraries.a": ["1", None],
    }
    assert differences(kept[:1]) == differences([]) == {}


def test_a_study_of_an_earlier_version_has_the_environment_that_it_was_made_in(storage: Storage) -> None:
    study = storage.create_study("demo", identity={}, config={}, components={}, environment=HERE).id
    told = remember_environment(storage, study, THERE, HERE)
    assert told is not None
    assert "libraries.torch 2.12.0 -> 2.13.0" in told
    assert [item["cores"] for item in environments_of(storage, study)] == [2, 8]


def test_they_stand_in_the_order_of_their_first_use(storage: Storage) -> None:
    study = storage.create_study("demo", identity={}, config={}, components={}, environment={}).id
    for cores in range(1, 7):
        remember_environment(storage, study, {"cores": cores}, None)
    assert [item["cores"] for item in environments_of(storage, study)] == [1, 2, 3, 4, 5, 6]


def test_a_study_that_goes_on_elsewhere_reports_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = tiny_study(tmp_path, "picks.max=1", "baseline=[]", "export=[]")
    study = autodistill.run(autodistill.compose(given), overrides=given)
    assert study.summary()["environments"]["differences"] == {}
    assert "Other environments" not in (study.directory / "report.html").read_text()
    here = describe_environment()
    elsewhere = {**here, "libraries": {**here["libraries"], "torch": "9.9.9"}}
    monkeypatch.setattr("autodistill.engine.session.describe_environment", lambda: elsewhere)
    told: list[str] = []
    progress = QuietProgress()
    progress.message = told.append  # type: ignore[method-assign]
    again = autodistill.run(autodistill.compose(given), overrides=given, progress=progress)
    assert any("libraries.torch" in line and "9.9.9" in line for line in told)
    found = again.summary()["environments"]
    assert found["differences"] == {"libraries.torch": [here["libraries"]["torch"], "9.9.9"]}
    assert len(found["first_used"]) == 2
    page = (again.directory / "report.html").read_text()
    assert "Other environments before" in page
    assert "9.9.9" in page
