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

#: Interquartile ranges between a quartile and the fence beyond which values are outliers.
FENCE = 3.0

#: Values of which fewer have no quartiles worth the name.
LEAST_FENCED = 10

#: Extent, relative to the largest value, below which values are equal.
EQUAL = 1e-12

#: Endings of known metrics whose logarithm is a feature: size and depth explain much of accuracy and of latency.
FEATURE_SUFFIXES = (".parameters", ".flops", ".layers")


def is_ratio(metric: str) -> bool:
    """Whether values of a metric are compared by factors, in logarithms, in whichever direction they are better."""
    return metric.endswith(RATIO_SUFFIXES)


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
        log = is_ratio(metric) and bool((values > 0).all())
        unit = power_of_two(values)
        flat = np.log(values / unit) if log else values / unit
        return cls(log, unit, float(flat.mean()), deviation_of(flat))

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
        with np.errstate(over="ignore"):
            flat = variances / values**2 if self.log else variances / self.unit / self.unit
        return flat / self.deviation**2

    def deviations(self, values: FloatArray, variances: FloatArray) -> FloatArray:
        """The images of the standard deviations of ``values``, to first order; 0 where nothing is known."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.nan_to_num(np.sqrt(self.variances(values, variances)))


def deviation_of(values: FloatArray) -> float:
    """The standard deviation, or 1 where the values are equal but for rounding: nothing can be told from that."""
    equal = float(np.ptp(values)) <= EQUAL * float(np.abs(values).max(initial=0.0))
    return 1.0 if equal else float(values.std())


def fenced(metric: str, values: FloatArray, sign: float) -> FloatArray:
    """Scores of which those on the bad side of Tukey's outer fence are moved to it [Tukey1977]_; ratios as they are.

    A run that has learnt nothing says that it is bad; by how much says nothing about all others, whose differences
    vanish beside it. Of a ratio the logarithm is taken, and that it is large says something.

    .. [Tukey1977] J. W. Tukey, Exploratory Data Analysis: three interquartile ranges beyond the quartile.

    Args:
        metric: what is measured.
        values: any, NaN where there is none.
        sign: 1 where more is better, -1 where less is.
    """
    finite = sign * values[np.isfinite(values)]
    if len(finite) < LEAST_FENCED or is_ratio(metric):
        return values
    low, high = np.quantile(finite, [0.25, 0.75])
    if not high > low:
        return values
    fence = low - FENCE * (high - low)
    return np.where(sign * values < fence, sign * fence, values)


def power_of_two(values: FloatArray) -> float:
    """The smallest power of two above every absolute value, as far as there is one; dividing by it rounds nothing."""
    largest = float(np.abs(values).max(initial=0.0))
    return 2.0 ** min(math.frexp(largest)[1], 1023) if largest > 0 else 1.0  # no float is above 2 ** 1024
