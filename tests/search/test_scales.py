from __future__ import annotations

import numpy as np
import pytest

from autodistill.components.latency import LATENCY_METRICS
from autodistill.search.scales import Scale, fenced


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


@pytest.mark.parametrize("value", [0.1, 0.37, 0.5, 0.54321, 0.7, -3e7, 1e-200])
@pytest.mark.parametrize("count", [3, 6, 7, 11])
def test_equal_values_differ_by_nothing_whatever_rounding_says(value: float, count: int) -> None:
    scale = Scale.fit("classification.accuracy", np.full(count, value))
    assert scale.deviation == 1.0
    assert float(scale(np.array([value]))[0]) == pytest.approx(0.0, abs=1e-12)


def test_variances_of_values_that_are_hardly_numbers_are_numbers() -> None:
    values = np.array([5.0, 20.0, np.exp(700.0)])
    assert np.isfinite(Scale.fit("mlm.perplexity", values).variances(values, values)).all()


ACCURACY, LOSS = "classification.accuracy", "mlm.loss"


def test_one_bad_run_does_not_flatten_the_others() -> None:
    losses = np.append(np.linspace(3.0, 4.0, 24), 11.0)
    kept = fenced(LOSS, losses, -1.0)
    assert kept[:24].tolist() == losses[:24].tolist()
    assert 4.0 < kept[24] < 7.5
    assert fenced(LOSS, losses, 1.0).tolist() == losses.tolist()  # what is better than all others is believed
    accuracies = np.append(np.linspace(0.9, 0.95, 20), [0.5, np.nan])
    assert fenced(ACCURACY, accuracies, 1.0)[20] > 0.7
    assert np.isnan(fenced(ACCURACY, accuracies, 1.0)[21])
    chance = np.array([0.5] * 8 + [0.8, 0.9] * 4)
    assert fenced(ACCURACY, chance, 1.0).tolist() == chance.tolist()  # many at chance are no outliers
    slow = np.append(np.linspace(1.0, 2.0, 20), 100.0)
    assert fenced("onnxruntime.p50_ms", slow, -1.0).tolist() == slow.tolist()
