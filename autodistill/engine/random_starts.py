"""Students of the search space that are too wide to start from their teacher, although they are meant to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from autodistill.components.architecture import Architecture
from autodistill.engine.checks import check_start
from autodistill.engine.workbench import Workbench

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def random_starts(bench: Workbench, teacher: PreTrainedModel) -> str | None:
    """In words which students of the search space take nothing of the teacher for their width; None where none do.

    None too where the family has no parameter ``initialisation``, or it is not ``teacher``: then nothing was promised.

    Args:
        bench: the study's shared parts.
        teacher: the teacher's model.
    """
    if bench.settings.one("student").parameters.get("initialisation") != "teacher":
        return None
    own = int(teacher.get_input_embeddings().weight.shape[1])
    shallowest = _shallowest(bench)
    wider = sorted(width for width in shallowest if width > own)
    with torch.random.fork_rng(devices=[]):
        if not wider or not _at_random(bench, teacher, shallowest[wider[-1]]):
            return None
        first = next(width for width in wider if _at_random(bench, teacher, shallowest[width]))
    who = "All students" if first == min(shallowest) else f"Students of width {first} and more"
    return (
        f"{who} start at random, although student.initialisation is 'teacher': the teacher's word embeddings are "
        f"{own} wide, and a wider student can take nothing of it. A short run does not make up for that, so they look "
        f"worse than they are. Search widths up to {own}, or take a wider teacher."
    )


def _shallowest(bench: Workbench) -> dict[int, Architecture]:
    """Width -> the architecture of the search space with the fewest layers among those so wide: the cheapest to build.

    Where the space is large, of those that are checked before training.
    """
    found: dict[int, tuple[int, Architecture]] = {}
    for architecture in bench.some_architectures:
        size = bench.family.dimensions(architecture, bench.task)
        if size.hidden not in found or size.layers < found[size.hidden][0]:
            found[size.hidden] = size.layers, architecture
    return {width: architecture for width, (_, architecture) in found.items()}


def _at_random(bench: Workbench, teacher: PreTrainedModel, architecture: Architecture) -> bool:
    return set(check_start(bench, teacher, architecture).groups.values()) == {"random"}
