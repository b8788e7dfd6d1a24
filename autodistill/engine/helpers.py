"""Keeps a space's helpers from the student family: parameters that only exist for derived values to read.

``intermediate_size: {type: derived, value: "hidden_size * ffn_ratio"}`` makes ``ffn_ratio`` a dimension of the search
and a choice of every architecture, but no family knows what to do with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from autodistill.components.architecture import Architecture
from autodistill.components.students import Dimensions, Initialisation, StudentFamily, Vocabulary
from autodistill.components.task import TaskSpec

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from autodistill.components.training import Batch


class WithoutHelpers:
    """A student family that is not told of helpers; a `autodistill.components.students.StudentFamily` itself.

    Args:
        family: the family that is asked.
        helpers: names of choices that it does not know.
    """

    def __init__(self, family: StudentFamily, helpers: Iterable[str]) -> None:
        self._family, self._helpers = family, frozenset(helpers)
        self.features = family.features

    def validate(self, architecture: Architecture) -> None:
        """Raise `ConfigError` when no model can be built from these choices."""
        self._family.validate(self._told(architecture))

    def build(self, architecture: Architecture, task: TaskSpec, vocabulary: Vocabulary) -> PreTrainedModel:
        """A stock model with random weights."""
        return self._family.build(self._told(architecture), task, vocabulary)

    def parameters(self, architecture: Architecture, task: TaskSpec, vocabulary: Vocabulary) -> int:
        """Number of parameters."""
        return self._family.parameters(self._told(architecture), task, vocabulary)

    def flops(self, architecture: Architecture, task: TaskSpec, vocabulary: Vocabulary, tokens: int) -> int:
        """Floating-point operations of one forward pass over ``tokens`` tokens."""
        return self._family.flops(self._told(architecture), task, vocabulary, tokens)

    def dimensions(self, architecture: Architecture, task: TaskSpec) -> Dimensions:
        """Sizes of the architecture."""
        return self._family.dimensions(self._told(architecture), task)

    def lr_factor(self, architecture: Architecture) -> float:
        """Factor on the schedule's learning rate."""
        return self._family.lr_factor(self._told(architecture))

    def initialise(
        self, student: PreTrainedModel, teacher: PreTrainedModel, examples: Sequence[Batch] = ()
    ) -> Initialisation:
        """Start ``student`` from ``teacher`` in place."""
        return self._family.initialise(student, teacher, examples)

    def architecture_of(self, model: PreTrainedModel) -> Architecture | None:
        """The architecture of a stock model; it has no helpers."""
        return self._family.architecture_of(model)

    def _told(self, architecture: Architecture) -> Architecture:
        known = {name: value for name, value in architecture.choices.items() if name not in self._helpers}
        return Architecture(architecture.family, known)
