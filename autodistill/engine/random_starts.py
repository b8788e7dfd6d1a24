"""Students of the search space, and baselines, that are too wide to start from their teacher, although they should."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from autodistill.components.architecture import Architecture
from autodistill.components.students import NamedArchitecture
from autodistill.engine.checks import check_start
from autodistill.engine.workbench import Workbench

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def random_starts(bench: Workbench, teacher: PreTrainedModel, baselines: Sequence[NamedArchitecture]) -> str | None:
    """In words which students take nothing of the teacher for their width; None where none do.

    None too where the family has no parameter ``initialisation``, or it is not ``teacher``: then nothing was promised.

    Args:
        bench: the study's shared parts.
        teacher: the teacher's model.
        baselines: of the study; those of another family than the students are left aside.
    """
    if bench.settings.one("student").parameters.get("initialisation") != "teacher":
        return None
    own = int(teacher.get_input_embeddings().weight.shape[1])
    shallowest = _shallowest(bench)
    with torch.random.fork_rng(devices=[]):
        wide = [width for width, item in shallowest.items() if _at_random(bench, teacher, item, own)]
        named = [
            f"the baseline {item.name!r}"
            for item in baselines
            if item.architecture.family == bench.family_name and _at_random(bench, teacher, item.architecture, own)
        ]
    if not wide and not named:
        return None
    students = "all students" if len(wide) == len(shallowest) else f"students of width {min(wide, default=0)} and more"
    who = ", ".join([*([students] if wide else []), *named])
    return (
        f"{who[0].upper()}{who[1:]} start at random, although student.initialisation is 'teacher': the teacher's word "
        f"embeddings are {own} wide, and students with wider ones can take nothing of it. A short run does not make up "
        "for that, so they look worse than they are. Take a wider teacher, or narrower students."
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


def _at_random(bench: Workbench, teacher: PreTrainedModel, architecture: Architecture, own: int) -> bool:
    """Whether a student takes nothing of the teacher; those whose word embeddings are not wider do."""
    with torch.device("meta"):  # its shapes alone
        student = bench.family_of(architecture.family).build(architecture, bench.task, bench.vocabulary)
    if int(student.get_input_embeddings().weight.shape[1]) <= own:
        return False
    return set(check_start(bench, teacher, architecture).groups.values()) == {"random"}
