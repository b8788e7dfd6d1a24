"""Which trial to train in full next: the largest expected gain of full-fidelity hypervolume for its cost.

A full score is taken to be the flash score of the model of the search, moved by a shift and a slope that all trials
share, plus a deviation of the trial's own: a linear model over (architecture, fidelity) with normal priors, updated in
closed form after every full run. So the first full runs tell how much flash understates, and whether strong trials
gain more than weak ones; and trials that flash could not tell apart are told apart by their model, not by luck.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from autodistill.components.search import History, SearchContext
from autodistill.search.acquisition import isolated
from autodistill.search.candidates import Candidates
from autodistill.search.ehvi import cells_of, log_ehvi
from autodistill.search.scales import Scale, fenced
from autodistill.search.surrogates import NUMERICAL_ERRORS, Posterior, fit_model
from autodistill.search.view import View, reference_value, sign_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autodistill.components.search import FloatArray

# Below so many trials a model would only blur what was seen.
LEAST_TRIALS = 8
# Priors in standard deviations of the flash scores. A full run may gain two of them over its flash score; strong trials
# may gain or lose a third of their lead; flash and full rankings differ by about a third of the spread.
SHIFT, SLOPE, OWN = 2.0, 0.3, 0.3


@dataclass(frozen=True)
class Predicted:
    """Predictions for some trials, on the scale of the flash scores, to be maximised.

    Args:
        mean: one per trial.
        deviation: one per trial.
    """

    mean: FloatArray
    deviation: FloatArray


class Promotion:
    """Chooses trials for the full recipe, one at a time.

    Args:
        context: of the search; its first objective is what flash estimates, the others are taken as measured.
        history: what the search has seen; one row per trial.
        rows: rows that may be chosen: complete, feasible, in the space, one per architecture, at least one.
        means: the history with the means over replicates, which architectures count for; by default as it is. The
            model is fitted to the history itself: it infers the noise from what replicates differ by.
    """

    def __init__(
        self, context: SearchContext, history: History, rows: Collection[int], means: History | None = None
    ) -> None:
        self.context, self.history, self.means = context, history, means or history
        self.rows: NDArray[np.intp] = np.array(sorted(rows), dtype=np.intp)
        self.objective = context.objectives[0]
        self._sign = sign_of(self.objective)
        values = np.asarray(self.means.metrics[self.objective.metric], dtype=np.float64)
        values = fenced(self.objective.metric, values, self._sign)
        self._scale = Scale.fit(self.objective.metric, values[self.rows])
        self.flash = self._at_flash(values)
        self._other_scales = [
            Scale.fit(item.metric, np.asarray(self.means.metrics[item.metric], dtype=np.float64)[self.rows])
            for item in context.objectives[1:]
        ]
        self._others = self._other_objectives()
        # Metrics whose values are those that the study's reference point is about.
        self._comparable = context.known.metrics | context.measured | {self.objective.metric}

    def _at_flash(self, values: FloatArray) -> Predicted:
        """Flash scores as the search's model sees them, which regress lucky ones; as they are where there are few."""
        told = self.means.variances.get(self.objective.metric)
        seen = self._sign * self._scale(values[self.rows])
        variances = np.zeros(len(self.rows)) if told is None else self._scale.variances(values, told)[self.rows]
        plain = Predicted(seen, np.sqrt(np.nan_to_num(variances)) + 1e-6)
        view = View(self.context, Candidates(self.context), self.history)
        observed = view.observe(self.objective.metric)
        if observed is None or len(observed.rows) < LEAST_TRIALS or np.ptp(observed.values) == 0:
            return plain
        features = view.feature_map(view.past, None, sizes=True)
        inputs = torch.from_numpy(features(view.past))
        position = {int(row): index for index, row in enumerate(view.rows)}
        wanted = torch.tensor([position[int(row)] for row in self.rows])
        rows = torch.from_numpy(observed.rows)
        try:
            with isolated(self.context.seed % 2**31):
                model = fit_model(inputs[rows], observed.values, observed.noise, features.layout, observed.doubt)
                mean, deviation = Posterior(model.whole)(inputs[wanted])
        except NUMERICAL_ERRORS:
            return plain
        # From the scale of all observations to that of the rows that may be chosen.
        own = observed.scale
        plainly = mean * own.deviation + own.mean
        ratio = own.unit / self._scale.unit
        centred = plainly + np.log(ratio) if own.log else plainly * ratio
        factor = own.deviation * (1.0 if own.log else ratio) / self._scale.deviation
        return Predicted(self._sign * (centred - self._scale.mean) / self._scale.deviation, deviation * factor)

    def _other_objectives(self) -> FloatArray:
        """``rows x others`` as measured, on scales, to be maximised."""
        columns = [
            sign_of(item) * scale(np.asarray(self.means.metrics[item.metric], dtype=np.float64)[self.rows])
            for item, scale in zip(self.context.objectives[1:], self._other_scales, strict=True)
        ]
        return np.stack(columns, axis=1) if columns else np.empty((len(self.rows), 0))

    def _reference(self, mean: FloatArray, own: bool = False) -> FloatArray:
        """The study's reference point, to be maximised; where none is fixed or beaten, a bit beyond the worst trial.

        A quality's is fixed for full runs. Of the first objective full scores are predicted; another quality is only
        known from flash, where most or all trials may lie below it.

        Args:
            mean: predicted full scores.
            own: take it beyond the worst trial in all but the first objective, so that every trial lies within.
        """
        comparable = {self.objective.metric} if own else self._comparable
        fixed = {metric: value for metric, value in self.context.reference.items() if metric in comparable}
        columns = zip(self.context.objectives, [self._scale, *self._other_scales], [mean, *self._others.T], strict=True)
        return np.array(
            [reference_value(item, scale, seen, fixed.get(item.metric, np.nan)) for item, scale, seen in columns]
        )

    def at_full(self, full: Mapping[int, float]) -> Predicted:
        """What full runs would score, given those that have been made (row -> score in the metric's unit)."""
        flash = self.flash
        design = np.stack([np.ones(len(self.rows)), flash.mean - flash.mean.mean()], axis=1)
        prior = np.diag([SHIFT**2, SLOPE**2])
        # How each trial's full score varies beyond shift and slope: what flash leaves open, and its own deviation.
        own = flash.deviation**2 + OWN**2
        done = np.flatnonzero(np.isin(self.rows, list(full)))
        weight, covariance = np.zeros(2), prior
        if len(done):
            scores = self._sign * self._scale(np.array([full[int(row)] for row in self.rows[done]]))
            known = design[done]
            inner = known @ prior @ known.T + np.diag(own[done])
            lift = prior @ known.T @ np.linalg.inv(inner)
            weight = lift @ (scores - flash.mean[done])
            covariance = prior - lift @ known @ prior
        mean = flash.mean + design @ weight
        deviation = np.sqrt(np.einsum("ni,ij,nj->n", design, covariance, design) + own)
        if len(done):
            mean[done], deviation[done] = scores, 1e-6
        return Predicted(mean, deviation)

    def first(self, margin: float, failed: Collection[int] = ()) -> int | None:
        """The row to begin with: best in the first objective, or with a margin the best in the second (the fastest) of
        those that are nearly as good.

        Args:
            margin: share of the best predicted score, in the metric's unit, that may be given up; >= 0.
            failed: rows that are left out, because their run has failed already.

        Returns:
            None when every row has failed.
        """
        left = np.flatnonzero(~np.isin(self.rows, list(failed)))
        if not len(left):
            return None
        mean = self.flash.mean
        best = int(left[np.argmax(mean[left])])
        if margin <= 0:
            return int(self.rows[best])
        plain = self._plain(mean)
        close = left[np.abs(plain[left] - plain[best]) <= margin * abs(plain[best])]
        fastest = np.argmax(self._others[close, 0]) if self._others.shape[1] else np.argmax(mean[close])
        return int(self.rows[close[int(fastest)]])

    def _plain(self, signed: FloatArray) -> FloatArray:
        """From the scale, to be maximised, back to the metric's unit."""
        flat = self._sign * signed * self._scale.deviation + self._scale.mean
        return np.asarray((np.exp(flat) if self._scale.log else flat) * self._scale.unit)

    def next(
        self, full: Mapping[int, float], taken: Collection[int], costs: FloatArray, failed: Collection[int] = ()
    ) -> int | None:
        """The row whose full run is expected to gain most for its cost; None when none is left.

        Where all that are left lie beyond the study's reference point (`beyond`), so that none can gain, they are
        compared from one beyond the worst trial: full runs that were asked for go to the best there is.

        Args:
            full: row -> full score of the runs that have been made.
            taken: rows that were chosen already, whether or not their run has ended.
            costs: per row of the history, in any unit, > 0; NaN where it is not known.
            failed: those of ``taken`` whose run has failed: they are not chosen again, and add nothing to the front.
        """
        left = np.flatnonzero(~np.isin(self.rows, list(taken)))
        if not len(left):
            return None
        predicted = self.at_full(full)
        chosen = np.flatnonzero(np.isin(self.rows, list(set(taken) - set(failed))))
        gains = self._log_gains(predicted, chosen, left, self._reference(predicted.mean))
        if np.isneginf(gains).all():
            gains = self._log_gains(predicted, chosen, left, self._reference(predicted.mean, own=True))
        price = np.log(np.asarray(costs, dtype=np.float64)[self.rows[left]])
        worth = gains - np.nan_to_num(price, nan=float(np.nanmean(price)) if np.isfinite(price).any() else 0.0)
        return int(self.rows[left[int(np.argmax(worth))]])

    def _log_gains(
        self, predicted: Predicted, chosen: NDArray[np.intp], left: NDArray[np.intp], reference: FloatArray
    ) -> FloatArray:
        """Log of what each row that is left is expected to add to the front of the chosen ones."""
        cells = cells_of(self._others[chosen], predicted.mean[chosen], reference[1:], float(reference[0]))
        return log_ehvi(cells, self._others[left], predicted.mean[left], predicted.deviation[left])

    def beyond(self, row: int) -> tuple[str, ...]:
        """Metrics of the objectives in which a row is no better than the study's reference point.

        With any of them it adds no hypervolume, whatever its full run scores. The first objective's is left to be seen.
        """
        place = int(np.searchsorted(self.rows, row))
        inside = self._others[place] > self._reference(self.flash.mean)[1:]
        others = zip(self.context.objectives[1:], inside.tolist(), strict=True)
        return tuple(item.metric for item, within in others if not within)
