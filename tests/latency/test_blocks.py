from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.components.architecture import Architecture
from autodistill.components.latency import ComposingBackend, LatencyContext, LatencyReport, LatencySubject
from autodistill.latency.blocks import DEPTHS, BlockStore, Composer, Point, fit
from autodistill.latency.configs import TorchConfig
from autodistill.latency.torch import TorchLatency

from .conftest import build_tiny

WORKLOAD = {"batch_size": 1, "lengths": [8], "precision": "fp32", "threads": 1, "device": "cpu"}
IDENTITY: Mapping[str, Any] = {"backend": "torch", "workload": WORKLOAD, "device": "here", "versions": {"torch": "2"}}


def architecture(depth: int, **others: Any) -> Architecture:
    return Architecture("bert", {"num_layers": depth, **others})


class Counted:
    """Times models by the depth in their names, and counts."""

    def __init__(self, fixed: float, block: float) -> None:
        self.fixed, self.block = fixed, block
        self.seen: list[str] = []

    def __call__(self, subject: LatencySubject) -> LatencyReport:
        assert subject.architecture is not None
        self.seen.append(subject.name)
        median = self.fixed + self.block * subject.architecture.choices["num_layers"]
        return LatencyReport(
            "torch",
            "measured",
            "fp32",
            WORKLOAD,
            median,
            "here",
            relative_half_width=0.01,
            ratio_to_reference=median / 10,
        )


def composer(directory: Path, counted: Counted, model_key: str = "k") -> Composer:
    context = LatencyContext("torch", (8,), directory, None, lambda item: build_tiny(), model_key=model_key)
    return Composer(context, counted, IDENTITY)


@given(
    fixed=st.floats(0, 50),
    block=st.floats(0.01, 50),
    depths=st.lists(st.integers(1, 40), min_size=2, max_size=5, unique=True),
)
def test_fit_finds_the_line_that_exact_timings_lie_on(fixed: float, block: float, depths: list[int]) -> None:
    found = fit({depth: Point(fixed + block * depth, 0.01, None) for depth in depths})
    assert found == pytest.approx((fixed, block), rel=1e-5, abs=1e-5 * (fixed + block * max(depths)))


@given(low=st.floats(0.1, 10), high=st.floats(0.1, 10))
def test_neither_part_is_negative_whatever_the_noise(low: float, high: float) -> None:
    fixed, block = fit({1: Point(low, 0.01, None), 4: Point(high, 0.02, None)})
    assert min(fixed, block) >= 0
    assert fixed + block > 0


def test_blocks_are_timed_once_per_shape_and_serve_every_depth_and_study(tmp_path: Path) -> None:
    counted = Counted(2.0, 3.0)
    report = composer(tmp_path, counted).compose(LatencySubject("trial 3", architecture(12), None))
    assert report is not None
    assert report.kind == "composed"
    assert report.median == pytest.approx(2 + 12 * 3)
    assert report.ratio_to_reference == pytest.approx((2 + 12 * 3) / 10)
    assert [(row["operator"], row["count"]) for row in report.breakdown] == [("fixed", 1), ("block", 12)]
    assert counted.seen == ["1 block of trial 3", "4 blocks of trial 3"]
    again = composer(tmp_path, counted).compose(LatencySubject("trial 4", architecture(6), None))
    assert again is not None
    assert again.median == pytest.approx(2 + 6 * 3)
    assert len(counted.seen) == len(DEPTHS)


def test_another_width_head_or_vocabulary_is_another_shape(tmp_path: Path) -> None:
    counted = Counted(2.0, 3.0)
    for shape, key in ((architecture(9), "k"), (architecture(9, hidden_size=64), "k"), (architecture(9), "other")):
        composer(tmp_path, counted, key).compose(LatencySubject("x", shape, None))
    assert len(counted.seen) == 3 * len(DEPTHS)


def test_models_that_are_not_of_equal_blocks_or_have_their_own_weights_are_not_composed(tmp_path: Path) -> None:
    counted = Counted(2.0, 3.0)
    made = composer(tmp_path, counted)
    assert made.compose(LatencySubject("teacher", None, None)) is None
    assert made.compose(LatencySubject("x", Architecture("tree", {"leaves": 3}), None)) is None
    assert made.compose(LatencySubject("pick 1", architecture(3), None, {"huggingface": tmp_path})) is None
    assert counted.seen == []


def test_store_that_is_cut_off_is_as_good_as_empty(tmp_path: Path) -> None:
    store = BlockStore(tmp_path)
    assert store.add({"a": 1}, 4, Point(1.0, 0.1, None)) == {4: Point(1.0, 0.1, None)}
    for file in tmp_path.iterdir():
        file.write_text(file.read_text()[:9])
    assert store.read({"a": 1}) == {}


def test_real_backend_composes_only_when_asked_and_learns_from_whole_models(tmp_path: Path) -> None:
    context = LatencyContext(
        "torch", (4, 9), tmp_path, None, lambda item: build_tiny(item.choices["num_layers"]), model_key="tiny"
    )
    subject = LatencySubject("trial 3", architecture(6), lambda: build_tiny(6))
    quick = {"max_seconds": 0.1, "threads": 1}
    plain = TorchLatency(context, **dataclasses.asdict(TorchConfig(**quick)))
    assert plain.compose(subject) is None
    made = TorchLatency(context, **dataclasses.asdict(TorchConfig(**quick, compose=True)))
    assert isinstance(made, ComposingBackend)
    composed = made.compose(subject)
    whole = made.measure(subject)
    made.close()
    assert composed is not None
    assert (composed.kind, whole.kind) == ("composed", "measured")
    assert composed.workload == whole.workload
    (stored,) = (tmp_path / "blocks").glob("*.json")
    assert {"1", "4", "6"} <= depths_in(stored)


def depths_in(path: Path) -> set[str]:
    import json

    return set(json.loads(path.read_text())["points"])
