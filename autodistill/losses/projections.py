"""Learned linear maps from the student's width to the teacher's, for losses that compare channels.

They are made when a loss is built, trained beside the student, saved with the run's checkpoint, and left behind when
the student is exported: TinyBERT's way (Jiao et al. 2019, arXiv 1909.10351).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from torch import nn

from autodistill.losses.masking import present_pairs

if TYPE_CHECKING:
    from torch import Tensor

    from autodistill.components.students import Dimensions
    from autodistill.components.training import Features


class Projections:
    """One linear map per student layer, or none at all where the widths agree.

    Weights and biases are drawn from torch's global generator.

    Args:
        layers: student layers that are compared, 0 for the embedding block.
        student: sizes of the student.
        teacher: sizes of the teacher.
    """

    def __init__(self, layers: Iterable[int], student: Dimensions, teacher: Dimensions) -> None:
        self._linear: dict[int, nn.Linear] = (
            {}
            if student.hidden == teacher.hidden
            else {layer: nn.Linear(student.hidden, teacher.hidden) for layer in layers}
        )

    def __call__(self, states: Tensor, layer: int) -> Tensor:
        """The student's states in the teacher's width.

        Args:
            states: ``batch x tokens x student hidden``, any float dtype.
            layer: which student layer they are of.

        Returns:
            ``batch x tokens x teacher hidden``, float32.
        """
        linear = self._linear.get(layer)
        return states.float() if linear is None else linear(states.to(linear.weight.dtype)).float()

    def paired_states(
        self, pairs: Sequence[tuple[int, int]], student: Features, teacher: Features
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Hidden states of the layer pairs that were run, in the teacher's width.

        Args:
            pairs: (student layer, teacher layer).
            student: ``hidden_states`` as ``batch x tokens x student hidden``, any float dtype.
            teacher: ``hidden_states`` as ``batch x tokens x teacher hidden``.

        Yields:
            (student, teacher), ``batch x tokens x teacher hidden`` each, float32; the teacher's are constant.
        """
        for own, other in present_pairs(pairs, "hidden_states", student):
            yield self(student[own], own[1] or 0), teacher[other].detach().float()

    def __len__(self) -> int:
        return len(self._linear)

    def parameters(self) -> list[nn.Parameter]:
        """Weights and biases in the order of the layers."""
        return [parameter for linear in self._linear.values() for parameter in linear.parameters()]
