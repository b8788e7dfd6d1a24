"""Learning curves: where a run will end, by a Bayesian linear model fitted on runs that have ended.

Predicted is the gain from a rung to the end. The features are the score at the rung, the increment since the rung
before (where there is one) and what is known of the architecture, in logs: large models start slowly and gain for
longer. The prior is the conjugate one, normal-inverse-gamma, so that the prediction is a Student t in closed form
([Murphy2007]_, section 7): wide while few runs have ended, and wider for architectures unlike them.

.. [Murphy2007] K. Murphy, Conjugate Bayesian analysis of the Gaussian distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

#: Prior variance of a standardised weight relative to the noise: a feature may explain as much as the noise.
WEIGHT_VARIANCE = 1.0
#: Prior variance of the intercept relative to the noise: the mean gain is nearly free.
INTERCEPT_VARIANCE = 100.0
#: Shape of the prior on the noise: as much as two ended runs whose gains are as noisy as they are spread.
PRIOR_SHAPE = 1.0


@dataclass(frozen=True)
class StudentT:
    """A prediction: Student's t with location, scale and degrees of freedom."""

    location: float
    scale: float
    degrees: float

    def quantile(self, probability: float) -> float:
        """The value that is not exceeded with ``probability`` in (0, 1)."""
        from scipy import stats

        return self.location + self.scale * float(stats.t.ppf(probability, self.degrees))

    @property
    def variance(self) -> float:
        """Infinite with two degrees of freedom or fewer."""
        return self.scale**2 * self.degrees / (self.degrees - 2) if self.degrees > 2 else float("inf")


def predict_gain(features: FloatArray, gains: FloatArray, point: FloatArray) -> StudentT:
    """Predict the gain of one run from those of others.

    Args:
        features: ``n x d`` of the ended runs, any units, without NaN; n >= 2.
        gains: ``n``: score at the end minus score at the rung; not all equal, for their spread is the unit of doubt.
        point: ``d`` features of the run.

    Returns:
        The predictive distribution of its gain, observation noise included. Scaling gains scales it; scaling or
        shifting a feature changes nothing.
    """
    centre, spread = features.mean(axis=0), features.std(axis=0)
    tolerance = 1e-12 * (1.0 + np.abs(centre))
    varies = spread > tolerance
    spread = np.where(varies, spread, 1.0)
    design = np.column_stack([np.ones(len(gains)), np.where(varies, (features - centre) / spread, 0.0)])
    # Of a feature in which only this run differs nothing was learnt: one prior standard deviation of doubt.
    differs = (np.abs(point - centre) > tolerance).astype(np.float64)
    row = np.concatenate([[1.0], np.where(varies, (point - centre) / spread, differs)])
    unit = float(gains.std())
    precision = np.diag([1 / INTERCEPT_VARIANCE, *[1 / WEIGHT_VARIANCE] * features.shape[1]])
    scaled = (gains - gains.mean()) / unit
    posterior = precision + design.T @ design
    weights = np.linalg.solve(posterior, design.T @ scaled)
    shape = PRIOR_SHAPE + len(gains) / 2
    rate = PRIOR_SHAPE + (scaled @ scaled - weights @ posterior @ weights) / 2
    variance = rate / shape * (1.0 + row @ np.linalg.solve(posterior, row))
    return StudentT(float(gains.mean() + unit * (row @ weights)), float(unit * np.sqrt(variance)), 2 * shape)
