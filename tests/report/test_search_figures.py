"""Figures of what the search has learnt show what the summary says."""

from __future__ import annotations

from typing import Any

import pytest

from autodistill.report.figures import pareto_figure
from autodistill.report.search_figures import (
    MAX_PARAMETERS,
    device_time_figure,
    importance_figure,
    prediction_figure,
)


def test_progress_starts_at_nothing_and_counts_device_time(summary: dict[str, Any]) -> None:
    progress = summary["analytics"]["hypervolume"]
    (trace,) = device_time_figure(summary).data
    assert (trace.x[0], trace.y[0]) == (0.0, 0.0)
    assert list(trace.y[1:]) == progress["value"]
    assert trace.x[-1] == pytest.approx(progress["device_seconds"][-1] / 60)


@pytest.mark.parametrize(
    ("seconds", "title", "shown"), [(200.0, "seconds", 200.0), (400.0, "minutes", 400 / 60), (36_000.0, "hours", 10.0)]
)
def test_device_time_is_in_a_unit_that_reads_well(
    summary: dict[str, Any], seconds: float, title: str, shown: float
) -> None:
    summary["analytics"]["hypervolume"] = {"trial": [1], "device_seconds": [seconds], "examples": [1], "value": [0.5]}
    figure = device_time_figure(summary)
    assert figure.layout.xaxis.title.text == f"device time of the flash runs, {title}"
    assert figure.data[0].x[-1] == pytest.approx(shown)


def test_importance_is_bars_in_per_cent_the_largest_on_top(summary: dict[str, Any]) -> None:
    entry = summary["analytics"]["importance"][0]
    entry["parameters"] += [{"name": f"p{n}", "share": 0.0, "low": 0.0, "high": 0.01} for n in range(20)]
    figure = importance_figure(entry)
    (bars,) = figure.data
    assert len(bars.y) == MAX_PARAMETERS
    assert (bars.y[0], bars.x[0]) == ("layers", pytest.approx(58.0))
    assert (bars.error_x.arrayminus[0], bars.error_x.array[0]) == (pytest.approx(11.6), pytest.approx(14.5))
    assert figure.layout.yaxis.autorange == "reversed"


def test_predictions_stand_around_the_diagonal_with_their_intervals(summary: dict[str, Any]) -> None:
    points = summary["analytics"]["prediction"]["points"]
    diagonal, scatter = prediction_figure(summary).data
    assert list(diagonal.x) == list(diagonal.y)
    assert scatter.x[0] == pytest.approx(100 * points[0]["observed"])
    assert scatter.y[0] == pytest.approx(100 * points[0]["predicted"])
    assert scatter.error_y.array[0] == pytest.approx(1.96 * 1.1)


@pytest.mark.parametrize("name", ["partial_summary", "bare_summary"])
def test_nothing_is_drawn_of_what_is_not_known(name: str, request: pytest.FixtureRequest) -> None:
    running = request.getfixturevalue(name)
    assert not device_time_figure(running).data
    assert not prediction_figure(running).data
    assert not importance_figure({}).data


def test_another_target_has_its_own_axis_and_front(summary: dict[str, Any]) -> None:
    kept = summary["pareto_sets"]["onnxruntime_batch8"]["trials"][:3]
    summary["pareto_sets"]["onnxruntime_batch8"]["trials"] = kept
    figure = pareto_figure(summary, "onnxruntime_batch8.p50_ms")
    assert figure.layout.xaxis.title.text == "median latency in ms (onnxruntime_batch8)"
    (front,) = (trace for trace in figure.data if trace.name == "Pareto front of the flash trials")
    assert len(front.x) == 3
    (teacher,) = (trace for trace in figure.data if trace.name == "teacher")
    assert teacher.x[0] == pytest.approx(11.4 * 6.1)
