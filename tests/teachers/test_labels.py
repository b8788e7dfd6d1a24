"""Whether a checkpoint's classes are those of a task."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from autodistill.teachers.labels import same_classes

DEFAULT = ("LABEL_0", "LABEL_1")


@pytest.mark.parametrize(
    ("names", "wanted", "places"),
    [
        (("bad", "good"), ("bad", "good"), (0, 1)),
        (("bad", "good"), ("good", "bad"), (1, 0)),
        (("POSITIVE", "Negative"), ("negative", "positive"), (1, 0)),
        (("a", "A"), ("A", "a"), (1, 0)),  # distinct by their case alone
        (("a", "A"), ("a", "b"), None),
        (("bad", "good"), ("bad", "fine"), None),
        (("bad", "good"), ("bad", "good", "odd"), None),
        (DEFAULT, ("bad", "good"), (0, 1)),
        (DEFAULT, ("LABEL_1", "LABEL_0"), (1, 0)),  # names that the data has too are names
        (DEFAULT, ("bad", "good", "odd"), None),
        (("LABEL_1", "LABEL_0"), ("bad", "good"), None),
    ],
)
def test_classes_are_found_by_their_names(
    names: Sequence[str], wanted: Sequence[str], places: tuple[int, ...] | None
) -> None:
    assert same_classes(names, wanted) == places
