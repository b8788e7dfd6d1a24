"""Pruning: the contract between the engine and a pruner, which stops hopeless flash runs at a rung.

A pruner is a pure function of (objectives, constraints, the trial's learning curve, the other trials' curves): it
keeps no hidden state, so that a study that was killed decides the same again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from autodistill.components.architecture import Architecture
from autodistill.components.search import Constraint, Objective
from autodistill.components.training import RungReport


@dataclass(frozen=True)
class PrunerContext:
    """What a pruner is built from.

    Args:
        objectives: the study's, at least one. Those whose metric is in `TrialCurve.known` are known before training,
            the others are scored at rungs.
        constraints: a trial that breaks one can neither be on the front nor be a reason to stop another.
    """

    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()


@dataclass(frozen=True)
class TrialCurve:
    """A trial as a pruner sees it: what was known before training, and its scores along the flash run.

    Args:
        trial: its number.
        architecture: what is trained.
        replicate: 0 for the first trial of the architecture, 1 for the next, ...
        state: ``running``, ``complete`` or ``stopped``; trials that were infeasible or failed are not shown.
        known: metric -> value known before training (parameters, FLOPs, latency), in the metric's unit.
        rungs: scores on the select split at the pruner's rungs, in their order; a metric may be NaN or missing.
        final: metrics on the select split at the end of the flash run; empty unless ``complete``.
    """

    trial: int
    architecture: Architecture
    replicate: int
    state: Literal["running", "complete", "stopped"]
    known: Mapping[str, float] = field(default_factory=dict)
    rungs: tuple[RungReport, ...] = ()
    final: Mapping[str, float] = field(default_factory=dict)

    def at(self, rung: int) -> RungReport | None:
        """The report at a rung, by its index; None when the trial has not reached it."""
        return next((report for report in self.rungs if report.rung == rung), None)

    def value(self, metric: str) -> float:
        """A metric that is known, else at the end of the flash run; NaN when it is neither."""
        return float(self.known.get(metric, self.final.get(metric, math.nan)))


class Pruner(Protocol):
    """Stops hopeless flash runs at a rung; built as ``target(context: PrunerContext, **parameters)``."""

    #: Shares of a flash run, rising in (0, 1), at which every trial is scored and may be stopped; () = never asked.
    rungs: tuple[float, ...]

    def stop_reason(self, trial: TrialCurve, others: Sequence[TrialCurve]) -> str | None:
        """Why the trial is to be stopped, in one sentence for people, or None to go on.

        Called in the process of the trial whenever it has reached a rung, for trials of the search only: baselines,
        full runs and further replicates of an architecture are never asked about. The engine stores the sentence with
        the trial. Must be deterministic in its arguments, and must not depend on the order of ``others``.

        Args:
            trial: the running trial; the last of its rungs is the one it has just reached.
            others: every other trial of the study that began training, pending ones and replicates included.
        """
        ...
