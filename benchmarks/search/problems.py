"""A benchmark problem: a space, what is observed, what is known, and the true front that a search is judged by.

Accuracy is to be maximised and must be observed, with noise or without. Latency is to be minimised and is known
before training, as it is in a study: `SearchContext.known` answers it, and the sizes of a model, for every
architecture. Searches are judged by the hypervolume, in (accuracy, logarithm of the latency) as the engine has it, of
the true values of everything that was tried, relative to that of the true front; and by that of the true values of the
architectures that are non-dominated by what was observed, which is what a user would take from a noisy search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.architecture import Architecture, Choice
from autodistill.components.search import EarlierStudy, Known, Objective, SearchContext, SearchSpace
from autodistill.engine.analytics import hypervolume_regret
from autodistill.pareto import hypervolume, non_dominated

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

ACCURACY = Objective("quality", "classification.accuracy", "maximize")
LATENCY = Objective("latency", "onnxruntime.p50_ms", "minimize")
OBJECTIVES = (ACCURACY, LATENCY)

#: Metrics known before training beside the latency, as the evaluator `size` answers them.
PARAMETERS, FLOPS = "size.parameters", "size.flops"

#: With parameters as the third.
THREE_OBJECTIVES = (*OBJECTIVES, Objective("parameters", PARAMETERS, "minimize"))


@dataclass(frozen=True, slots=True)
class Observation:
    """What one trial tells: metric -> value, metric -> variance of that value."""

    metrics: Mapping[str, float]
    variances: Mapping[str, float]


@dataclass(frozen=True)
class Problem:
    """One problem.

    Args:
        name: what records call it.
        about: one line for the table.
        space: the architectures.
        truth: metric -> true value of each architecture: accuracy, latency, parameters, FLOPs.
        observe: (architecture, replicate, seed of the search) -> accuracy as a trial would show it, its variance.
        reference: (accuracy, latency in milliseconds) that the hypervolume is measured against.
        front: true front, ``n x 2``: accuracy, latency.
        nearest: choices of the whole grid -> the architecture of the space that is evaluated for them, or None.
        moves: whether that may be another one than was chosen.
        objectives: of the search; its hypervolume is that of the first two.
    """

    name: str
    about: str
    space: SearchSpace
    truth: Callable[[Sequence[Architecture]], Mapping[str, FloatArray]]
    observe: Callable[[Architecture, int, int], tuple[float, float]]
    reference: tuple[float, float]
    front: FloatArray
    nearest: Callable[[Mapping[str, Choice]], Architecture | None]
    moves: bool = False
    objectives: tuple[Objective, ...] = OBJECTIVES

    def context(
        self,
        seed: int,
        *,
        known: bool | str = True,
        factors: Mapping[str, float] | None = None,
        earlier: Sequence[EarlierStudy] = (),
    ) -> SearchContext:
        """What a strategy is built from.

        Args:
            seed: of the search.
            known: whether anything is known before training; ``"sizes"``: parameters and FLOPs alone, while latency is
                measured before training, as the backends do that run a model.
            factors: metric -> factor on its values, for changes of unit.
            earlier: studies to learn from.
        """
        names = frozenset({PARAMETERS, FLOPS} if known == "sizes" else {PARAMETERS, FLOPS, LATENCY.metric})
        answer: Known = KnownTruth(self, factors or {}, names) if known else NothingKnown()
        scale = {item.metric: (factors or {}).get(item.metric, 1.0) for item in OBJECTIVES}
        reference = {
            item.metric: scale[item.metric] * value for item, value in zip(OBJECTIVES, self.reference, strict=True)
        }
        return SearchContext(
            self.space,
            self.objectives,
            (),
            answer,
            seed,
            reference=reference,
            earlier=tuple(earlier),
            measured=frozenset({LATENCY.metric} if known == "sizes" else ()),
        )

    def evaluate(self, architecture: Architecture, replicate: int, seed: int) -> Observation:
        """Train and time an architecture, as it were."""
        accuracy, variance = self.observe(architecture, replicate, seed)
        latency = float(self.truth([architecture])[LATENCY.metric][0])
        return Observation(
            {ACCURACY.metric: accuracy, LATENCY.metric: latency}, {ACCURACY.metric: variance, LATENCY.metric: 0.0}
        )

    def curve(self, architectures: Sequence[Architecture]) -> list[float]:
        """Normalised hypervolume of the first 1, 2, ... architectures by their true values."""
        front = minimised(self.front[:, 0], self.front[:, 1])
        regret = hypervolume_regret(self._true_points(architectures), front, self.corner)
        shares: list[float] = (1.0 - regret / hypervolume(front, self.corner)).tolist()
        return shares

    def recommended(self, architectures: Sequence[Architecture], accuracies: Sequence[float]) -> list[float]:
        """The same of what one would recommend after 1, 2, ... trials: the front by the mean of what was observed.

        Args:
            architectures: one per trial, with repeats where there were replicates.
            accuracies: what each trial showed.
        """
        truth = dict(zip(architectures, self._true_points(architectures), strict=True))
        shown: dict[Architecture, list[float]] = {}
        found = []
        for architecture, accuracy in zip(architectures, accuracies, strict=True):
            shown.setdefault(architecture, []).append(accuracy)
            points = np.array([truth[item] for item in shown])
            believed = np.column_stack([[-np.mean(values) for values in shown.values()], points[:, 1]])
            found.append(self._normalised(points[non_dominated(believed)]))
        return found

    def _true_points(self, architectures: Sequence[Architecture]) -> FloatArray:
        truth = self.truth(architectures)
        return minimised(truth[ACCURACY.metric], truth[LATENCY.metric])

    def _normalised(self, points: FloatArray) -> float:
        best = hypervolume(minimised(self.front[:, 0], self.front[:, 1]), self.corner)
        return hypervolume(points, self.corner) / best

    @property
    def corner(self) -> FloatArray:
        """The reference point, minimised."""
        corner: FloatArray = minimised(np.array([self.reference[0]]), np.array([self.reference[1]]))[0]
        return corner


def minimised(accuracy: FloatArray, latency: FloatArray) -> FloatArray:
    """``n x 2``, both to be minimised: negative accuracy, logarithm of the latency."""
    return np.stack([-np.asarray(accuracy, dtype=np.float64), np.log(latency)], axis=1)


class KnownTruth:
    """Some metrics are known exactly; an `autodistill.components.search.Known`."""

    def __init__(self, problem: Problem, factors: Mapping[str, float], metrics: frozenset[str]) -> None:
        self._problem, self._factors, self._metrics = problem, factors, metrics

    @property
    def metrics(self) -> frozenset[str]:
        """Sizes, and latency or not."""
        return self._metrics

    def __call__(self, architectures: Sequence[Architecture]) -> Mapping[str, tuple[FloatArray, FloatArray]]:
        """Metric -> (values, zeros)."""
        truth = self._problem.truth(architectures)
        zeros = np.zeros(len(architectures))
        return {name: (truth[name] * self._factors.get(name, 1.0), zeros) for name in self.metrics}


class NothingKnown:
    """Nothing is known before training: what a general-purpose optimiser sees."""

    @property
    def metrics(self) -> frozenset[str]:
        """None."""
        return frozenset()

    def __call__(self, architectures: Sequence[Architecture]) -> Mapping[str, tuple[FloatArray, FloatArray]]:
        """An empty mapping."""
        return {}


def true_front(accuracy: FloatArray, latency: FloatArray) -> FloatArray:
    """The points that none dominates, ``n x 2``: accuracy, latency."""
    rows = non_dominated(minimised(accuracy, latency))
    return np.stack([accuracy[rows], latency[rows]], axis=1)


def noisy(value: float, deviation: float, architecture: Architecture, replicate: int, seed: int) -> float:
    """``value`` with Gaussian noise that depends on the arguments alone."""
    rng = np.random.default_rng([seed, replicate, int(architecture.digest, 16)])
    return value + deviation * float(rng.standard_normal())
