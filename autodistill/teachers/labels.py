"""Whether a checkpoint's classes are those of a task."""

from __future__ import annotations

from collections.abc import Sequence


def are_default(names: Sequence[str]) -> bool:
    """Whether these are the names that transformers gives to classes without any: LABEL_0, LABEL_1, ..."""
    return list(names) == [f"LABEL_{index}" for index in range(len(names))]


def same_classes(names: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...] | None:
    """Return for each class of a task its place among a checkpoint's; None when those are other classes.

    Names are compared without case where that leaves them distinct. Default names are taken for the task's classes in
    the task's order.

    Args:
        names: of the checkpoint's classes.
        wanted: of the task's.
    """
    if len(names) != len(wanted):
        return None
    for found, asked in ((names, wanted), ([name.casefold() for name in names], [name.casefold() for name in wanted])):
        if len(set(found)) == len(found) and set(found) == set(asked):
            return tuple(found.index(name) for name in asked)
    return tuple(range(len(names))) if are_default(names) else None
