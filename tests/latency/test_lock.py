from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from autodistill.errors import LatencyError
from autodistill.exporters.onnx_session import package_environment
from autodistill.latency.lock import DeviceLock, lock_directory

HOLD = """
import sys
from pathlib import Path
from autodistill.latency import lock
lock.PLACES = (Path(sys.argv[1]),)
with lock.DeviceLock("cpu").held():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("autodistill.latency.lock.PLACES", (tmp_path,))
    return tmp_path


def acquired_within(lock: DeviceLock, seconds: float) -> bool:
    done = threading.Event()

    def acquire() -> None:
        with lock.held():
            done.set()

    threading.Thread(target=acquire, daemon=True).start()
    return done.wait(seconds)


def test_device_is_exclusive_between_processes_and_free_after_a_crash(temporary: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(temporary)]
    holder = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=package_environment(), text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    lock = DeviceLock("cpu")
    assert not acquired_within(lock, 0.2)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert acquired_within(DeviceLock("cpu"), 10)


def test_two_locks_of_one_process_exclude_each_other_and_devices_do_not(temporary: Path) -> None:
    first, second = DeviceLock("cpu"), DeviceLock("cpu")
    with first.held():
        assert not acquired_within(second, 0.2)
        assert acquired_within(DeviceLock("cuda"), 10)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """One that belongs to who runs this, as ``/var/lock`` to root on some systems, and one for all."""
    own, shared = tmp_path / "own", tmp_path / "shared"
    for place, mode in ((own, 0o755), (shared, 0o1777)):
        place.mkdir()
        place.chmod(mode)
    monkeypatch.setattr("autodistill.latency.lock.PLACES", (own, shared))
    monkeypatch.setattr(tempfile, "tempdir", str(own))
    return own, shared


def test_who_could_write_elsewhere_locks_where_everybody_can(places: tuple[Path, Path]) -> None:
    assert lock_directory() == places[1]
    places[1].rmdir()
    assert lock_directory() == places[0]


def test_lock_can_be_opened_by_others_whatever_the_umask(temporary: Path) -> None:
    umask = os.umask(0o077)
    try:
        DeviceLock("cpu").close()
    finally:
        os.umask(umask)
    (path,) = temporary.iterdir()
    assert path.stat().st_mode & 0o777 == 0o644
    path.chmod(0o444)  # as a file of another user looks to most: it can be locked all the same
    with DeviceLock("cpu").held():
        assert not acquired_within(DeviceLock("cpu"), 0.2)


def test_link_or_directory_in_its_place_is_refused(temporary: Path) -> None:
    (temporary / "autodistill-cpu.lock").symlink_to(temporary / "elsewhere")
    with pytest.raises(LatencyError, match=r"autodistill-cpu\.lock cannot be opened"):
        DeviceLock("cpu")
    (temporary / "autodistill-cuda.lock").mkdir()
    with pytest.raises(LatencyError, match=r"autodistill-cuda\.lock must be a file"):
        DeviceLock("cuda")


def test_no_place_at_all_is_an_error_that_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autodistill.latency.lock.PLACES", (tmp_path / "nowhere",))
    with pytest.raises(LatencyError, match="nowhere is a directory that can be written to"):
        DeviceLock("cpu")
