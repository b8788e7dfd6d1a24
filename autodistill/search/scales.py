"""Unit-free numbers from metrics: what strategies compare and model instead of milliseconds and parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

#: Endings of the names of ratio metrics: positive, and compared by factors rather than by differences.
RATIO_SUFFIXES = (
    "_ms",
    "_bytes",
    ".flops",
    ".parameters",
    ".throughput",
    ".throughput_at_p99",
    ".cost_per_million",
    ".ratio_to_reference",
)

#: Endings of known metrics whose logarithm is a feature: size and depth explain much of accuracy and of latency.
FEATURE_SUFFIXES = (".parameters", ".flops", ".layers")


@dataclass(frozen=True)
class Scale:
    """Takes a metric to zero mean and unit variance, in logarithms if it is a ratio.

    ``unit`` is a power of two, so that a metric multiplied by a power of two has bit for bit the same image.
    """

    log: bool
    unit: float
    mean: float
    deviation: float

    @classmethod
    def fit(cls, metric: str, values: FloatArray) -> Scale:
        """Fit to the finite ``values`` of ``metric`` (at least one)."""
        log = metric.endswith(RATIO_SUFFIXES) and bool((values > 0).all())
        unit = power_of_two(values)
        flat = np.log(values / unit) if log else values / unit
        return cls(log, unit, float(flat.mean()), float(flat.std()) or 1.0)

    def __call__(self, values: FloatArray) -> FloatArray:
        """The images of ``values``; NaN where a ratio is not positive."""
        with np.errstate(invalid="ignore", divide="ignore"):
            flat = np.log(values / self.unit) if self.log else values / self.unit
        return np.where(np.isfinite(flat), (flat - self.mean) / self.deviation, np.nan)

    def inverse(self, images: FloatArray, deviations: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Values with these images, and variances (to first order) with these standard deviations."""
        flat = images * self.deviation + self.mean
        values = (np.exp(flat) if self.log else flat) * self.unit
        slopes = values if self.log else np.full_like(values, self.unit)
        return values, (slopes * self.deviation * deviations) ** 2

    def variances(self, values: FloatArray, variances: FloatArray) -> FloatArray:
        """The images of the variances of ``values``, to first order."""
        flat = variances / values**2 if self.log else variances / self.unit**2
        return flat / self.deviation**2


def power_of_two(values: FloatArray) -> float:
    """The smallest power of two above every absolute value, as far as there is one; dividing by it rounds nothing."""
    largest = float(np.abs(values).max(initial=0.0))
    return 2.0 ** min(math.frexp(largest)[1], 1023) if largest > 0 else 1.0  # no float is above 2 ** 1024
