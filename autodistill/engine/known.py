"""Metrics that are known before training, for any architecture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.architecture import Architecture
from autodistill.components.latency import LatencyBackend
from autodistill.components.outcome import Described, Evaluator

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray


class KnownMetrics:
    """Closed-form metrics of ``before_training`` evaluators, and estimates of backends that can give them.

    Args:
        evaluators: label -> evaluator; those that need training are left out.
        backends: label -> latency backend; asked once whether, and what, it can estimate.
        describe: architecture -> what an evaluator needs to know of it.
        probes: architectures to ask backends about.
    """

    def __init__(
        self,
        evaluators: Mapping[str, Evaluator],
        backends: Mapping[str, LatencyBackend],
        describe: Callable[[Architecture], Described],
        probes: Sequence[Architecture],
    ) -> None:
        self._evaluators = {label: item for label, item in evaluators.items() if item.before_training}
        self._describe = describe
        self._cache: dict[Architecture, dict[str, float]] = {}
        self._backends = {}
        metrics = {f"{label}.{name}" for label, item in self._evaluators.items() for name in item.metrics}
        for label, backend in backends.items():
            estimates = backend.estimate(probes) if probes else None
            if estimates is not None:
                self._backends[label] = backend
                metrics |= {f"{label}.{name}" for name in estimates}
        self._metrics = frozenset(metrics)

    @property
    def metrics(self) -> frozenset[str]:
        """Names of the metrics that are known."""
        return self._metrics

    def exact(self, architecture: Architecture) -> dict[str, float]:
        """The closed-form metrics of one architecture."""
        if architecture not in self._cache:
            subject = self._describe(architecture)
            self._cache[architecture] = {
                f"{label}.{name}": float(value)
                for label, evaluator in self._evaluators.items()
                for name, value in evaluator.describe(subject).items()
            }
        return self._cache[architecture]

    def __call__(self, architectures: Sequence[Architecture]) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Metric -> (values, variances), each of length ``n``; an estimate that a backend lacks is NaN."""
        rows = [self.exact(architecture) for architecture in architectures]
        names = [name for name in sorted(self._metrics) if rows and name in rows[0]]
        known = {name: (np.array([row[name] for row in rows]), np.zeros(len(rows))) for name in names}
        for label, backend in self._backends.items():
            # What a backend gives may depend on whom it is asked about; what is known must not.
            estimates = {f"{label}.{name}": pair for name, pair in (backend.estimate(architectures) or {}).items()}
            known |= {name: pair for name, pair in estimates.items() if name in self._metrics}
        for name in self._metrics - set(known):
            known[name] = (np.full(len(rows), np.nan), np.full(len(rows), np.nan))
        return known
