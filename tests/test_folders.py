from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from autodistill.folders import build_once, locked, private_directory


def test_what_is_built_is_private_and_built_once(tmp_path: Path) -> None:
    calls: list[Path] = []

    def build(directory: Path) -> None:
        calls.append(directory)
        (directory / "x").write_text("x")

    directory = tmp_path / "deep" / "cache" / "key"
    assert build_once(directory, build) == build_once(directory, build) == directory
    assert len(calls) == 1
    assert (directory / "x").read_text() == "x"
    for path in (directory, directory.parent, directory.parent.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_failed_build_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    def fail(directory: Path) -> None:
        (directory / "half").write_text("half")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        build_once(tmp_path / "key", fail)
    assert [path.name for path in tmp_path.iterdir()] == [".key.lock"]
    build_once(tmp_path / "key", lambda directory: (directory / "whole").touch())
    assert (tmp_path / "key" / "whole").exists()


def test_a_killed_build_is_discarded(tmp_path: Path) -> None:
    script = (
        "import sys, time, pathlib\nfrom autodistill.folders import build_once\n"
        "def build(directory):\n    (directory / 'half').touch(); print('ready', flush=True); time.sleep(60)\n"
        f"build_once(pathlib.Path({str(tmp_path / 'key')!r}), build)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.getcwd()}
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "key").exists()
    build_once(tmp_path / "key", lambda directory: (directory / "whole").touch())
    assert sorted(path.name for path in tmp_path.iterdir()) == [".key.lock", "key"]
    assert [path.name for path in (tmp_path / "key").iterdir()] == ["whole"]


def _count(directory: Path, log: Path) -> None:
    def build(temporary: Path) -> None:
        with log.open("a") as file:
            file.write("built\n")
        time.sleep(0.2)
        (temporary / "x").touch()

    build_once(directory, build)
    if not (directory / "x").exists():
        raise RuntimeError("not whole")


def test_of_several_processes_one_builds(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_count, args=(tmp_path / "key", tmp_path / "log")) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert (tmp_path / "log").read_text() == "built\n"


def test_existing_directories_keep_their_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    private_directory(tmp_path / "new")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_lock_excludes_and_ends_with_its_block(tmp_path: Path) -> None:
    order: list[str] = []

    def other() -> None:
        with locked(tmp_path / "lock"):
            order.append("other")

    with locked(tmp_path / "lock"):
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "other"]


def test_who_waits_for_a_lock_may_give_up(tmp_path: Path) -> None:
    asked: list[None] = []

    def waiting() -> None:
        asked.append(None)
        if len(asked) == 2:
            raise TimeoutError("long enough")

    with locked(tmp_path / ".key.lock"), pytest.raises(TimeoutError, match="long enough"):
        build_once(tmp_path / "key", lambda directory: None, waiting=waiting)
    assert build_once(tmp_path / "key", lambda directory: None, waiting=waiting).is_dir()
    assert len(asked) == 2
