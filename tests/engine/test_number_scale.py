"""Numbers that fine-tuning cannot reach are refused before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_studies import replaced, tiny_study

import autodistill
from autodistill.cli import main
from autodistill.engine.number_scale import check_numbers
from autodistill.engine.workbench import Workbench
from autodistill.errors import DataError
from autodistill.registry import default_registry


def numbers(directory: Path, *, times: float = 1.0, plus: float = 0.0) -> list[str]:
    """The tiny study with numbers in place of classes."""
    given = [item for item in tiny_study(directory) if not item.startswith("data")]
    for name, rows in (("train", 200), ("test", 40)):
        lines = (f"w{row % 40} w{row % 7}\t{plus + times * (row % 5 - 2)}\n" for row in range(rows))
        (directory / f"{name}.tsv").write_text("text\tlabel\n" + "".join(lines))
    files = [f"data.{name}={directory / name}.tsv" for name in ("train", "test")]
    return [*given, "data=text_regression", *files, "data.max_length=16", "evaluator=[regression]"]


def check(overrides: list[str]) -> None:
    bench = Workbench(autodistill.compose(overrides), default_registry())
    check_numbers(bench, [bench.teacher.fine_tuning])


def test_numbers_out_of_reach_are_refused_with_mean_and_deviation(tmp_path: Path) -> None:
    # 34 steps at half of 3e-3 move 33 weights by 0.05 each, and an answer by 1.7; ten times that is let through.
    for given in ({}, {"times": 7.0}, {"plus": 9.0}, {"plus": 16.0}):
        check(numbers(tmp_path, **given))
    with pytest.raises(DataError, match=r"mean 2000 .* standard deviation 1\.398 .* write \(number - 2000\) / 1\.398 "):
        check(numbers(tmp_path, plus=2000.0))
    with pytest.raises(DataError, match=r"standard deviation 1\.398e\+04 in the 180 training examples.*order one"):
        check(numbers(tmp_path, times=1e4))


def test_a_longer_recipe_reaches_farther(tmp_path: Path) -> None:
    given = numbers(tmp_path, plus=2000.0)
    check(replaced(given, "teacher.fine_tune_epochs=1000"))


@pytest.mark.parametrize("verb", ["run", "evaluate"])
def test_they_are_refused_before_any_training(tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    given = numbers(tmp_path, plus=1e6)
    if verb == "evaluate":
        given.append(f"model={tmp_path / 'teacher'}")
    assert main([verb, *given]) == 2
    assert "The numbers to predict have the mean 1e+06" in capsys.readouterr().err
    assert not list((tmp_path / "outputs").glob("cache/teachers/*"))
    assert not list((tmp_path / "outputs").glob("*/fine_tuning/*/*"))
