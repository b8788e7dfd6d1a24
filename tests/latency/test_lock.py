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
from autodistill.latency.lock import DeviceLock, runtime_directory

HOLD = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from autodistill.latency.lock import DeviceLock
with DeviceLock("cpu").held():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
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


def test_runtime_directory_is_private(temporary: Path) -> None:
    assert runtime_directory() == temporary / f"autodistill-{os.getuid()}"
    assert runtime_directory().stat().st_mode & 0o777 == 0o700


def test_runtime_directory_that_others_may_write_to_is_refused(temporary: Path) -> None:
    runtime_directory().chmod(0o777)
    with pytest.raises(LatencyError, match="only you can write to"):
        DeviceLock("cpu")
