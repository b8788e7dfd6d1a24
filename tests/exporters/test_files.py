from __future__ import annotations

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
