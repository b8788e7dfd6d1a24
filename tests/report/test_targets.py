"""Rows of targets: the ends of each front."""

from __future__ import annotations

from typing import Any

import pytest

from autodistill.report.targets import target_rows

from .conftest import throughput_objective


@pytest.mark.parametrize("metric", ["throughput_at_p99", "loaded_p99_ms"])
def test_the_fastest_of_a_target_is_that_of_its_metrics_direction(summary: dict[str, Any], metric: str) -> None:
    throughput_objective(summary, metric)
    full = f"onnxruntime_batch8.{metric}"
    summary["objectives"][1]["direction"] = "minimize" if metric.endswith("_ms") else "maximize"
    summary["pareto_sets"] = {
        "onnxruntime_batch8": {"metric": full, "trials": summary["pareto"], "hypervolume": 1.0, "is_objective": True}
    }
    (row,) = target_rows(summary)
    front = [trial for trial in summary["history"] if trial["trial"] in summary["pareto"]]
    best = (min if metric.endswith("_ms") else max)(
        front, key=lambda trial: trial["latencies"]["onnxruntime_batch8"][metric]
    )
    value, name = row.fastest
    assert name.startswith(f"trial {best['trial']},")
    assert value.endswith(" ms" if metric.endswith("_ms") else " /s")
