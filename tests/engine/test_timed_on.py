"""A study's milliseconds are of one machine and one number of threads, whoever goes on with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tiny_studies import replaced

import autodistill
from autodistill.components.latency import Workload
from autodistill.engine.storage import Storage
from autodistill.engine.study import Study
from autodistill.engine.timed_on import check_timed_on, timed_on
from autodistill.errors import StudyError
from autodistill.testing.tiny import tiny_overrides

STORED: dict[str, dict[str, Any]] = {"ort": {"threads": 8, "lengths": [4], "machine": "Old"}, "chip": {"threads": 1}}


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A study that has timed its teacher and one trial, with as many threads as there are cores."""
    directory = tmp_path_factory.mktemp("timed")
    quick = ["latency=[torch]", "latency.torch.max_seconds=0.05"]
    found = replaced(tiny_overrides(directory), *quick, "budget.trials=1", "study.name=first")
    explore(found)
    return found


def explore(overrides: list[str]) -> Study:
    return autodistill.run(autodistill.compose(overrides), overrides=overrides, explore_only=True)


def change(overrides: list[str], how: Callable[[dict[str, Any]], None]) -> None:
    """Change what is stored of the teacher, as if the study had begun otherwise."""
    storage = Storage(autodistill.compose(overrides).storage_url)
    study = storage.get_study("first").id
    teacher = storage.step(study, "teacher")
    assert teacher is not None
    how(teacher)
    storage.replace_step(study, "teacher", teacher)
    storage.close()


def times(overrides: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    change(overrides, lambda teacher: found.update(teacher["timed_on"]["torch"]))
    return found


def test_a_study_goes_on_where_it_began_and_nowhere_else(overrides: list[str]) -> None:
    begun = times(overrides)
    explore(overrides)

    change(overrides, lambda teacher: teacher["timed_on"]["torch"].update(threads=begun["threads"] + 1))
    line = rf"latency\.torch\.threads: the study has {begun['threads'] + 1}, now {begun['threads']}\n"
    with pytest.raises(StudyError, match=rf"(?s){line}.*give latency\.torch\.threads={begun['threads'] + 1}.*study\."):
        explore(overrides)
    explore([*overrides, f"latency.torch.threads={begun['threads'] + 1}"])  # the way on that is told

    change(overrides, lambda teacher: teacher["timed_on"]["torch"].update(machine="Abacus", threads=begun["threads"]))
    with pytest.raises(StudyError, match=r"(?s)machine: the study has Abacus, now .*on a machine like its first"):
        explore(overrides)

    change(overrides, lambda teacher: teacher.pop("timed_on"))  # as earlier versions have stored it
    explore(overrides)


def test_a_study_keeps_what_it_found_out_about_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = ["latency=[roofline]", "latency.roofline.chip=this_machine", "latency.roofline.threads=1"]
    overrides = replaced(tiny_overrides(tmp_path), *here, "budget.trials=1", "study.name=first")
    explore(overrides)
    shutil.rmtree(tmp_path / "outputs" / "cache" / "latency")  # as a full cache does, or a new version of PyTorch
    monkeypatch.setattr("autodistill.latency.calibration._run", lambda *_: pytest.fail("calibrated once more"))
    explore(replaced(overrides, "budget.trials=2"))


def test_differences_are_listed_and_what_only_one_side_knows_is_none() -> None:
    elsewhere: dict[str, dict[str, Any]] = {"ort": {"threads": 2, "lengths": [4], "machine": "New"}}
    check_timed_on("first", {}, STORED)
    check_timed_on("first", STORED, {"ort": {"threads": 8}, "other": {"threads": 3}})
    with pytest.raises(StudyError) as caught:
        check_timed_on("first", STORED, elsewhere)
    assert "  latency.ort.machine: the study has Old, now New\n  latency.ort.threads: the study" in str(caught.value)
    with pytest.raises(StudyError, match=r"(?s)chip\.calibration: .*Either give the same command again"):
        check_timed_on("first", {"chip": {"calibration": {"a": 1}}}, {"chip": {"calibration": {"a": 2}}})
    assert "Either give latency.ort.threads=8 and go on with it on a machine like its first, or" in str(caught.value)


class Backend:
    """What is asked of a backend here."""

    def __init__(self, kind: str, device: str) -> None:
        self.kind = kind
        self.workload = Workload(1, (4,), threads=2, device=device)


def test_only_what_this_machine_measures_itself_depends_on_it() -> None:
    backends: Mapping[str, Any] = {
        "own": Backend("measured", "cpu"),
        "phone": Backend("measured", "phone"),
        "sheet": Backend("analytical", "cpu"),
        "file": Backend("replayed", "cpu"),
        "plugin": object(),
    }
    found = timed_on(backends)
    assert [label for label, facts in found.items() if "machine" in facts] == ["own"]
    assert [label for label, facts in found.items() if "threads" in facts] == ["own", "phone"]
    assert found.keys() == {"own", "phone", "sheet", "file"}
    assert found["phone"]["threads"] == 2
