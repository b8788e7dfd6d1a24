"""Harvesting: what counts as prose, what is masked, and what is an error."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from autodistill.data.docstrings import (
    clean,
    docstrings,
    give_aways,
    harvest,
    library_folder,
    library_version,
    paragraphs,
    source_files,
    spread,
)
from autodistill.errors import DataError

NAMES = give_aways(["torch", "pytorch_lightning"])

DOCSTRING = """Return the rows that are nearest to a query.

Parameters
----------
query : array_like
    What to look for, one
    row of numbers.
limit (int, optional): How many rows to return.

:param scale: Whether to scale the rows first.

.. note:: hidden

>>> nearest(3)
output of the doctest

- A bullet that runs
  over two lines.
"""


def test_paragraphs_are_prose_only() -> None:
    assert list(paragraphs(DOCSTRING)) == [
        "Return the rows that are nearest to a query.",
        "Parameters",
        "What to look for, one row of numbers.",
        "How many rows to return.",
        "Whether to scale the rows first.",
        "A bullet that runs over two lines.",
    ]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("A Tensor on :class:`torch.Tensor` devices.", "a tensor on something devices."),
        ("Use `np.dot` or np.vdot(x) here", "use something or something here"),
        ("PyTorch's Lightning trainer", "something trainer"),
        ("Set my_option=3 in TorchScript, please.", "set something in something please."),
        ("The torch burns", "the something burns"),
        ("Wörter, «quoted» done", "w rter, quoted done"),
    ],
)
def test_names_code_and_markup_are_masked(sentence: str, expected: str) -> None:
    assert clean(sentence, NAMES) == expected


def test_sources_are_parsed_and_never_run(tmp_path: Path) -> None:
    source = tmp_path / "dangerous.py"
    source.write_text(
        '"""Module text."""\nraise SystemExit\n'
        'class A:\n    """Class text."""\n    def b(self):\n        "Method text."\n'
    )
    assert [text for text in docstrings(source) if text] == ["Module text.", "Class text.", "Method text."]
    source.write_text("def broken(:\n")
    assert list(docstrings(source)) == []


def test_near_duplicates_and_tests_are_left_out(tmp_path: Path) -> None:
    sentence = "The quick brown fox jumps over the lazy dog near the river"
    (tmp_path / "one.py").write_text(f'"""{sentence}."""\n')
    (tmp_path / "two.py").write_text(f'"""{sentence} today."""\n')
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "three.py").write_text('"""Nothing in here is documentation for the users of it."""\n')
    found = harvest(tmp_path, NAMES, (5, 20), (10, 10), set())
    assert [excerpt.text.removesuffix(".").removesuffix(" today") for excerpt in found] == [sentence.lower()]


def test_files_come_in_an_order_that_does_not_depend_on_the_folder(tmp_path: Path) -> None:
    for root in (tmp_path / "a", tmp_path / "b"):
        root.mkdir()
        for name in ("x.py", "y.py", "z.py"):
            (root / name).write_text("")
    assert [path.name for path in source_files(tmp_path / "a")] == [path.name for path in source_files(tmp_path / "b")]


def test_spread_keeps_the_limit_and_the_order() -> None:
    assert spread(list("abcdefgh"), 4) == list("aceg")
    assert spread(list("ab"), 4) == list("ab")


def test_a_library_is_found_without_importing_it() -> None:
    loaded = set(sys.modules)
    assert library_folder("sympy").name == "sympy"
    assert library_version("sklearn")
    assert not {name for name in set(sys.modules) - loaded if name.startswith("sympy")}


def test_a_library_that_is_not_installed_says_how_to_get_it() -> None:
    with pytest.raises(DataError, match=r"'nosuchlib' of data.libraries is not installed. .*`pip install nosuchlib`"):
        library_version("nosuchlib")
    with pytest.raises(DataError, match="no package of that name can be found"):
        library_folder("no-such-lib")
