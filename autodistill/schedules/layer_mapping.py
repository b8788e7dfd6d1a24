"""Which teacher layer each student layer is compared with."""

from __future__ import annotations

from fractions import Fraction

LayerPairs = tuple[tuple[int, int], ...]


def layer_pairs(mapping: str, student_layers: int, teacher_layers: int) -> LayerPairs:
    """Pair student layers with teacher layers, both 1-based, in rising order.

    ``uniform`` spreads them over the whole teacher and pairs the last with the last (TinyBERT, arXiv 1909.10351);
    ``last`` pairs with the teacher's uppermost layers, ``first`` with its lowest. Of a student that is deeper than
    its teacher, ``uniform`` leaves layers unpaired, ``last`` uses its upper and ``first`` its lower layers.

    Args:
        mapping: one of `autodistill.schedules.configs.LAYER_MAPPINGS`.
        student_layers: blocks of the student, >= 1.
        teacher_layers: blocks of the teacher, >= 1.
    """
    pairs = min(student_layers, teacher_layers)
    indices = range(1, pairs + 1)
    if mapping == "first":
        return tuple((index, index) for index in indices)
    if mapping == "last":
        return tuple((student_layers - pairs + index, teacher_layers - pairs + index) for index in indices)
    return tuple((_spread(index, pairs, student_layers), _spread(index, pairs, teacher_layers)) for index in indices)


def _spread(index: int, pairs: int, layers: int) -> int:
    """The layer at share ``index / pairs`` of the depth, rounded down; exact arithmetic."""
    return int(Fraction(index * layers, pairs))
