"""Full recipes replayed from a table: which architecture gets one next, and what the full scores then show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autodistill.components.search import History
from autodistill.pareto import hypervolume
from autodistill.search.promotion import Promotion
from benchmarks.search.harness import Trials
from benchmarks.search.problems import ACCURACY, LATENCY, Problem, minimised
from benchmarks.search.replay_pruning import quartiles
from benchmarks.search.table_files import TABLES, read_table
from benchmarks.search.table_problem import column, table_problem, usable_rows

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

#: Full recipes of one study.
PROMOTIONS = 6

#: (history, rows that may be chosen, row -> full score, generator, costs) -> rows in the order of their promotion.
Rule = Callable[[Problem, History, Sequence[int], Mapping[int, float], np.random.Generator, "FloatArray"], list[int]]


def replay_promotion(family: str, seeds: int, folder: Path = TABLES) -> dict[str, Any]:
    """Rule -> normalised hypervolume of the full scores after 1, 2, ... promotions over seeds; {} without full runs."""
    table, problem = read_table(family, folder), table_problem(family, folder)
    usable = usable_rows(table)
    full = {
        index: float(value)
        for index, value in enumerate(column(table, usable, "full_accuracy_0"))
        if np.isfinite(value)
    }
    if len(full) < PROMOTIONS:
        return {}
    costs = column(table, usable, "flops")
    curves: dict[str, list[list[float]]] = {name: [] for name in RULES}
    for seed in range(seeds):
        history = _flash(problem, seed)
        for name, rule in RULES.items():
            order = rule(problem, history, sorted(full), full, np.random.default_rng(seed), costs)
            curves[name].append(_curve(problem, history, full, order))
    return {
        name: {
            "seeds": seeds,
            "candidates": len(full),
            **{
                key: value
                for count in range(PROMOTIONS)
                for key, value in quartiles(f"after_{count + 1}", [curve[count] for curve in found]).items()
            },
        }
        for name, found in curves.items()
    }


def _flash(problem: Problem, seed: int) -> History:
    """Every architecture of the table, one replicate each."""
    tried = Trials()
    for architecture in problem.space.enumerate():
        tried.add(problem, architecture, seed)
    return tried.history()


def _curve(problem: Problem, history: History, full: Mapping[int, float], order: Sequence[int]) -> list[float]:
    latency = history.metrics[LATENCY.metric]
    rows = sorted(full)
    everything = minimised(np.array([full[row] for row in rows]), latency[rows])
    best = hypervolume(everything, problem.corner)
    chosen = [minimised(np.array([full[row]]), latency[[row]])[0] for row in order]
    return [hypervolume(np.array(chosen[: count + 1]), problem.corner) / best for count in range(PROMOTIONS)]


def one_at_a_time(
    problem: Problem,
    history: History,
    rows: Sequence[int],
    full: Mapping[int, float],
    rng: np.random.Generator,
    costs: FloatArray,
) -> list[int]:
    """The project's: updated after every full run."""
    return _promoted(problem, history, rows, full, costs, told=True)


def all_at_once(
    problem: Problem,
    history: History,
    rows: Sequence[int],
    full: Mapping[int, float],
    rng: np.random.Generator,
    costs: FloatArray,
) -> list[int]:
    """The same model, but it never learns a full score."""
    return _promoted(problem, history, rows, full, costs, told=False)


def _promoted(
    problem: Problem,
    history: History,
    rows: Sequence[int],
    full: Mapping[int, float],
    costs: FloatArray,
    told: bool,
) -> list[int]:
    promotion = Promotion(problem.context(0), history, rows)
    order = [row for row in [promotion.first(0.0)] if row is not None]
    while len(order) < PROMOTIONS:
        chosen = promotion.next({row: full[row] for row in order} if told else {}, order, costs)
        if chosen is None:
            break
        order.append(chosen)
    return order


def by_flash_score(
    problem: Problem,
    history: History,
    rows: Sequence[int],
    full: Mapping[int, float],
    rng: np.random.Generator,
    costs: FloatArray,
) -> list[int]:
    """The best flash scores."""
    return sorted(rows, key=lambda row: -history.metrics[ACCURACY.metric][row])[:PROMOTIONS]


def by_chance(
    problem: Problem,
    history: History,
    rows: Sequence[int],
    full: Mapping[int, float],
    rng: np.random.Generator,
    costs: FloatArray,
) -> list[int]:
    """Any."""
    return [int(row) for row in rng.permutation(list(rows))[:PROMOTIONS]]


RULES: Mapping[str, Rule] = {
    "one_at_a_time": one_at_a_time,
    "all_at_once": all_at_once,
    "by_flash_score": by_flash_score,
    "by_chance": by_chance,
}
