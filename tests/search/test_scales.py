from __future__ import annotations

import numpy as np
import pytest

from autodistill.components.latency import LATENCY_METRICS
from autodistill.search.scales import Scale


@pytest.mark.parametrize("metric", LATENCY_METRICS)
def test_every_latency_metric_is_compared_by_factors(metric: str) -> None:
    scale = Scale.fit(f"onnxruntime.{metric}", np.array([1.0, 2.0, 4.0]))
    assert scale.log
    first, second, third = scale(np.array([1.0, 2.0, 4.0]))
    assert second - first == pytest.approx(third - second)


def test_what_may_be_zero_is_compared_by_differences_where_it_is() -> None:
    assert not Scale.fit("onnxruntime.throughput_at_p99", np.array([0.0, 2.0])).log
    assert not Scale.fit("classification.accuracy", np.array([0.5, 0.7])).log


def test_the_largest_float_has_a_scale() -> None:
    assert np.isfinite(Scale.fit("own.loss", np.array([0.1, 1.7e308]))(np.array([0.1, 1.7e308]))).all()
