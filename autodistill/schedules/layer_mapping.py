"""Which teacher layer each student layer is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autodistill.errors import ConfigError, did_you_mean
from autodistill.students.layers import layer_map

LayerPairs = tuple[tuple[int, int], ...]

#: Named ways to choose the teacher layer of each student layer; see `layer_pairs`.
LAYER_MAPPINGS = ("uniform", "last", "first", "skip")


def check_layer_mapping(mapping: object) -> None:
    """Raise `ConfigError` unless this is a name of `LAYER_MAPPINGS`, or teacher layers in rising order."""
    if isinstance(mapping, str):
        if mapping not in LAYER_MAPPINGS:
            raise ConfigError(
                f"schedule.layer_mapping must be one of {', '.join(LAYER_MAPPINGS)}, or a list of teacher layers such "
                f"as [4,8,12], got {mapping!r}." + did_you_mean(mapping, LAYER_MAPPINGS)
            )
        return
    layers: list[Any] = list(mapping) if isinstance(mapping, Sequence) else []
    numbers = all(type(layer) is int and layer >= 1 for layer in layers)
    if not layers or not numbers or layers != sorted(set(layers)):
        raise ConfigError(
            "schedule.layer_mapping as a list must name teacher layers, 1-based, each once and in rising order, e.g. "
            f"[4,8,12], got {mapping!r}."
        )


def layer_pairs(mapping: str | Sequence[int], student_layers: int, teacher_layers: int) -> LayerPairs:
    """Pair student layers with teacher layers, both 1-based, in rising order.

    ``uniform`` spreads them over the whole teacher and pairs the last with the last (TinyBERT, arXiv 1909.10351), each
    with the layer that it starts from under ``student.layer_selection=uniform``;
    ``last`` pairs with the teacher's uppermost layers, ``first`` with its lowest. Of a student that is deeper than
    its teacher, ``uniform`` leaves layers unpaired, ``last`` uses its upper and ``first`` its lower layers.
    ``skip`` pairs student layer i with every k-th teacher layer, k = teacher layers // student layers, and leaves out
    the student's last one, which the outputs teach (PKD-Skip, arXiv 1908.09355); a student of one layer keeps it.

    A list names the teacher layers themselves. A student of as many layers takes them in turn; of another depth, the
    student's layers and the list are spread over each other as ``uniform`` does.

    Args:
        mapping: one of `LAYER_MAPPINGS`, or teacher layers in rising order.
        student_layers: blocks of the student, >= 1.
        teacher_layers: blocks of the teacher, >= 1.

    Raises:
        ConfigError: the list names a layer that the teacher has not.
    """
    if not isinstance(mapping, str):
        if mapping[-1] > teacher_layers:
            raise ConfigError(
                f"schedule.layer_mapping names layer {mapping[-1]}, but the teacher has {teacher_layers} layers."
            )
        return tuple((own, mapping[place - 1]) for own, place in _uniform(student_layers, len(mapping)))
    pairs = min(student_layers, teacher_layers)
    indices = range(1, pairs + 1)
    if mapping == "first":
        return tuple((index, index) for index in indices)
    if mapping == "last":
        return tuple((student_layers - pairs + index, teacher_layers - pairs + index) for index in indices)
    if mapping == "skip":
        every = max(1, teacher_layers // student_layers)
        return tuple((index, index * every) for index in indices if index < student_layers or index == 1)
    return _uniform(student_layers, teacher_layers)


def _uniform(first: int, second: int) -> LayerPairs:
    """Spread two depths over each other; the last is paired with the last."""
    pairs = min(first, second)
    own = (index * first // pairs for index in range(1, pairs + 1))
    # A layer learns most from the one that it starts from.
    return tuple(zip(own, layer_map(pairs, second, "uniform"), strict=True))


def mapping_table(pairs: LayerPairs, student_layers: int, teacher_layers: int) -> str:
    """Return the pairs as a table of two lines, every student layer in a column; a dash where it has no partner.

    Args:
        pairs: what `layer_pairs` returned.
        student_layers: blocks of the student.
        teacher_layers: blocks of the teacher.
    """
    partners = dict(pairs)
    columns = [(str(layer), str(partners.get(layer, "-"))) for layer in range(1, student_layers + 1)]
    lines = (
        f"student layer (of {student_layers})",
        f"teacher layer (of {teacher_layers})",
    )
    label = max(map(len, lines))
    width = max(len(cell) for column in columns for cell in column)
    return "\n".join(
        f"{line:<{label}}  " + " ".join(f"{column[row]:>{width}}" for column in columns)
        for row, line in enumerate(lines)
    )
