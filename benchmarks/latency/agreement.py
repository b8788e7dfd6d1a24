"""Rank correlation and relative error of one list of numbers against another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def agreement(found: Sequence[float], truth: Sequence[float]) -> dict[str, Any]:
    """Spearman's rank correlation, and the median and largest relative error.

    Args:
        found: estimates.
        truth: measurements, in the same order.
    """
    from scipy.stats import spearmanr

    errors = np.abs(np.array(found) / np.array(truth) - 1)
    return {
        "models": len(truth),
        "spearman": float(spearmanr(found, truth).statistic),
        "median_error": float(np.median(errors)),
        "largest_error": float(errors.max()),
    }
