"""Whether the numbers of a regression are of a size that fine-tuning can reach; asked before anything is trained.

A new head answers about 0, and an optimiser step moves each of its weights by the learning rate at most. Labels are
learnt as they stand in the files, so prices or years would be out of reach, whatever the texts say.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autodistill.components.students import FineTuning
from autodistill.engine.workbench import Workbench, model_dimensions
from autodistill.errors import DataError

#: Numbers up to this size are never refused: marks and stars, the 0 to 5 of STS-B.
ORDINARY = 10.0

#: How many times the reach of a head with features of size one is refused: those of a head without tanh may grow.
MARGIN = 10.0


def check_numbers(bench: Workbench, recipes: Sequence[FineTuning]) -> None:
    """Compare the training labels of a regression with what the recipes can reach.

    Args:
        bench: data, task and the model that is fine-tuned.
        recipes: by which it may be; one of them must do.

    Raises:
        DataError: their mean or deviation is out of reach; says by how much, and how to scale them.
    """
    if bench.task.kind != "regression" or bench.task.label_free:
        return
    labels = np.asarray(bench.data.splits["train"]["label"], dtype=np.float64)
    mean, deviation = float(labels.mean()), float(labels.std())
    if max(abs(mean), deviation) <= ORDINARY:
        return
    weights = model_dimensions(bench.teacher.load(bench.task)).hidden + 1  # the last layer's, and its bias
    reach = max(_learning(recipe, len(labels)) for recipe in recipes) * weights
    if max(abs(mean), deviation) <= MARGIN * reach:
        return
    raise DataError(
        f"The numbers to predict have the mean {mean:.4g} and the standard deviation {deviation:.4g} in the "
        f"{len(labels)} training examples. Fine-tuning begins at 0 and moves an answer by about {reach:.2g}, so "
        f"{bench.teacher.name} would not come near them. Expected numbers of order one: write (number - {mean:.4g}) / "
        f"{deviation or 1:.4g} into all files, and turn answers back the same way."
    )


def _learning(recipe: FineTuning, rows: int) -> float:
    """How far fine-tuning moves a weight of the head at most: the learning rate, on average half its peak, in all."""
    steps = recipe.steps(recipe.examples(rows))
    return steps * recipe.lr * recipe.head_lr_factor / 2
