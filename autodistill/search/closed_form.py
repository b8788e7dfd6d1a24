"""What to try next when one objective must be learnt and the others are known: closed form, no sampling of candidates.

Used by the `botorch` strategy. The learnt objective has a Gaussian process; every candidate's expected hypervolume
improvement follows from `autodistill.search.ehvi`, averaged over joint posterior draws of the front, since what has
been observed is noisy. Known objectives enter exactly, or by quadrature where their variance is stated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from autodistill.search.candidates import Pool
from autodistill.search.ehvi import Cells, cells_of, log_ehvi, log_ehvi_bound, log_sum
from autodistill.search.feasibility import log_chances, scaled_bounds
from autodistill.search.surrogates import FeatureMap, Posterior, fit_models
from autodistill.search.view import NothingLearntError, View, sign_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autodistill.components.search import FloatArray, Objective
    from autodistill.search.scales import Scale

# Candidates that are compared under every draw of the front; they are the best under its mean.
SHORTLIST = 512
# Candidates that are compared under its mean; they are the best by an upper bound from the coarse model.
PROMISING = 8192
# Candidates that are compared with another look at what was tried: the best by one measure are among the first by the
# other.
FRESH = 32
# Gauss-Hermite nodes over one known objective with a variance: exact for polynomials up to the ninth degree.
NODES = 5
# An architecture may be on the front when it would be, had it these many standard deviations more than the rest.
PLAUSIBLE = 3.0


@dataclass(frozen=True)
class Choice:
    """What is to be tried: a row of the pool, or another replicate of a row of the view; and what it promises."""

    row: int
    replicate: bool
    log_value: float


@dataclass
class _Front:
    """What has been tried or is being tried: one entry per architecture.

    Args:
        known: ``points x known``, to be maximised.
        inputs: ``points x columns``, features.
        rows: rows of the view, or -1 for what was chosen just now.
        runs: how often each was tried.
    """

    known: FloatArray
    inputs: torch.Tensor
    rows: NDArray[np.intp]
    runs: NDArray[np.intp]
    believed: list[torch.Tensor] = field(default_factory=list)


class ClosedForm:
    """The acquisition of one proposal.

    Args:
        view: of the history; it has exactly one objective to be modelled.
        pool: candidates to fit scales to.
        features: of architectures.
        draws: posterior draws of the front.
        rng: of the draws.

    Raises:
        NothingLearntError: the history cannot carry a model.
    """

    def __init__(self, view: View, pool: Pool, features: FeatureMap, *, draws: int, rng: np.random.Generator) -> None:
        self.view, self.features, self.draws, self.rng = view, features, draws, rng
        self.objective: Objective = view.modelled_objectives[0]
        observed = view.observed()
        inputs = torch.from_numpy(features(view.past))
        names = list(observed)
        self._models = dict(zip(names, fit_models(observed, inputs, features.layout), strict=True))
        self._sign = sign_of(self.objective)
        self._scales = {item.metric: view.known_scale(item.metric, pool) for item in view.known_objectives}
        scale = observed[self.objective.metric].scale
        self._bounds = scaled_bounds(view, observed)
        self._set_reference(pool, scale, observed[self.objective.metric].values)
        self.front = self._front_of(inputs)
        self._believe()

    def _set_reference(self, pool: Pool, scale: Scale, seen: FloatArray) -> None:
        view = self.view
        self._reference = view.reference(self.objective, scale, self._sign * seen)
        known = np.vstack([self._known(pool), self._known(view.past)])
        self._known_reference = np.array(
            [
                view.reference(item, self._scales[item.metric], known[:, column])
                for column, item in enumerate(view.known_objectives)
            ]
        )

    def _front_of(self, inputs: torch.Tensor) -> _Front:
        """One entry per architecture of the space that is complete or pending and breaks no bound."""
        view = self.view
        values = view.values(self.objective.metric)
        usable = view.feasible & view.in_space & ((np.isfinite(values) & view.complete) | view.pending)
        usable &= np.isfinite(self._known(view.past)).all(axis=1)
        groups = view.groups()
        rows = np.unique(groups[usable])
        if not (usable & ~view.pending).any():
            raise NothingLearntError("no feasible trial has a value for every objective")
        runs = np.bincount(groups, minlength=len(groups))[rows]
        waiting = torch.from_numpy(np.flatnonzero(view.pending & view.feasible & view.in_space))
        front = _Front(self._known(view.past)[rows], inputs[torch.from_numpy(rows)], rows, runs)
        if len(waiting):
            front.believed.append(inputs[waiting])
        return front

    def _believe(self) -> None:
        """Posteriors in which what is being tried counts as if its mean had been seen."""
        believed = torch.cat(self.front.believed) if self.front.believed else None
        self._posteriors = {name: Posterior(model.whole, believed) for name, model in self._models.items()}
        self._coarse = {name: Posterior(model.coarse, believed) for name, model in self._models.items()}
        own = self._posteriors[self.objective.metric]
        mean, deviation = own(self.front.inputs)
        self._mean, self._deviation = self._sign * mean, deviation
        self._mean_cells = cells_of(self.front.known, self._mean, self._known_reference, self._reference)
        self._near = plausible = self._plausible()
        draws = self._sign * own.samples(self.front.inputs[torch.from_numpy(plausible)], self.draws, self.rng)
        known = self.front.known[plausible]
        self._cells = [cells_of(known, draw, self._known_reference, self._reference) for draw in draws]

    def _plausible(self) -> NDArray[np.intp]:
        """Entries that may be on the front: not beaten by the pessimistic front even when optimistic themselves."""
        reach = PLAUSIBLE * self._deviation
        cells = cells_of(self.front.known, self._mean - reach, self._known_reference, self._reference)
        optimistic = log_ehvi(cells, self.front.known, self._mean + reach, np.full(len(reach), 1e-6))
        # A millionth of a standard deviation gains a log of about -14 where it touches the front and -inf or so below.
        rows = np.flatnonzero(optimistic > -50.0)
        return rows if len(rows) else np.array([int(np.argmax(self._mean))])

    # -- values --------------------------------------------------------------------------------------------------

    def _known(self, pool: Pool) -> FloatArray:
        """``n x known`` on scales, to be maximised."""
        columns = [sign_of(item) * self._scales[item.metric](pool.known[item.metric]) for item in self._known_items]
        return np.stack(columns, axis=1) if columns else np.empty((len(pool), 0))

    @property
    def _known_items(self) -> list[Objective]:
        return self.view.known_objectives

    def screen(self, pool: Pool) -> FloatArray:
        """Log expected improvement of the front's mean, of every candidate of a pool; -inf where nothing is known."""
        inputs = torch.from_numpy(self.features(pool))
        return self._values(pool, inputs, [self._mean_cells])

    def choose(self, pool: Pool, n: int, replicates: int) -> list[Choice]:
        """Up to ``n`` choices, best first, each in the light of those before it.

        Args:
            pool: candidates, none of which was tried.
            n: how many.
            replicates: runs of one architecture at most; 1 never asks for another.

        Raises:
            NothingLearntError: no candidate can add to the hypervolume, and no other look at what was tried can.
        """
        inputs = torch.from_numpy(self.features(pool))
        chosen: list[Choice] = []
        taken = np.zeros(len(pool), dtype=bool)
        listed = self._shortlist(pool, inputs, max(SHORTLIST, 4 * n))
        short, short_inputs = pool.take(listed), inputs[torch.from_numpy(listed)]
        for step in range(n):
            if step:
                self._believe()
            values = np.where(taken[listed], -np.inf, self._values(short, short_inputs, self._cells))
            best = int(np.argmax(values))
            again = self._replicate(short, short_inputs, values, replicates)
            if again is not None:
                chosen.append(again)
                self._take_again(again.row)
            elif not np.isneginf(values[best]):
                chosen.append(Choice(int(listed[best]), False, float(values[best])))
                taken[listed[best]] = True
                self._take(short.take(np.array([best])), short_inputs[[best]])
            elif chosen:
                break
            else:
                raise NothingLearntError("no candidate can add to the hypervolume")
        return chosen

    def _shortlist(self, pool: Pool, inputs: torch.Tensor, count: int) -> NDArray[np.intp]:
        """Rows of the candidates that promise most, in rising order."""
        rows = np.arange(len(pool))
        if len(rows) > PROMISING:
            mean, deviation = self._coarse[self.objective.metric](inputs)
            known = np.nan_to_num(self._known(pool), nan=-np.inf)
            bound = log_ehvi_bound(self._mean_cells, known, self._sign * mean, deviation)
            bound += self._log_feasible(inputs, self._coarse)
            rows = np.sort(np.argsort(-bound, kind="stable")[:PROMISING])
        if len(rows) <= count:
            return rows
        values = self._values(pool.take(rows), inputs[torch.from_numpy(rows)], [self._mean_cells])
        return np.sort(rows[np.argsort(-values, kind="stable")[:count]])

    def _take(self, pool: Pool, inputs: torch.Tensor) -> None:
        front = self.front
        front.known = np.vstack([front.known, self._known(pool)])
        front.inputs = torch.cat([front.inputs, inputs])
        front.rows, front.runs = np.append(front.rows, -1), np.append(front.runs, 1)
        front.believed.append(inputs)

    def _take_again(self, row: int) -> None:
        entry = np.flatnonzero(self.front.rows == row)
        self.front.runs[entry] += 1
        self.front.believed.append(self.front.inputs[torch.from_numpy(entry)])

    def _values(self, pool: Pool, inputs: torch.Tensor, fronts: list[Cells]) -> FloatArray:
        """Log of the improvement averaged over fronts and over what is uncertain of known objectives."""
        mean, deviation = self._posteriors[self.objective.metric](inputs)
        return self._log_improvements(pool, inputs, mean, deviation, fronts)

    def _log_improvements(
        self, pool: Pool, inputs: torch.Tensor, mean: FloatArray, deviation: FloatArray, fronts: list[Cells]
    ) -> FloatArray:
        """The same, where the learnt objective is distributed as given; -inf where a known one is not known."""
        least = self._least()
        total = []
        for known, log_weight in self._nodes(pool):
            # Beyond the reference: what is not known adds nothing.
            told = np.isfinite(known).all(axis=1, keepdims=True)
            safe = np.where(told, known, self._known_reference - 1.0)
            values = [log_ehvi(cells, safe, self._sign * mean, deviation, least) for cells in fronts]
            total.append(log_sum(np.stack(values, axis=1)) - math.log(len(fronts)) + log_weight)
        return log_sum(np.stack(total, axis=1)) + self._log_feasible(inputs, self._posteriors)

    def _nodes(self, pool: Pool) -> list[tuple[FloatArray, float]]:
        """Known objectives at quadrature nodes with the logarithms of their weights; one node where all are exact."""
        known = self._known(pool)
        spreads = []
        for column, item in enumerate(self._known_items):
            spread = self._scales[item.metric].deviations(pool.known[item.metric], pool.variances[item.metric])
            if (spread > 0).any():
                spreads.append((column, spread))
        if not spreads:
            return [(known, 0.0)]
        found = []
        for steps, log_weight in _nodes_of(len(spreads)):
            moved = known.copy()
            for step, (column, spread) in zip(steps, spreads, strict=True):
                moved[:, column] += step * spread
            found.append((moved, log_weight))
        return found

    def _least(self) -> float | None:
        """A lower bound on the learnt objective itself, to be maximised."""
        own = [item for item in self._bounds if item.metric == self.objective.metric and item.sign * self._sign < 0]
        return max((self._sign * item.bound for item in own), default=None)

    def _log_feasible(self, inputs: torch.Tensor, posteriors: Mapping[str, Posterior]) -> FloatArray:
        """Log probability that the bounds on learnt metrics hold, but for what `_least` has in the improvement."""
        own = self.objective.metric
        others = [bound for bound in self._bounds if bound.metric != own or bound.sign * self._sign > 0]
        return log_chances(others, posteriors, inputs)

    # -- replicates ----------------------------------------------------------------------------------------------

    def _replicate(self, pool: Pool, inputs: torch.Tensor, values: FloatArray, most: int) -> Choice | None:
        """Another run of a tried architecture, where knowing it better is worth more than the best new candidate.

        Both are valued alike: by how much one more observation is expected to raise the hypervolume of the front of
        posterior means (a knowledge gradient with everything else held fixed). Without noise a second look at an
        architecture changes nothing, and none is asked for.
        """
        # What can hardly be on the front gains as little from being known better.
        entries = np.array([one for one in self._near if self.front.rows[one] >= 0 and self.front.runs[one] < most])
        if most < 2 or not len(entries):
            return None
        gains = np.array([self._worth_of_another_look(int(entry)) for entry in entries])
        best = int(np.argmax(gains))
        fresh = self._worth_of_a_first_look(pool, inputs, values)
        if not np.isfinite(gains[best]) or gains[best] <= fresh:
            return None
        return Choice(int(self.front.rows[entries[best]]), True, float(gains[best]))

    def _worth_of_a_first_look(self, pool: Pool, inputs: torch.Tensor, values: FloatArray) -> float:
        rows = np.argsort(-values, kind="stable")[:FRESH]
        best, where = pool.take(rows), inputs[torch.from_numpy(rows)]
        own = self._posteriors[self.objective.metric]
        mean, deviation = own(where)
        return float(self._log_improvements(best, where, mean, own.moves(deviation), [self._mean_cells]).max())

    def _worth_of_another_look(self, entry: int) -> float:
        """Log of the expected rise of the hypervolume over what the entry's mean adds already."""
        others = np.delete(np.arange(len(self._mean)), entry)
        cells = cells_of(self.front.known[others], self._mean[others], self._known_reference, self._reference)
        known, mean = self.front.known[[entry]], self._mean[[entry]]
        moved = self._posteriors[self.objective.metric].moves(self._deviation[[entry]])
        with np.errstate(divide="ignore"):
            rise = log_ehvi(cells, known, mean, moved, self._least())[0]
            sure = log_ehvi(cells, known, mean, moved * 1e-9, self._least())[0]  # what it adds with its mean as it is
        if rise <= sure:
            return -math.inf
        allowed = self._log_feasible(self.front.inputs[[entry]], self._posteriors)[0]
        return float(rise + np.log(-np.expm1(sure - rise)) + allowed)


def _nodes_of(dimensions: int) -> list[tuple[tuple[float, ...], float]]:
    """Nodes over one or two independent standard normal numbers, with the logarithms of their weights.

    Two, because one of three objectives is learnt. Over two numbers the centre and two nodes on either axis, exact for
    polynomials up to the third degree (and the fifth in one number alone): a product of one-dimensional nodes would
    cost five times as much.
    """
    if dimensions == 1:
        positions, weights = np.polynomial.hermite_e.hermegauss(NODES)
        logs = np.log(weights / weights.sum())
        return [((float(position),), float(log)) for position, log in zip(positions, logs, strict=True)]
    reach = math.sqrt(3.0)
    axes = ((-reach, 0.0), (reach, 0.0), (0.0, -reach), (0.0, reach))
    return [((0.0, 0.0), math.log(1.0 / 3.0)), *((axis, math.log(1.0 / 6.0)) for axis in axes)]
