"""The tasks of GLUE: official metrics, what of them makes up a task's score, and the averages over tasks.

.. [Wang2019] GLUE: a multi-task benchmark and analysis platform for natural language understanding, arXiv 1804.07461.
.. [Devlin2019] BERT, arXiv 1810.04805: the average of its Table 1.
.. [Zou2008] Zou and Donner, construction of confidence intervals about effect measures, Statistics in Medicine 27.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

#: Task -> its metrics, the first of which the literature quotes when it quotes one ([Devlin2019]_, Table 1).
GLUE_METRICS: Mapping[str, tuple[str, ...]] = {
    "cola": ("matthews",),
    "sst2": ("accuracy",),
    "mrpc": ("f1", "accuracy"),
    "stsb": ("spearman", "pearson"),
    "qqp": ("f1", "accuracy"),
    "mnli": ("accuracy", "accuracy_mismatched"),
    "qnli": ("accuracy",),
    "rte": ("accuracy",),
    "wnli": ("accuracy",),
}

#: Tasks whose scores vary most between seeds; they get five instead of three.
SMALL_TASKS = frozenset({"rte", "mrpc", "cola", "stsb"})

#: The averages: that of papers, and the leaderboard's.
AVERAGES = ("paper", "leaderboard")


@dataclass(frozen=True, slots=True)
class GlueAverage:
    """An average over tasks.

    Args:
        value: the average, in the unit of the scores.
        tasks: what it covers.
        missing: tasks of GLUE that it should cover and does not.
        low: of its 95 % interval; None where a task has none.
        high: likewise.
    """

    value: float
    tasks: tuple[str, ...]
    missing: tuple[str, ...]
    low: float | None = None
    high: float | None = None


def task_of(benchmark: str) -> str | None:
    """``"glue/sst2"`` or ``"glue/SST-2"`` -> ``"sst2"``; None when it is no task of GLUE."""
    collection, _, name = benchmark.partition("/")
    found = name.lower().replace("-", "").replace("_", "")
    return found if collection == "glue" and found in GLUE_METRICS else None


def averaged_tasks(kind: str) -> tuple[str, ...]:
    """The tasks that an average covers."""
    return tuple(task for task in GLUE_METRICS if kind == "leaderboard" or task != "wnli")


def averaged_metrics(kind: str, task: str) -> tuple[str, ...]:
    """Metrics of the evaluator `glue` that stand for a task in an average: ``score``, or those that papers quote."""
    if kind == "leaderboard":
        return ("score",)
    return GLUE_METRICS[task] if task == "mnli" else GLUE_METRICS[task][:1]


def glue_average(kind: str, tasks: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> GlueAverage | None:
    """An average with its interval, from estimates of different test sets, which are independent [Zou2008]_.

    ``leaderboard`` is the mean of the tasks' scores, every task once [Wang2019]_. ``paper`` is what papers since BERT
    report [Devlin2019]_: WNLI is left out, F1 counts for MRPC and QQP, Spearman's correlation for STS-B, and the two
    parts of MNLI count as two tasks.

    What is uncertain of a task's two columns (MNLI's parts come from the same training runs) is added, on the safe
    side.

    Args:
        kind: one of `AVERAGES`.
        tasks: task -> metric of the evaluator `glue` -> ``value``, ``low`` and ``high``: of a model, or of a gain.

    Returns:
        None where nothing is covered; a task that lacks a metric is missing.
    """
    found = {
        task: [tasks[task][name] for name in averaged_metrics(kind, task)]
        for task in averaged_tasks(kind)
        if task in tasks and all(name in tasks[task] for name in averaged_metrics(kind, task))
    }
    if not found:
        return None
    columns = list(found.values())
    entries = [entry for column in columns for entry in column]
    average = GlueAverage(
        value=sum(entry["value"] for entry in entries) / len(entries),
        tasks=tuple(found),
        missing=tuple(task for task in averaged_tasks(kind) if task not in found),
    )
    if any(entry["low"] is None or entry["high"] is None for entry in entries):
        return average
    below, above = (
        math.hypot(*(sum(entry[end] - entry["value"] for entry in column) for column in columns)) / len(entries)
        for end in ("low", "high")
    )
    return replace(average, low=average.value - below, high=average.value + above)
