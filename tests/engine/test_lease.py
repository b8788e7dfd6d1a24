"""Holding a run: what a dead process held is given back at once, what a living one holds is not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tiny_studies import architecture

from autodistill.engine import lease
from autodistill.engine.lease import held, owner_name, release_dead
from autodistill.engine.storage import Storage

Open = Callable[..., Storage]

#: No process has this number: it is beyond the largest that Linux gives.
UNUSED = 2**22 + 1


@pytest.fixture
def storage(open_storage: Open) -> Storage:
    return open_storage()


@pytest.fixture
def study_id(storage: Storage) -> int:
    study = storage.create_study("study", {}, {}, {}, {})
    storage.add_trial(
        study.id, architecture(1, 16), replicate=0, origin="search", label=None, in_space=True, note=None, seed=1
    )
    return study.id


def name_of_another(machine: str | None = None, *, alive: bool) -> str:
    """The owner's name of another process, which has ended unless ``alive``."""
    if alive:
        return owner_name()
    code = "from autodistill.engine.lease import owner_name; print(owner_name())"
    name = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    return name if machine is None else f"{machine}:{name.partition(':')[2]}"


def test_the_lease_of_a_dead_process_is_given_back_at_once(storage: Storage, study_id: int) -> None:
    taken = storage.lease_run(study_id, 0, "flash", name_of_another(alive=False), 1000.0)
    assert taken is not None
    assert storage.lease_run(study_id, 0, "flash", owner_name(), 60.0) is None
    assert [run.token for run in release_dead(storage, study_id)] == [taken.token]
    assert storage.lease_run(study_id, 0, "flash", owner_name(), 60.0) is not None
    assert storage.waste(study_id) == []


@pytest.mark.parametrize("owner", ["alive", "elsewhere", "nonsense"])
def test_what_a_living_or_an_unknown_process_holds_is_left_alone(storage: Storage, study_id: int, owner: str) -> None:
    names = {
        "alive": owner_name(),
        "elsewhere": name_of_another("0123456789ab", alive=False),
        "nonsense": "somebody",
    }
    assert storage.lease_run(study_id, 0, "flash", names[owner], 1000.0) is not None
    assert release_dead(storage, study_id) == []


def test_a_process_number_that_was_given_anew_is_recognised(storage: Storage, study_id: int) -> None:
    machine, number, _ = owner_name().split(":")
    assert storage.lease_run(study_id, 0, "flash", f"{machine}:{number}:1.00", 1000.0) is not None
    assert len(release_dead(storage, study_id)) == 1


@pytest.mark.parametrize("seconds", [1.0, -3600.0])
def test_a_living_process_stays_alive_when_the_clock_is_set(
    storage: Storage, study_id: int, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    created = psutil.Process.create_time
    with held(storage, study_id, 0, "flash", False) as mine:
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: created(self) + seconds)
        assert mine is not None
        assert release_dead(storage, study_id) == []
        assert storage.renew(mine.run, 60.0)


def test_a_container_with_the_same_host_name_has_processes_of_its_own(
    storage: Storage, study_id: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as there:
        there.setattr(lease, "_NAMESPACE", tmp_path)
        _, _, started = owner_name().split(":")
        owner = f"{lease._boot()}:{UNUSED}:{started}"
    assert storage.lease_run(study_id, 0, "flash", owner, 1000.0) is not None
    assert release_dead(storage, study_id) == []


@pytest.mark.parametrize(("number", "dead"), [(os.getpid(), False), (UNUSED, True)], ids=["there", "gone"])
def test_leases_of_earlier_versions_are_judged_by_whether_there_is_such_a_process(
    storage: Storage, study_id: int, number: int, dead: bool
) -> None:
    owner = f"{lease._host()}:{number}:1700000000.25"
    assert storage.lease_run(study_id, 0, "flash", owner, 1000.0) is not None
    assert len(release_dead(storage, study_id)) == dead


def test_systems_without_proc_tell_processes_apart_by_the_time_of_their_start(
    storage: Storage, study_id: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lease, "_BOOT", tmp_path / "missing")
    assert storage.lease_run(study_id, 0, "flash", owner_name(), 1000.0) is not None
    assert release_dead(storage, study_id) == []
    machine, number, _ = owner_name().split(":")
    run = storage.lease_run(study_id, 0, "full", f"{machine}:{number}:1.00", 1000.0)
    assert run is not None
    assert [item.token for item in release_dead(storage, study_id)] == [run.token]


def test_the_owners_name_does_not_name_the_machine() -> None:
    import platform

    assert platform.node() not in owner_name()


def test_a_held_run_is_renewed_and_kept_when_it_ended(
    storage: Storage, study_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_HEARTBEAT_SECONDS", 0.02)
    with held(storage, study_id, 0, "flash", False) as mine:
        assert mine is not None
        before = storage.runs(study_id)[0].expires
        for _ in range(200):
            if storage.runs(study_id)[0].expires > before:
                break
            time.sleep(0.02)
        assert storage.runs(study_id)[0].expires > before
        with held(storage, study_id, 0, "flash", False) as second:
            assert second is None
        assert storage.finish_run(mine.run, state="complete")
    with held(storage, study_id, 0, "flash", False) as again:
        assert again is None


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt()])
def test_an_exception_gives_the_run_back(storage: Storage, study_id: int, error: BaseException) -> None:
    with pytest.raises(type(error)), held(storage, study_id, 0, "flash", False):
        raise error
    with held(storage, study_id, 0, "flash", False) as again:
        assert again is not None


def test_a_lease_that_was_taken_over_is_noticed(
    storage: Storage, study_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_HEARTBEAT_SECONDS", 0.02)
    with held(storage, study_id, 0, "flash", False) as mine:
        assert mine is not None
        storage.release_run(mine.run)
        taken: Any = storage.lease_run(study_id, 0, "flash", "somebody", 60.0)
        for _ in range(200):
            if mine.lost:
                break
            time.sleep(0.02)
        assert mine.lost
        assert not storage.finish_run(mine.run, state="complete")
        assert storage.finish_run(taken, state="complete")


def test_a_lease_is_asked_for_and_stays_lost(
    storage: Storage, study_id: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with held(storage, study_id, 0, "flash", False) as mine:
        assert mine is not None
        with monkeypatch.context() as busy:
            busy.setattr(storage, "renew", lambda *arguments: 1 / 0)
            assert mine.renew()  # it holds for a minute
            assert "the lease of trial 0 could not be renewed; trying again" in caplog.text
            busy.setattr(lease, "LEASE_SECONDS", 0.0)
            assert not mine.renew()
        assert not mine.renew()
        assert mine.lost
