"""What a model learns a metric from: the observations of some trials of a history.

Shared by the models of a search, by those of earlier studies, and by the report, which judges the former.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autodistill.components.search import History
from autodistill.search.columns import column_of, with_expected_ends
from autodistill.search.scales import fenced
from autodistill.search.surrogates import Observed, observe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from autodistill.components.search import FloatArray


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
