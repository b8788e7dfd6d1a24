"""Studies replayed from a table with each pruner: what stopping saves, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autodistill.components.pruning import Pruner, PrunerContext, TrialCurve
from autodistill.components.training import RungReport
from autodistill.pareto import hypervolume, non_dominated
from autodistill.registry import default_registry
from benchmarks.search.problems import ACCURACY, FLOPS, LATENCY, OBJECTIVES, PARAMETERS, Problem, minimised
from benchmarks.search.table_files import TABLES, Table, read_table
from benchmarks.search.table_problem import table_problem, usable_rows

#: Trials of a replayed study, as in the comparison of searches.
TRIALS = 80

PRUNERS = ("none", "latency_bands", "learning_curve")


@dataclass
class Study:
    """What a replayed study has done: the table's rows it tried, their curves, examples as a share of a flash run."""

    rows: list[int] = field(default_factory=list)
    curves: list[TrialCurve] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)


def replay_pruning(family: str, seeds: int, folder: Path = TABLES) -> dict[str, Any]:
    """Pruner -> medians and quartiles over seeds."""
    table, problem = read_table(family, folder), table_problem(family, folder)
    registry = default_registry()
    found = {}
    for name in PRUNERS:
        parameters = vars(registry.get("pruner", name).spec.config())
        studies = []
        for seed in range(seeds):
            pruner: Pruner = registry.create("pruner", name, parameters, PrunerContext(OBJECTIVES))
            studies.append(_outcome(problem, replay(table, problem, pruner, seed)))
        keys = studies[0]
        found[name] = {
            "seeds": seeds,
            **{name: value for key in keys for name, value in quartiles(key, [item[key] for item in studies]).items()},
        }
    return found


def quartiles(name: str, values: Sequence[float]) -> dict[str, float]:
    """``NAME_q1``, ``NAME_median`` and ``NAME_q3``."""
    cuts = np.quantile(values, [0.25, 0.5, 0.75])
    return {f"{name}_{cut}": round(float(value), 4) for cut, value in zip(("q1", "median", "q3"), cuts, strict=True)}


def replay(table: Table, problem: Problem, pruner: Pruner, seed: int) -> Study:
    """One study of random architectures, one at a time; replicate 0, whose scores at the rungs the table has."""
    rng = np.random.default_rng(seed)
    usable = usable_rows(table)
    study = Study()
    for row in rng.permutation(usable)[:TRIALS].tolist():
        curve, spent = _trial(table, problem, pruner, row, study.curves)
        study.rows.append(row)
        study.curves.append(curve)
        study.spent.append(spent)
    return study


def _trial(
    table: Table, problem: Problem, pruner: Pruner, row: int, others: Sequence[TrialCurve]
) -> tuple[TrialCurve, float]:
    """Run one trial to its end or to the rung where it is stopped; its curve, and its share of a flash run."""
    architecture, values = table.architecture(row), table.rows[row]
    truth = problem.truth([architecture])
    known = {metric: float(truth[metric][0]) for metric in (LATENCY.metric, PARAMETERS, FLOPS)}
    reports: tuple[RungReport, ...] = ()
    for rung, share in enumerate(pruner.rungs):
        score = float(values[f"rung{round(100 * share)}_accuracy_0"] or np.nan)
        reports = (*reports, RungReport(rung, share, {ACCURACY.metric: score}))
        running = TrialCurve(len(others), architecture, 0, "running", known, reports)
        if pruner.stop_reason(running, others) is not None:
            return TrialCurve(len(others), architecture, 0, "stopped", known, reports), share
    final = {ACCURACY.metric: float(values["flash_accuracy_0"] or np.nan)}
    return TrialCurve(len(others), architecture, 0, "complete", known, reports, final), 1.0


def _outcome(problem: Problem, study: Study) -> dict[str, float]:
    """Share of the examples spent, trials stopped, and what was lost by true values."""
    truth = problem.truth([curve.architecture for curve in study.curves])
    points = minimised(truth[ACCURACY.metric], truth[LATENCY.metric])
    complete = np.array([curve.state == "complete" for curve in study.curves])
    front = non_dominated(points)
    whole = hypervolume(points, problem.corner)
    return {
        "examples_share": float(np.mean(study.spent)),
        "stopped": float((~complete).sum()),
        "hypervolume_kept": hypervolume(points[complete], problem.corner) / whole,
        "front": float(front.sum()),
        "front_stopped": float((front & ~complete).sum()),
    }
