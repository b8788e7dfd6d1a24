from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autodistill.exporters.files import atomic_directory, bytes_of, sha256_of


def test_failed_block_leaves_the_old_directory_untouched(tmp_path: Path) -> None:
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "old").write_text("old")
    with pytest.raises(RuntimeError), atomic_directory(tmp_path / "hf") as folder:  # noqa: PT012
        (folder / "new").write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.rglob("*")] == ["hf", "old"]


def test_directory_is_private(tmp_path: Path) -> None:
    with atomic_directory(tmp_path / "deep" / "hf") as folder:
        (folder / "file").write_text("x")
    assert (tmp_path / "deep" / "hf").stat().st_mode & 0o777 == 0o700


def test_digest_and_size_are_those_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of(tmp_path / "file").startswith("ba7816bf")  # of "abc", FIPS 180-2
    assert bytes_of(tmp_path / "file") == bytes_of(tmp_path) == 3


KILLED = """
import os, pathlib, sys
from autodistill.exporters.files import atomic_directory

directory, moments, real = pathlib.Path(sys.argv[1]), int(sys.argv[2]), os.replace

def replace(source, target):
    global moments
    if moments == 0:
        os._exit(9)
    moments -= 1
    real(source, target)

os.replace = replace
with atomic_directory(directory) as folder:
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text("new")
"""


@pytest.mark.parametrize("moments", range(3))
def test_no_file_of_a_replaced_directory_is_ever_gone_when_the_process_is_killed(tmp_path: Path, moments: int) -> None:
    hf = tmp_path / "hf"
    hf.mkdir()
    for name in ("config.json", "model.safetensors", "stale.json"):
        (hf / name).write_text("old")
    code = subprocess.run([sys.executable, "-c", KILLED, str(hf), str(moments)], check=False).returncode
    assert code == (9 if moments < 2 else 0)
    found = [(hf / name).read_text() for name in ("config.json", "model.safetensors")]
    assert found == ["new"] * moments + ["old"] * (2 - moments)
    with atomic_directory(hf) as folder:
        (folder / "model.safetensors").write_text("newer")
    assert os.listdir(tmp_path) == ["hf"]  # what the killed process left is gone
    assert {path.name: path.read_text() for path in hf.iterdir()} == {"model.safetensors": "newer"}


def test_who_writes_a_directory_leaves_alone_what_another_process_is_writing(tmp_path: Path) -> None:
    with atomic_directory(tmp_path / "hf") as first:
        (first / "model.safetensors").write_text("first")
        with atomic_directory(tmp_path / "hf") as second:
            (second / "model.safetensors").write_text("second")
    assert (tmp_path / "hf" / "model.safetensors").read_text() == "first"
    assert os.listdir(tmp_path) == ["hf"]
