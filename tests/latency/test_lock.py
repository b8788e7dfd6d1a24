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
from autodistill.latency.lock import PLACES, DeviceLock, lock_directory

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


def test_all_users_and_all_folders_for_temporary_files_share_one_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert tmp_path not in lock_directory().parents
    assert lock_directory() in PLACES
    assert str(os.getuid()) not in str(lock_directory())


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
