"""The baseline ``teacher_truncated``: the teacher with fewer layers, initialised by the rule of every student."""

from __future__ import annotations

from collections.abc import Sequence

from autodistill.components.architecture import Architecture
from autodistill.components.students import BaselineContext, NamedArchitecture
from autodistill.errors import ConfigError


class TeacherTruncated:
    """Layers dropped, all else equal: the strongest thing that one gets without any search.

    Args:
        context: the teacher as an architecture.
        layers: numbers of layers to keep; None for half of the teacher's.
    """

    def __init__(self, context: BaselineContext, *, layers: Sequence[int] | None) -> None:
        self.context = context
        self.layers = layers

    def architectures(self) -> Sequence[NamedArchitecture]:
        """One architecture for each number of layers, named ``<label>-<layers>``.

        Raises:
            ConfigError: the teacher is of no known family, or has no more layers than are to be kept.
        """
        teacher = teacher_of(self.context, needed=("num_layers",))
        total = int(teacher.choices["num_layers"])
        wanted = [max(1, total // 2)] if self.layers is None else list(dict.fromkeys(self.layers))
        for layers in wanted:
            if layers >= total:
                raise ConfigError(
                    f"The baseline {self.context.label!r} is to keep {layers} layers, but the teacher has {total}; "
                    f"baseline.{self.context.label}.layers must be smaller."
                )
        return [self._keep(teacher, layers) for layers in wanted]

    def _keep(self, teacher: Architecture, layers: int) -> NamedArchitecture:
        choices = {**teacher.choices, "num_layers": layers}
        return NamedArchitecture(f"{self.context.label}-{layers}", Architecture(teacher.family, choices))


def teacher_of(context: BaselineContext, needed: Sequence[str]) -> Architecture:
    """The teacher as an architecture that has the choices ``needed``.

    Raises:
        ConfigError: it is of no known family, or of a family without these choices.
    """
    teacher = context.teacher
    if teacher is None:
        raise ConfigError(
            f"The baseline {context.label!r} is made from the teacher's own architecture, but the teacher is of no "
            f"student family (neither of the study's, {context.family!r}, nor of another). Leave this baseline out: "
            f"'~baseline.{context.label}'."
        )
    missing = [name for name in needed if name not in teacher.choices]
    if missing:
        raise ConfigError(
            f"The baseline {context.label!r} needs the choices {', '.join(needed)}, and the family {teacher.family!r} "
            f"has no {', '.join(missing)}. Leave this baseline out: '~baseline.{context.label}'."
        )
    return teacher
