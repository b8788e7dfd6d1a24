"""What is stored of scores."""

from __future__ import annotations

import numpy as np
import pytest

from autodistill.engine.scores import stored_metrics
from autodistill.engine.verdict import metric_entry
from autodistill.evaluators.scoring import proportion


@pytest.mark.parametrize(("right", "n"), [(50, 50), (199, 200), (0, 30)])
def test_scores_are_stored_with_the_intervals_of_final_metrics(right: int, n: int) -> None:
    """From its variance a share without an error would be certain, and one with few of them above 1."""
    score = proportion(np.arange(n) < right)
    stored, final = stored_metrics({"x.accuracy": score}, "select")["x.accuracy"], metric_entry(score, "select")
    assert stored == {**{key: item for key, item in final.items() if key != "seeds"}, "variance": score.variance}
    assert 0.0 <= stored["low"] < stored["high"] <= 1.0
