"""The page of ``autodistill latency``."""

from __future__ import annotations

from typing import Any

from autodistill.components.latency import LatencyReport
from autodistill.report.latency import MAX_ROOFS, latency_page, roofline_figure


def test_operators_that_need_no_main_memory_are_drawn_below_the_roof_of_the_memory_on_the_chip() -> None:
    row = {"operator": "feed-forward in", "count": 2, "ms": 0.002, "side": "launch", "flops": 1e6, "bytes": 0.0}
    report = {
        "device": "A chip",
        "environment": {"peak_flops": 1e14, "memory_bytes_per_s": 5e11, "on_chip_bytes_per_s": 2e12},
        "breakdown": [
            {**row, "on_chip_bytes": 1e5},
            {**row, "operator": "softmax", "flops": 0.0, "on_chip_bytes": 1e4},
        ],
    }
    figure = roofline_figure(report)
    assert [trace.name for trace in figure.data] == [
        "roof of A chip, main memory",
        "roof of A chip, memory on the chip",
        "feed-forward in",
    ]
    (x,), (y,) = figure.data[2].x, figure.data[2].y
    assert (x, y) == (10.0, 1e12)
    roof = figure.data[1]
    assert y <= roof.y[0] * x / roof.x[0]


def report_of(**changes: Any) -> dict[str, Any]:
    roof = {"peak_flops": 1e14, "memory_bytes_per_s": 5e11}
    row = {"operator": "in", "count": 2, "ms": 0.002, "side": "launch", "flops": 1e6, "bytes": 1e5}
    made = LatencyReport("roofline", "analytical", "fp32", {}, 1.0, "A chip", environment=roof, breakdown=[row])
    return {"model": "tiny", "label": "chip", **made.as_dict(), **changes}


def test_rooflines_that_are_not_drawn_are_counted() -> None:
    assert "Further rooflines" not in latency_page([report_of()] * MAX_ROOFS, [])
    assert "2 more are in the table only" in latency_page([report_of()] * (MAX_ROOFS + 2), [])


def test_numbers_under_a_load_and_reasons_for_care_are_in_the_table() -> None:
    page = latency_page([report_of(throughput_at_p99=123.0, cost_per_million=4.5, flags=["lower_bound"])], [])
    for shown in ("req/s at p99", ">123<", "per million", ">4.50<", ">lower bound<"):
        assert shown in page
    assert "loaded p99 ms" not in page
