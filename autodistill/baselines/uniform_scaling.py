"""The baseline ``uniform_scaling``: the teacher's depth, width and feed-forward width turned down by one knob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autodistill.baselines.teacher_truncated import teacher_of
from autodistill.components.architecture import Architecture, Choice
from autodistill.components.students import BaselineContext, NamedArchitecture
from autodistill.students.configs import MOBILEBERT_EMBEDDING_SIZE

#: Feed-forward widths are rounded to a multiple of this, the width of a vector register in float32.
ROUNDING = 8


class UniformScaling:
    """What one gets by hand: everything smaller by the same factor, the size of a head kept.

    Args:
        context: the teacher as an architecture.
        scales: factors in (0, 1).
    """

    def __init__(self, context: BaselineContext, *, scales: Sequence[float]) -> None:
        self.context = context
        self.scales = scales

    def architectures(self) -> Sequence[NamedArchitecture]:
        """One architecture for each factor, named ``<label>-<factor>``; factors that round to the same are one.

        Raises:
            ConfigError: the teacher is of no known family, or of one without these sizes.
        """
        teacher = teacher_of(self.context, needed=("num_layers", "hidden_size", "num_heads", "intermediate_size"))
        found: dict[Architecture, str] = {}
        for scale in sorted(self.scales):
            architecture = Architecture(teacher.family, scaled(teacher.choices, scale))
            if architecture != teacher:
                found.setdefault(architecture, f"{self.context.label}-{scale:g}")
        return [NamedArchitecture(name, architecture) for architecture, name in found.items()]


def scaled(choices: Mapping[str, Choice], scale: float) -> dict[str, Choice]:
    """Scale an encoder's sizes, each at least 1: widths through the number of heads, feed-forward in steps of 8."""
    heads, thin = int(choices["num_heads"]), "bottleneck_size" if "bottleneck_size" in choices else "hidden_size"
    fewer = _scale(heads, scale)
    result = dict(choices)
    result["num_layers"] = _scale(int(choices["num_layers"]), scale)
    result["num_heads"] = fewer
    result[thin] = int(choices[thin]) // heads * fewer
    if thin != "hidden_size":
        # MobileBERT, the family with bottlenecks, is wider than its word embedding, whose width is fixed.
        width = _scale(int(choices["hidden_size"]) // ROUNDING, scale) * ROUNDING
        result["hidden_size"] = min(int(choices["hidden_size"]), max(width, MOBILEBERT_EMBEDDING_SIZE + ROUNDING))
    result["intermediate_size"] = _scale(int(choices["intermediate_size"]) // ROUNDING, scale) * ROUNDING
    return result


def _scale(value: int, scale: float) -> int:
    # Half is rounded up (Python rounds it to even), so that a larger factor never gives a smaller model.
    return max(1, int(value * scale + 0.5))
