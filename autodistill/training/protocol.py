"""The protocol by which a task-agnostic model is fine-tuned on a task: a grid on the select split, then several seeds.

Pure data: which runs there are and which point wins. `autodistill.engine.fine_tuning` runs them.

The grid is of learning rates, batch sizes and epochs, each point with the first seed; the point with the best score on
the select split is trained with the other seeds too, and the test split is read once per seed, after the choice. That
is the usual protocol (Devlin et al. 2019, arXiv 1810.04805), but for its choice by the reported dev scores.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from autodistill.components.students import FineTuning
from autodistill.errors import ConfigError
from autodistill.evaluators.glue_tasks import SMALL_TASKS, task_of

#: Unless told otherwise: tasks of a few thousand examples scatter more, and have few steps to an epoch.
SEEDS, SEEDS_OF_SMALL_TASKS = 3, 5
EPOCHS, EPOCHS_OF_SMALL_TASKS = 3.0, 5.0


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the grid."""

    lr: float
    batch_size: int
    epochs: float

    def recipe(self, base: FineTuning) -> FineTuning:
        """The recipe of this point; everything else is as in ``base``."""
        return replace(base, lr=self.lr, batch_size=self.batch_size, epochs=self.epochs)

    @property
    def name(self) -> str:
        """For folders and messages, e.g. ``"lr5e-05-batch32-epochs3"``."""
        return f"lr{self.lr:g}-batch{self.batch_size}-epochs{self.epochs:g}"


@dataclass(frozen=True, slots=True)
class Protocol:
    """The grid and the number of seeds.

    Args:
        points: of the grid, at least one.
        seeds: training runs of the chosen point, >= 1.
    """

    points: tuple[Point, ...]
    seeds: int


def read_protocol(given: Mapping[str, Any], benchmark: str = "") -> Protocol:
    """The protocol that the configuration's ``fine_tuning`` says.

    Args:
        given: ``learning_rates``, ``batch_sizes`` (lists), ``epochs`` (a list) and ``seeds`` (None of either: what the
            task needs).
        benchmark: of the task.

    Raises:
        ConfigError: a key is unknown or a value is out of range.
    """
    known = ("learning_rates", "batch_sizes", "epochs", "seeds")
    for key in given:
        if key not in known:
            raise ConfigError(f"Unknown key fine_tuning.{key}. It has: {', '.join(known)}.")
    small = task_of(benchmark) in SMALL_TASKS
    needed = {**given}
    if given.get("epochs") is None:
        needed["epochs"] = [EPOCHS_OF_SMALL_TASKS if small else EPOCHS]
    rates, sizes, epochs = (_numbers(needed, key, key == "batch_sizes") for key in known[:3])
    seeds = given.get("seeds")
    if seeds is None:
        seeds = SEEDS_OF_SMALL_TASKS if small else SEEDS
    if not isinstance(seeds, int) or isinstance(seeds, bool) or seeds < 1:
        raise ConfigError(f"fine_tuning.seeds must be a whole number >= 1, or null, got {seeds!r}.")
    points = (Point(float(lr), int(size), float(many)) for lr, size, many in itertools.product(rates, sizes, epochs))
    return Protocol(tuple(dict.fromkeys(points)), seeds)


def _numbers(given: Mapping[str, Any], key: str, whole: bool) -> list[float]:
    values = given.get(key)
    good = isinstance(values, list) and all(
        isinstance(value, int if whole else (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value > 0
        for value in values
    )
    if not good or not values:
        example = "[32]" if whole else "[3.0e-5, 1.0e-4]"
        kind = "whole numbers" if whole else "numbers"
        raise ConfigError(f"fine_tuning.{key} must be a list of {kind} > 0, e.g. {example}, got {values!r}.")
    return list(values)


def best_point(scores: Sequence[float | None], direction: str) -> int | None:
    """The place of the best score; the first of equals; None when every run of the grid failed.

    Args:
        scores: of the points on the select split; None where the run failed.
        direction: of the metric.
    """
    sign = 1.0 if direction == "maximize" else -1.0
    finite = [index for index, score in enumerate(scores) if score is not None and math.isfinite(score)]
    return max(finite, key=lambda index: sign * float(scores[index] or 0.0), default=None)
