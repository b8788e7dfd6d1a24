"""The page of ``autodistill latency``."""

from __future__ import annotations

from autodistill.report.latency import roofline_figure


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
