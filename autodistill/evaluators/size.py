"""Size of an architecture, known before training in closed form."""

from __future__ import annotations

from collections.abc import Mapping

from autodistill.components.outcome import Described, Predictions, Score
from autodistill.components.search import Direction
from autodistill.components.task import TaskSpec


class Size:
    """Parameters, transformer layers, and floating-point operations of one forward pass over one sequence of the
    data's typical length.
    """

    metrics: Mapping[str, Direction] = {"parameters": "minimize", "flops": "minimize", "layers": "minimize"}
    before_training = True

    def supports(self, task: TaskSpec) -> str | None:
        """None: every model has a size."""
        return None

    def describe(self, subject: Described) -> Mapping[str, float]:
        """Exact counts; no model is made."""
        model = (subject.architecture, subject.task, subject.vocabulary)
        return {
            "parameters": float(subject.family.parameters(*model)),
            "flops": float(subject.family.flops(*model, subject.tokens)),
            "layers": float(subject.family.dimensions(subject.architecture, subject.task).layers),
        }

    def score(self, predictions: Predictions) -> Mapping[str, Score]:
        """Not possible.

        Raises:
            NotImplementedError: always; `before_training` is true.
        """
        raise NotImplementedError("The evaluator 'size' describes architectures, not predictions.")
