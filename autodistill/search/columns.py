"""A metric of some trials of a history, and what those that were stopped are expected to have reached.

Light: what compares outcomes reads this as what fits models does (`autodistill.search.learnt`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.search import History
from autodistill.pruners.ends import expected_ends

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autodistill.components.search import FloatArray


def column_of(columns: Mapping[str, FloatArray], metric: str, rows: NDArray[np.intp]) -> FloatArray:
    """A metric of some trials; NaN where there is none."""
    column = columns.get(metric)
    return np.full(len(rows), np.nan) if column is None else np.asarray(column, dtype=np.float64)[rows]


def with_expected_ends(
    history: History, rows: NDArray[np.intp], metric: str, values: FloatArray
) -> tuple[FloatArray, FloatArray | None]:
    """The values of a metric, and where stopped trials are expected to have ended.

    Args:
        history: of one study.
        rows: trials of it.
        metric: name of the metric.
        values: what was observed of these trials, NaN where nothing was.

    Returns:
        (values, variances of those that were predicted and 0 for those that were observed), one per row; None
        instead of variances where no trial was stopped.
    """
    if not history.curves or not any(history.states[row] == "stopped" for row in rows):
        return values, None
    ends, variances = (column[rows] for column in expected_ends(history, metric))
    observed, predicted = np.isfinite(values), np.isfinite(variances)
    doubts = np.where(~observed & predicted, variances, 0.0)
    return np.where(observed | ~predicted, values, ends), doubts
