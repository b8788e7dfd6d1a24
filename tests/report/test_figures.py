"""Figures show every model where the summary puts it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from autodistill.report import points, svg
from autodistill.report.figures import flash_against_full_figure, hypervolume_figure, pareto_figure, pareto_svg

from .conftest import throughput_objective

SVG = "{http://www.w3.org/2000/svg}"


def traces(figure: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


def test_the_pareto_figure_has_every_group(summary: dict[str, Any]) -> None:
    found = traces(pareto_figure(summary))
    assert list(found) == [
        "flash trial",
        "flash trial, stopped early",
        "Pareto front of the flash trials",
        "references",
        "baselines, final",
        "teacher",
        "picks, final",
    ]
    assert len(found["baselines, final"].x) == 5
    assert len(found["references"].x) == 1  # the linear one has no latency


def test_the_latency_axis_is_logarithmic_and_quality_in_per_cent(summary: dict[str, Any]) -> None:
    layout = pareto_figure(summary).layout
    assert layout.xaxis.type == "log"
    assert layout.xaxis.title.text == "median latency in ms (onnxruntime)"
    assert layout.yaxis.title.text == "accuracy, %"


def test_picks_carry_their_interval_and_architecture(summary: dict[str, Any]) -> None:
    picks = traces(pareto_figure(summary))["picks, final"]
    assert picks.y[0] == pytest.approx(89.6)
    assert picks.error_y.array[0] == pytest.approx(1.1)
    assert picks.error_x.array[0] == pytest.approx(0.014 * picks.x[0])
    assert "hidden size 256" in picks.customdata[0][1]


def test_the_front_rises_with_latency(summary: dict[str, Any]) -> None:
    front = traces(pareto_figure(summary))["Pareto front of the flash trials"]
    assert list(front.x) == sorted(front.x)
    assert list(front.y) == sorted(front.y)
    assert front.line.shape == "hv"


def test_baselines_in_the_history_are_no_flash_trials(summary: dict[str, Any]) -> None:
    before = len(traces(pareto_figure(summary))["flash trial"].x)
    scored = next(row for row in summary["history"] if row["state"] == "complete")
    summary["history"].append(scored | {"trial": 1001, "origin": "baseline"})
    assert len(traces(pareto_figure(summary))["flash trial"].x) == before


def test_size_stands_in_for_latency_when_nothing_was_timed(summary: dict[str, Any]) -> None:
    summary["objectives"][1] = {"label": "size", "metric": "size.parameters", "direction": "minimize"}
    for group in ("baselines", "picks", "references", "history"):
        for row in summary[group]:
            row["latencies"] = {}
    summary["teacher"]["latencies"] = {}
    figure = pareto_figure(summary)
    assert figure.layout.xaxis.title.text == "parameters"
    assert list(traces(figure)["teacher"].x) == [22_713_986]
    ElementTree.fromstring(pareto_svg(summary))


def test_many_trials_are_thinned_but_the_front_stays(summary: dict[str, Any]) -> None:
    front = len(traces(pareto_figure(summary))["Pareto front of the flash trials"].x)
    extra = [row | {"trial": 100 + n} for n, row in enumerate(summary["history"] * 200)]
    summary["history"] += extra
    found = traces(pareto_figure(summary))
    assert len(found["flash trial"].x) <= points.MAX_POINTS
    assert len(found["Pareto front of the flash trials"].x) == front


def test_the_hypervolume_curve_is_drawn_as_told(summary: dict[str, Any]) -> None:
    summary["hypervolume_curve"][0] = None
    (trace,) = hypervolume_figure(summary).data
    assert list(trace.y) == summary["hypervolume_curve"]


def test_flash_is_drawn_against_the_final_score_on_the_same_split(summary: dict[str, Any]) -> None:
    summary["baselines"][0]["flash"] = None
    found = traces(flash_against_full_figure(summary))
    assert len(found["baselines"].x) == 4
    assert (found["picks"].x[0], found["picks"].y[0]) == (pytest.approx(85.1), pytest.approx(89.8))


@pytest.mark.parametrize("name", ["partial_summary", "bare_summary"])
def test_figures_of_a_running_study_are_drawn(name: str, request: pytest.FixtureRequest) -> None:
    running = request.getfixturevalue(name)
    for figure in (pareto_figure, hypervolume_figure, flash_against_full_figure):
        figure(running).to_json()


def test_the_static_picture_is_well_formed_and_marks_every_point(summary: dict[str, Any]) -> None:
    root = ElementTree.fromstring(pareto_svg(summary))
    hints = [title.text or "" for title in root.iter(f"{SVG}title")]
    assert sum(hint.startswith("trial ") for hint in hints) == 45
    assert any(hint.startswith("pick 31: layers 4") for hint in hints)
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"picks, final", "teacher", "5", "85", "accuracy, %", "median latency in ms (onnxruntime)"} <= set(texts)


def test_everything_in_the_static_picture_lies_inside(summary: dict[str, Any]) -> None:
    for text in ElementTree.fromstring(pareto_svg(summary)).iter(f"{SVG}text"):
        assert 0 <= float(text.attrib["x"]) <= svg.WIDTH
        assert 0 <= float(text.attrib["y"]) <= svg.HEIGHT


def test_the_static_picture_of_nothing_says_so(bare_summary: dict[str, Any]) -> None:
    assert "no scored model yet" in pareto_svg(bare_summary)


def test_the_static_picture_escapes_names(summary: dict[str, Any]) -> None:
    summary["picks"][0]["name"] = "<script>&"
    assert "<script>" not in pareto_svg(summary)
    ElementTree.fromstring(pareto_svg(summary))


@pytest.mark.parametrize(
    ("low", "high", "logarithmic", "expected"),
    [
        (0.3, 12, True, [0.5, 1, 2, 5, 10]),
        (1.1, 2.2, True, [1.5, 2]),
        (65, 92, False, [65, 70, 75, 80, 85, 90]),
        (0.1, 0.31, False, [0.1, 0.15, 0.2, 0.25, 0.3]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, logarithmic: bool, expected: list[float]) -> None:
    assert svg.ticks(low, high, logarithmic) == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["throughput_at_p99", "loaded_p99_ms"])
def test_what_a_load_adds_has_every_group_on_a_logarithmic_axis(summary: dict[str, Any], metric: str) -> None:
    throughput_objective(summary, metric)
    figure = pareto_figure(summary)
    assert {"teacher", "picks, final", "baselines, final"} <= set(traces(figure))
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.xaxis.title.text.endswith("(onnxruntime_batch8)")


def test_the_front_of_a_throughput_steps_down_at_its_points(summary: dict[str, Any]) -> None:
    own = {**throughput_objective(summary), "pareto": summary["pareto"]}
    front = traces(pareto_figure(own))["Pareto front of the flash trials"]
    assert list(front.x) == sorted(front.x)
    assert front.line.shape == "vh"
    (path,) = (
        item
        for item in ElementTree.fromstring(pareto_svg(own)).iter(f"{SVG}path")
        if "V" in item.attrib["d"] and item.attrib["class"] == "front"
    )
    assert path.attrib["d"].index("V") < path.attrib["d"].index("H")


def test_each_latency_has_the_interval_of_its_own(summary: dict[str, Any]) -> None:
    label, median = "onnxruntime", summary["picks"][0]["latencies"]["onnxruntime"]["median"]
    summary["picks"][0]["latencies"][label]["p99_interval"] = [1.2 * median, 1.5 * median]
    for pick in summary["picks"][1:]:
        pick["latencies"][label].pop("p99_interval", None)

    def bars(metric: str) -> Any:
        return traces(pareto_figure(summary, f"{label}.{metric}"))["picks, final"].error_x

    assert bars("p50_ms").array[0] == bars("p50_ms").arrayminus[0] == pytest.approx(0.014 * median)
    assert bars("p99_ms").array[0] == pytest.approx(0.19 * median)  # 1.5 - 1.31
    assert bars("p99_ms").arrayminus[0] == pytest.approx(0.11 * median)
    assert list(bars("p99_ms").array[1:]) == [0, 0]
    for metric in ("p90_ms", "throughput", "peak_memory_bytes"):
        assert bars(metric).visible is False
