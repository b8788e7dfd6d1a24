"""The shared cache: whole or absent, built once, limited in size."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from autodistill.engine.cache import (
    cache_key,
    cached_directory,
    directory_bytes,
    evict,
    evictable_bytes,
)
from autodistill.folders import (
    InUse,
    ending_uses,
    lock_of,
    locked,
    passing_directory,
    private_directory,
    scratch_of,
    write_json,
)


def fill(directory: Path, size: int = 10) -> None:
    (directory / "data").write_bytes(b"x" * size)


def test_keys_depend_on_content_and_not_on_order() -> None:
    assert cache_key({"a": 1, "b": [2]}) == cache_key({"b": [2], "a": 1})
    assert cache_key({"a": 1}) != cache_key({"a": 2})
    assert len(cache_key({})) == 24


def test_an_entry_is_built_once_and_is_private(tmp_path: Path) -> None:
    built: list[Path] = []

    def build(directory: Path) -> None:
        built.append(directory)
        fill(directory)

    first = cached_directory(tmp_path / "cache", "teachers", "key", build)
    again = cached_directory(tmp_path / "cache", "teachers", "key", build)
    assert first == again == tmp_path / "cache" / "teachers" / "key"
    assert len(built) == 1
    assert not built[0].exists()
    for place in (tmp_path / "cache", first.parent, first):
        assert place.stat().st_mode & 0o077 == 0, place


def test_a_build_that_fails_leaves_no_entry_and_is_taken_up_again(tmp_path: Path) -> None:
    def broken(directory: Path) -> None:
        fill(directory)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        cached_directory(tmp_path, "teachers", "key", broken)
    assert not (tmp_path / "teachers" / "key").exists()
    found: list[bool] = []
    cached_directory(tmp_path, "teachers", "key", lambda directory: found.append((directory / "data").exists()))
    assert found == [True]  # what the first attempt had done


def test_two_that_want_the_same_entry_build_it_once(tmp_path: Path) -> None:
    built: list[int] = []

    def build(directory: Path) -> None:
        built.append(1)
        time.sleep(0.1)
        fill(directory)

    threads = [threading.Thread(target=cached_directory, args=(tmp_path, "features", "key", build)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == [1]


def test_eviction_removes_the_least_recently_used_until_the_rest_fits(tmp_path: Path) -> None:
    entries = [
        cached_directory(tmp_path, kind, name, fill)
        for kind, name in zip(("teachers", "tokenised", "teachers"), "abc", strict=True)
    ]
    for age, entry in zip((30, 10, 20), entries, strict=True):
        os.utime(entry, (time.time() - age,) * 2)
    assert evict(tmp_path, 30) == []
    assert evict(tmp_path, 15) == [entries[0], entries[2]]
    assert entries[1].exists()


def test_using_an_entry_again_keeps_it(tmp_path: Path) -> None:
    old = cached_directory(tmp_path, "teachers", "old", fill)
    new = cached_directory(tmp_path, "teachers", "new", fill)
    for age, entry in ((100, old), (50, new)):
        os.utime(entry, (time.time() - age,) * 2)
    cached_directory(tmp_path, "teachers", "old", fill)
    assert evict(tmp_path, 10) == [new]


@pytest.mark.parametrize("kind", ["python_docs", "corpus"])
def test_snapshots_of_data_are_never_evicted_and_leave_room_to_the_others(tmp_path: Path, kind: str) -> None:
    kept = cached_directory(tmp_path, kind, "key", fill)
    other = cached_directory(tmp_path, "teachers", "key", fill)
    assert evict(tmp_path, 10) == []
    assert evict(tmp_path, 0) == [other]
    assert kept.exists()


def test_an_entry_is_kept_until_nobody_uses_it_any_more(tmp_path: Path) -> None:
    first = InUse(tmp_path / "teachers" / "used")  # before it is built, too
    used = cached_directory(tmp_path, "teachers", "used", fill)
    second = InUse(used)
    os.utime(used, (0, 0))
    first.close()
    assert evictable_bytes(tmp_path) == 0
    assert evict(tmp_path, 0) == []
    del second
    assert evictable_bytes(tmp_path) == 10
    assert evict(tmp_path, 0) == [used]


def test_the_use_of_an_entry_ends_with_the_block_in_which_it_began(tmp_path: Path) -> None:
    one, two, three = (cached_directory(tmp_path, "teachers", name, fill) for name in ("one", "two", "three"))
    kept = [InUse(one)]
    with ending_uses():
        kept.append(InUse(two))
        with ending_uses():
            kept.append(InUse(three))
            assert evictable_bytes(tmp_path) == 0
        assert evict(tmp_path, 0) == [three]
    assert evict(tmp_path, 0) == [two]
    assert len(kept) == 3


def test_a_cache_that_cannot_be_written_into_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = cached_directory(tmp_path, "teachers", "key", fill)

    def refused(*arguments: object) -> int:
        raise PermissionError("read-only")

    monkeypatch.setattr(os, "open", refused)
    used = InUse(entry)
    pickle.loads(pickle.dumps(used)).close()  # what has it may travel to another process
    used.close()


def test_what_another_process_uses_is_kept_and_can_be_built_anew(tmp_path: Path) -> None:
    used = cached_directory(tmp_path, "teachers", "used", fill)
    code = (
        "import sys; from pathlib import Path; from autodistill.folders import InUse; kept = InUse(Path(sys.argv[1]));"
    )
    wait = "print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code + wait, str(used)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert evict(tmp_path, 0) == []
        shutil.rmtree(used)
        assert cached_directory(tmp_path, "teachers", "used", fill) == used
        process.kill()
    assert evict(tmp_path, 0) == [used]


def test_what_is_told_to_stay_is_never_evicted(tmp_path: Path) -> None:
    used = cached_directory(tmp_path, "teachers", "used", fill)
    os.utime(used, (0, 0))
    other = cached_directory(tmp_path, "teachers", "other", fill)
    assert evict(tmp_path, 0, keep=[used]) == [other]


def test_eviction_takes_unfinished_entries_but_none_that_is_being_built(tmp_path: Path) -> None:
    def broken(directory: Path) -> None:
        fill(directory)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        cached_directory(tmp_path, "teacher_features", "left", broken)
    removed: list[list[Path]] = []

    def build(directory: Path) -> None:
        fill(directory)
        removed.append(evict(tmp_path, 0))

    entry = cached_directory(tmp_path, "teacher_features", "built", build)
    assert removed == [[scratch_of(entry.with_name("left"))]]
    assert (entry / "data").exists()


def test_an_eviction_that_is_killed_leaves_nothing_that_counts_as_an_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = cached_directory(tmp_path, "teachers", "key", fill)

    def killed(path: Path, ignore_errors: bool = False) -> None:
        if path.exists():
            (path / "data").unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            evict(tmp_path, 0)
    assert not entry.exists()
    left = [path for path in entry.parent.iterdir() if path.is_dir()]
    assert len(left) == 1
    cached_directory(tmp_path, "teachers", "key", fill)
    assert evict(tmp_path, 100) == []  # there is room, and yet
    assert [path for path in entry.parent.iterdir() if path.is_dir()] == [entry]
    assert (entry / "data").exists()


def test_who_has_an_evicted_entry_mapped_reads_on(tmp_path: Path) -> None:
    def build(directory: Path) -> None:
        np.save(directory / "data.npy", np.arange(1000))

    mapped = np.load(cached_directory(tmp_path, "teacher_features", "key", build) / "data.npy", mmap_mode="r")
    (removed,) = evict(tmp_path, 0)
    assert not removed.exists()
    assert mapped.sum() == 499500
    assert (cached_directory(tmp_path, "teacher_features", "key", build) / "data.npy").exists()


def test_an_entry_that_is_locked_is_not_evicted(tmp_path: Path) -> None:
    entry = cached_directory(tmp_path, "teachers", "key", fill)
    with locked(lock_of(entry)):
        assert evict(tmp_path, 0) == []
    assert (entry / "data").exists()


def test_eviction_makes_room_in_the_cache_and_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [cached_directory(tmp_path, "teachers", name, fill) for name in "abcd"]
    for age, entry in enumerate(reversed(entries)):
        os.utime(entry, (time.time() - age,) * 2)
    assert evictable_bytes(tmp_path) == 40
    assert evictable_bytes(tmp_path, keep=entries[:3]) == 10
    assert evict(tmp_path, 45, needed=5) == []
    assert evict(tmp_path, 45, needed=6) == entries[:1]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3))
    assert evict(tmp_path, 10**9, needed=3) == []
    assert evict(tmp_path, 10**9, needed=14) == entries[1:3]


def test_where_what_stays_is_above_the_limit_by_itself_all_else_goes(tmp_path: Path) -> None:
    """Else the cache of who reads more than the limit in every run, or gives 0, would grow without end."""
    large = cached_directory(tmp_path, "tokenised", "large", lambda directory: fill(directory, 100))
    others = {cached_directory(tmp_path, "teachers", name, fill) for name in "abc"}
    in_use = InUse(large)
    assert set(evict(tmp_path, 50)) == others
    assert large.exists()
    in_use.close()


def test_what_is_kept_is_so_before_it_is_finished(tmp_path: Path) -> None:
    entry = tmp_path / "teachers" / "key"
    fill(private_directory(scratch_of(entry)))
    assert evict(tmp_path, 0, keep=[entry]) == []
    assert evict(tmp_path, 0) == [scratch_of(entry)]


def test_directory_bytes_counts_all_files_below(tmp_path: Path) -> None:
    fill(private_directory(tmp_path / "a" / "b"), 7)
    fill(tmp_path, 3)
    assert directory_bytes(tmp_path) == 10


def test_json_is_replaced_whole_and_has_no_nan(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [item.name for item in path.parent.iterdir() if not item.name.startswith(".")] == ["file.json"]


def test_a_passing_directory_stays_while_its_block_runs_and_leaves_nothing(tmp_path: Path) -> None:
    with passing_directory(tmp_path / "latency", "onnx-") as folder:
        fill(folder)
        assert folder.stat().st_mode & 0o077 == 0
        assert evictable_bytes(tmp_path) == 0
        assert evict(tmp_path, 0) == []
        assert (folder / "data").exists()
    assert list((tmp_path / "latency").iterdir()) == []


def test_a_passing_directory_of_a_killed_process_is_evicted(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from autodistill.folders import passing_directory\n"
        "with passing_directory(Path(sys.argv[1]), 'onnx-') as folder:\n"
        "    (folder / 'data').write_bytes(b'x'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "latency")], check=False)
    (left,) = evict(tmp_path, 0)
    assert not left.exists()
