"""What a model learns a metric from: the observations of some trials of a history.

Shared by the models of a search, by those of earlier studies, and by the report, which judges the former.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.search import History
from autodistill.pruners.ends import expected_ends
from autodistill.search.scales import fenced
from autodistill.search.surrogates import Observed, observe

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


def learnt(
    history: History, rows: NDArray[np.intp], metric: str, sign: float, values: FloatArray | None = None
) -> Observed | None:
    """What a model learns a metric from: its scores, outliers at the fence, and the expected ends of stopped trials.

    Args:
        history: of one study.
        rows: trials of it.
        metric: name of the metric.
        sign: 1 where more of it is better, -1 where less is.
        values: what is known of the metric for these trials; by default what the history holds.

    Returns:
        Observations whose rows are positions in ``rows``; None when nothing can be learnt from them.
    """
    seen = column_of(history.metrics, metric, rows) if values is None else values
    seen, doubts = with_expected_ends(history, rows, metric, seen)
    told = column_of(history.variances, metric, rows) if metric in history.variances else None
    return observe(metric, fenced(metric, seen, sign), told, doubts)
