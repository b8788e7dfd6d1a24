"""A real table as a problem: the search is restricted to the architectures that were trained and timed.

An observation is the flash accuracy of one replicate, drawn by the seed of the search, with the variance of its
select split; the next replicate of the same architecture shows the other one, and a third the first again: there are
two. (A strategy that asks for three takes it for a new observation; the records rest on that.) The truth is their mean.
Latency is the measured fp32 median.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.architecture import Architecture, Choice
from autodistill.engine.space import build_space
from benchmarks.search.finite_space import FiniteSpace
from benchmarks.search.problems import ACCURACY, FLOPS, LATENCY, PARAMETERS, Problem, true_front
from benchmarks.search.table_files import TABLES, Table, read_table
from benchmarks.search.table_setup import REPLICATES

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray


def usable_rows(table: Table) -> list[int]:
    """Rows with every flash accuracy and a latency."""
    needed = [*(f"flash_accuracy_{replicate}" for replicate in REPLICATES), "fp32_p50_ms"]
    return [row for row, values in enumerate(table.rows) if all(values[name] is not None for name in needed)]


def column(table: Table, rows: Sequence[int], name: str) -> FloatArray:
    """A column's values in the given rows; NaN where there is none."""
    values = (table.rows[row][name] for row in rows)
    return np.array([np.nan if value is None else value for value in values])


def teacher_latency(table: Table, rows: Sequence[int], label: str = "fp32") -> float:
    """The teacher's median in milliseconds: it was timed in turn with every architecture, this is the median."""
    return float(np.median(column(table, rows, f"{label}_p50_ms") / column(table, rows, f"{label}_ratio_to_teacher")))


def table_problem(family: str, folder: Path = TABLES) -> Problem:
    """The problem of a family's table."""
    table = read_table(family, folder)
    rows = usable_rows(table)
    architectures = [table.architecture(row) for row in rows]
    place = {architecture: index for index, architecture in enumerate(architectures)}
    scores = np.stack([column(table, rows, f"flash_accuracy_{replicate}") for replicate in REPLICATES], axis=1)
    metrics = {
        ACCURACY.metric: scores.mean(axis=1),
        LATENCY.metric: column(table, rows, "fp32_p50_ms"),
        PARAMETERS: column(table, rows, "parameters"),
        FLOPS: column(table, rows, "flops"),
    }
    space = FiniteSpace(build_space(family, table.about["space"], table.about["rules"]), architectures)
    examples = int(table.about["data"]["splits"]["select"])

    def truth(asked: Sequence[Architecture]) -> Mapping[str, FloatArray]:
        indices = [place[architecture] for architecture in asked]
        return {name: values[indices] for name, values in metrics.items()}

    def observe(architecture: Architecture, replicate: int, seed: int) -> tuple[float, float]:
        order = np.random.default_rng([seed, int(architecture.digest, 16)]).permutation(len(REPLICATES))
        value = float(scores[place[architecture], order[replicate % len(REPLICATES)]])
        return value, value * (1 - value) / examples

    def nearest(choices: Mapping[str, Choice]) -> Architecture | None:
        return space.nearest(Architecture(family, choices), 1)[0]

    return Problem(
        name=f"table_{family}",
        about=f"real, {len(rows)} architectures of family {family}, one replicate's flash accuracy, fp32 latency",
        space=space,
        truth=truth,
        observe=observe,
        reference=(float(table.about["teacher"]["majority_accuracy"]), teacher_latency(table, rows)),
        front=true_front(metrics[ACCURACY.metric], metrics[LATENCY.metric]),
        nearest=nearest,
        moves=True,
    )
