"""The tasks of GLUE: official metrics, what of them makes up a task's score, and the averages over tasks.

.. [Wang2019] GLUE: a multi-task benchmark and analysis platform for natural language understanding, arXiv 1804.07461.
.. [Devlin2019] BERT, arXiv 1810.04805: the average of its Table 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class GlueAverage:
    """An average over tasks.

    Args:
        value: the average, in the unit of the scores.
        tasks: what it covers.
        missing: tasks of GLUE that it should cover and does not.
    """

    value: float
    tasks: tuple[str, ...]
    missing: tuple[str, ...]


def task_of(benchmark: str) -> str | None:
    """``"glue/sst2"`` or ``"glue/SST-2"`` -> ``"sst2"``; None when it is no task of GLUE."""
    collection, _, name = benchmark.partition("/")
    found = name.lower().replace("-", "").replace("_", "")
    return found if collection == "glue" and found in GLUE_METRICS else None


def task_score(task: str, metrics: Mapping[str, float]) -> float:
    """The mean of a task's metrics, as on the leaderboard [Wang2019]_; those that are missing are left out.

    Raises:
        ValueError: none of the task's metrics is there.
    """
    values = [metrics[name] for name in GLUE_METRICS[task] if name in metrics]
    if not values:
        raise ValueError(f"The score of {task} needs one of {', '.join(GLUE_METRICS[task])}, got {sorted(metrics)}.")
    return sum(values) / len(values)


def leaderboard_average(metrics: Mapping[str, Mapping[str, float]]) -> GlueAverage:
    """The mean of the tasks' scores, every task once [Wang2019]_.

    Args:
        metrics: task -> metric -> value.

    Raises:
        ValueError: no task.
    """
    return _average({task: [task_score(task, found)] for task, found in metrics.items()}, tuple(GLUE_METRICS))


def paper_average(metrics: Mapping[str, Mapping[str, float]]) -> GlueAverage:
    """The average that papers since BERT report [Devlin2019]_.

    WNLI is left out, F1 counts for MRPC and QQP, Spearman's correlation for STS-B, and the two parts of MNLI count as
    two tasks.

    Args:
        metrics: task -> metric -> value.

    Raises:
        ValueError: no task.
    """
    counted = tuple(task for task in GLUE_METRICS if task != "wnli")
    columns = {
        task: [metrics[task][name] for name in (GLUE_METRICS[task] if task == "mnli" else GLUE_METRICS[task][:1])]
        for task in counted
        if task in metrics
    }
    return _average(columns, counted)


def _average(columns: Mapping[str, Sequence[float]], expected: Sequence[str]) -> GlueAverage:
    values = [value for column in columns.values() for value in column]
    if not values:
        raise ValueError("An average over GLUE needs at least one of its tasks.")
    covered = tuple(task for task in expected if task in columns)
    return GlueAverage(sum(values) / len(values), covered, tuple(task for task in expected if task not in columns))
