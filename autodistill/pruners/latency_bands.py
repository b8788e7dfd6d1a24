"""Successive halving within bands of equal latency.

Asynchronous successive halving [Li2018]_ lets a trial go on at a rung when it is among the best ``1 / eta`` of those
that have reached it so far, without waiting for others. With several objectives that would leave the small models
alone, which converge fast and are ahead at every early rung. So, as there, a trial is compared with what has reached
the same rung so far; but only with trials about as fast as itself, by non-dominated rank where several objectives are
scored; and it is stopped only when a trial that reached the rung also dominates it, known objectives included.

.. [Li2018] L. Li et al., A system for massively parallel hyperparameter tuning, arXiv 1810.05934.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.pruning import PrunerContext, TrialCurve
from autodistill.pareto import non_dominated
from autodistill.pruners.orientation import (
    breaks,
    front_ranks,
    known_point,
    scored_point,
    split_objectives,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autodistill.pruners.orientation import FloatArray


class LatencyBandsPruner:
    """Stops a trial that is in the worst part of its latency band and dominated.

    The bands are quantiles, among the trials that reached the rung, of the sum of the known objectives in logs: no
    unit matters. Without a known objective there is one band. A trial whose own score or known objective is NaN is
    not judged, and is no reason to stop another.

    Args:
        context: objectives and constraints.
        rungs: shares of a flash run, rising in (0, 1).
        bands: number of bands, >= 1.
        reduction_factor: eta > 1; the best ``1 / eta`` of a band go on.
        min_trials: trials of the band that must have reached the rung, the trial itself included, >= 2.
        grace_trials: complete trials before any is stopped, >= 1.
    """

    def __init__(
        self,
        context: PrunerContext,
        *,
        rungs: Sequence[float],
        bands: int,
        reduction_factor: float,
        min_trials: int,
        grace_trials: int,
    ) -> None:
        self.context = context
        self.rungs = tuple(rungs)
        self.bands = bands
        self.reduction_factor = reduction_factor
        self.min_trials = min_trials
        self.grace_trials = grace_trials

    def stop_reason(self, trial: TrialCurve, others: Sequence[TrialCurve]) -> str | None:
        """Compare with the trials of the band that reached the rung, then look for one that dominates."""
        known, scored = split_objectives(self.context.objectives, trial)
        if not trial.rungs or not scored or sum(item.state == "complete" for item in others) < self.grace_trials:
            return None
        report = trial.rungs[-1]
        rivals = [trial, *(item for item in others if not breaks(item, self.context.constraints))]
        reports = [item.at(report.rung) for item in rivals]
        scores = [scored_point({} if item is None else item.metrics, scored) for item in reports]
        points = np.array([[*known_point(item, known), *score] for item, score in zip(rivals, scores, strict=True)])
        usable = ~np.isnan(points).any(axis=1)
        if not usable[0]:
            return None
        points = points[usable]
        going_on = np.array([item.state != "stopped" for item in rivals])[usable]
        band = _band(points[:, : len(known)].sum(axis=1), self.bands)
        ranks = front_ranks(points[band][:, len(known) :])
        better = ranks < ranks[0]  # the trial itself is the first row of the band
        if len(band) < self.min_trials or better.sum() < len(band) / self.reduction_factor:
            return None
        if not going_on[band][better].any() or non_dominated(points)[0]:
            return None
        return (
            f"stopped at {100 * report.share:.0f} % of the flash run: {better.sum()} of the {len(band) - 1} other "
            f"trials of its latency band were ahead, and it was dominated."
        )


def _band(coordinates: FloatArray, bands: int) -> NDArray[np.intp]:
    """Rows in the band of the first one, itself first; equal coordinates share a band.

    Args:
        coordinates: ``n``, any unit.
        bands: how many parts of about ``n / bands`` trials.
    """
    below = np.searchsorted(np.sort(coordinates), coordinates, side="left")
    number = below * bands // len(coordinates)
    return np.flatnonzero(number == number[0])
