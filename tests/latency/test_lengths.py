from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.errors import ConfigError
from autodistill.latency.lengths import LENGTH_QUANTILES, read_lengths


def test_null_number_and_list_are_taken_as_they_are() -> None:
    assert read_lengths(None, "x") is None
    assert read_lengths(128, "x") == (128,)
    assert read_lengths([64, 8], "x") == (64, 8)


@pytest.mark.parametrize("value", [0, -3, True, [], [4, 0], [1.5], ["8"], 2.5, {"a": 1}])
def test_anything_else_says_what_is_possible(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"latency\.here\.lengths must be null, a number >= 1, a list"):
        read_lengths(value, "latency.here.lengths")


def test_file_of_lines_and_file_of_json_are_the_same(tmp_path: Path) -> None:
    lines, array = tmp_path / "lengths.txt", tmp_path / "lengths.json"
    lines.write_text("12\n7\n30\n")
    array.write_text("[12, 7, 30]")
    assert read_lengths(str(lines), "x") == read_lengths(str(array), "x") == (7, 12, 30)


@pytest.mark.parametrize("text", ["", "seven", "[1, 2", '["a"]', "[0]", "-4"])
def test_file_that_holds_no_lengths_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lengths.txt"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"must be null.*lengths\.txt"):
        read_lengths(str(path), "x")


def test_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"nowhere/lengths\.txt"):
        read_lengths("/nowhere/lengths.txt", "x")


@given(lengths=st.lists(st.integers(1, 512), min_size=1, max_size=80))
def test_many_lengths_become_ten_of_their_own_spread_over_them(
    lengths: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("lengths") / "lengths.json"
    path.write_text(json.dumps(lengths))
    found = read_lengths(str(path), "x")
    assert found is not None
    assert len(found) == min(len(lengths), len(LENGTH_QUANTILES))
    assert list(found) == sorted(found)
    assert set(found) <= set(lengths)


def test_the_longest_tenth_is_stood_for_by_the_99th_percentile(tmp_path: Path) -> None:
    path = tmp_path / "lengths.txt"
    path.write_text("\n".join(str(length) for length in [*[10] * 970, *[500] * 30]))
    assert read_lengths(str(path), "x") == (*[10] * 9, 500)
