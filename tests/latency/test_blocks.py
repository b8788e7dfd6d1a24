from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from autodistill.components.architecture import Architecture
from autodistill.components.latency import (
    ComposingBackend,
    LatencyContext,
    LatencyReport,
    LatencySubject,
    metrics_given,
)
from autodistill.components.students import Vocabulary
from autodistill.components.task import TaskSpec
from autodistill.errors import ConfigError
from autodistill.latency.blocks import BlockStore, Composer, Point, combined, fit, fixed_part, outside_blocks
from autodistill.latency.configs import MeasuredConfig, OnnxRuntimeConfig, TorchConfig
from autodistill.latency.measuring import Measuring
from autodistill.latency.onnxruntime import OnnxRuntimeLatency
from autodistill.latency.process import WorkerProcess
from autodistill.latency.session import Artifact
from autodistill.latency.statistics import summarise
from autodistill.latency.subjects import workload_of
from autodistill.latency.torch import TorchLatency
from autodistill.registry import default_registry

from .conftest import build_tiny

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TASK = TaskSpec("classification", ("negative", "positive"), ("text",), "classification.accuracy")

WORKLOAD = {"batch_size": 1, "lengths": [8], "precision": "fp32", "threads": 1, "device": "cpu"}
IDENTITY: Mapping[str, Any] = {"backend": "torch", "workload": WORKLOAD, "device": "here", "versions": {"torch": "2"}}


def architecture(depth: int, **others: Any) -> Architecture:
    return Architecture("bert", {"num_layers": depth, **others})


def build(item: Architecture) -> PreTrainedModel:
    return build_tiny(item.choices["num_layers"], hidden=item.choices.get("hidden_size", 32))


class Counted:
    """Times models by the depth in their choices, on a machine ``slowness`` times as slow as usual, and counts."""

    def __init__(self, fixed: float, block: float, relative_half_width: float = 0.01) -> None:
        self.fixed, self.block, self.relative_half_width = fixed, block, relative_half_width
        self.slowness = 1.0
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
            median * self.slowness,
            "here",
            relative_half_width=self.relative_half_width,
            ratio_to_reference=median / 10,
        )


def composer(directory: Path, counted: Counted, model_key: str = "k", *, reference: bool = True) -> Composer:
    teacher = LatencySubject("the teacher", None, None) if reference else None
    context = LatencyContext("torch", (8,), directory, teacher, build, model_key=model_key)
    return Composer(context, counted, IDENTITY)


def point(time: float, error: float) -> Point:
    """Of requests of one length: the mean is the median."""
    return Point(time, error, time)


@given(
    fixed=st.floats(0, 50),
    block=st.floats(0.01, 50),
    depths=st.lists(st.integers(0, 40), min_size=2, max_size=5, unique=True),
)
def test_fit_finds_the_line_that_exact_timings_lie_on(fixed: float, block: float, depths: list[int]) -> None:
    found = fit({depth: point(fixed + block * depth, 0.01 + 0.01 * depth) for depth in depths})
    assert found == pytest.approx((fixed, block), rel=1e-5, abs=1e-5 * (fixed + block * max(depths)))


@given(low=st.floats(0.1, 10), high=st.floats(0.1, 10), shallow=st.sampled_from([0, 1]))
def test_neither_part_is_negative_whatever_the_noise(low: float, high: float, shallow: int) -> None:
    start = low if shallow else low - 2  # what is worked out for depth 0 may be negative, a timing may not
    fixed, block = fit({shallow: point(start, 0.1), 4: point(high, 0.2)})
    assert min(fixed, block) >= 0
    assert fixed + block > 0


@pytest.mark.parametrize("reference", [True, False])
def test_blocks_are_timed_once_per_shape_and_serve_every_depth_and_study(tmp_path: Path, reference: bool) -> None:
    counted = Counted(2.0, 3.0)
    made = composer(tmp_path, counted, reference=reference)
    report = made.compose(LatencySubject("trial 3", architecture(12), None))
    assert report is not None
    assert report.kind == "composed"
    assert report.median == pytest.approx(2 + 12 * 3)
    assert report.ratio_to_reference == (pytest.approx((2 + 12 * 3) / 10) if reference else None)
    assert [(row["operator"], row["count"]) for row in report.breakdown] == [("fixed", 1), ("block", 12)]
    assert [row["ms"] for row in report.breakdown] == pytest.approx([2, 36])
    assert counted.seen == ["4 blocks of trial 3", "1 block of trial 3"]
    again = composer(tmp_path, counted, reference=reference).compose(LatencySubject("trial 4", architecture(6), None))
    assert again is not None
    assert again.median == pytest.approx(2 + 6 * 3)
    assert len(counted.seen) == 2


@given(
    lengths=st.lists(st.integers(1, 128), min_size=2, max_size=10),
    depth=st.integers(1, 30),
    batch=st.integers(1, 8),
    reference=st.booleans(),
)
@settings(max_examples=20, deadline=None)
def test_composed_throughput_is_that_of_a_whole_model(
    lengths: list[int], depth: int, batch: int, reference: bool
) -> None:
    """Milliseconds that grow with the length: the mean of requests is not their median."""
    workload = {**WORKLOAD, "batch_size": batch, "lengths": lengths}

    def time(subject: LatencySubject) -> LatencyReport:
        assert subject.architecture is not None
        layers = subject.architecture.choices["num_layers"]
        table = np.array([[1.0 + 0.02 * length * (0.5 + layers) for length in lengths]] * 20)
        numbers = summarise(table, batch)
        ratio = numbers["median"] / 10 if reference else None
        return LatencyReport("torch", "measured", "fp32", workload, device="here", ratio_to_reference=ratio, **numbers)

    teacher = LatencySubject("the teacher", None, None) if reference else None
    with tempfile.TemporaryDirectory() as folder:
        context = LatencyContext("torch", tuple(lengths), Path(folder), teacher, build)
        made = Composer(context, time, {**IDENTITY, "workload": workload})
        report = made.compose(LatencySubject("x", architecture(depth), None))
        made.close()
    whole = time(LatencySubject("x", architecture(depth), None))
    assert report is not None
    assert report.throughput == pytest.approx(whole.throughput, rel=1e-6)


def test_slow_second_of_the_machine_does_not_change_what_is_composed(tmp_path: Path) -> None:
    counted = Counted(2.0, 3.0)
    made = composer(tmp_path, counted)
    for inner in (64, 80):
        made.compose(LatencySubject("x", architecture(9, intermediate_size=inner), None))
    counted.slowness = 1.5
    report = made.compose(LatencySubject("x", architecture(9, intermediate_size=96), None))
    assert report is not None
    assert report.median == pytest.approx(2 + 9 * 3)


def test_another_width_head_or_vocabulary_is_another_shape_with_another_fixed_part(tmp_path: Path) -> None:
    counted = Counted(2.0, 3.0)
    for shape, key in ((architecture(9), "k"), (architecture(9, hidden_size=64), "k"), (architecture(9), "other")):
        composer(tmp_path, counted, key).compose(LatencySubject("x", shape, None))
    assert counted.seen == ["4 blocks of x", "1 block of x"] * 3


def test_shapes_that_differ_within_their_blocks_share_the_fixed_part(tmp_path: Path) -> None:
    counted = Counted(2.0, 3.0)
    composer(tmp_path, counted).compose(LatencySubject("first", architecture(9, intermediate_size=64), None))
    counted.block = 5.0
    second = LatencySubject("second", architecture(9, intermediate_size=96), None)
    report = composer(tmp_path, counted).compose(second)
    assert counted.seen == ["4 blocks of first", "1 block of first", "4 blocks of second"]
    assert report is not None
    assert report.median == pytest.approx(2 + 9 * 5)
    assert report.ratio_to_reference == pytest.approx((2 + 9 * 5) / 10)
    again = composer(tmp_path, counted).compose(second)  # from the store alone
    assert again == report
    assert len(counted.seen) == 3


def test_fixed_part_is_shared_once_it_is_precise_enough(tmp_path: Path) -> None:
    counted = Counted(2.0, 3.0, relative_half_width=0.15)  # of the fixed part: (4 * 0.75 ^ 2.1) / 3 = 1.2 ms of 14
    for inner in (64, 80, 96, 112, 128):
        composer(tmp_path, counted).compose(LatencySubject(f"{inner}", architecture(9, intermediate_size=inner), None))
    assert counted.seen[:4] == ["4 blocks of 64", "1 block of 64", "4 blocks of 80", "1 block of 80"]
    assert "1 block of 96" in counted.seen
    assert counted.seen[-1] == "4 blocks of 128"


def test_fixed_part_that_seems_to_be_all_is_not_shared(tmp_path: Path) -> None:
    counted = Counted(2.0, -0.1)
    composer(tmp_path, counted).compose(LatencySubject("disturbed", architecture(9, intermediate_size=64), None))
    counted.block = 3.0
    report = composer(tmp_path, counted).compose(LatencySubject("x", architecture(9, intermediate_size=96), None))
    assert counted.seen[2:] == ["4 blocks of x", "1 block of x"]
    assert report is not None
    assert report.ratio_to_reference == pytest.approx((2 + 9 * 3) / 10)


@given(fixed=st.floats(-1, 50), block=st.floats(0.01, 50), deep=st.integers(2, 24), width=st.floats(0.01, 0.2))
def test_fixed_part_is_as_uncertain_as_the_timings_make_it(fixed: float, block: float, deep: int, width: float) -> None:
    low, high = (point(fixed + block * depth, width * (1 + depth)) for depth in (1, deep))
    found = fixed_part(low, high, deep)
    assert found is not None
    assert found.time == pytest.approx(fixed, rel=1e-4, abs=1e-4 * block)
    # Each timing moved by its error moves the line's end by a share of it; independent shares add up as squares.
    moved = [
        line_end(low.time + low.error, high.time, deep) - fixed,
        line_end(low.time, high.time + high.error, deep) - fixed,
    ]
    assert found.error == pytest.approx((moved[0] ** 2 + moved[1] ** 2) ** 0.5, rel=1e-2)


def line_end(low: float, high: float, deep: int) -> float:
    return low - (high - low) / (deep - 1)


@given(a=st.floats(-5, 5), b=st.floats(-5, 5), wide=st.floats(1.01, 100))
def test_two_estimates_combine_to_a_better_one_nearer_to_the_better(a: float, b: float, wide: float) -> None:
    found = combined(point(a, 1.0), point(b, wide))
    assert found.error < 1.0
    assert abs(found.time - a) <= abs(found.time - b) + 1e-9
    middle = pytest.approx((a + b) / 2)
    assert combined(point(a, 2.0), point(b, 2.0)) == Point(middle, pytest.approx(2**0.5), middle)


@pytest.mark.parametrize("family", ["bert", "mobilebert"])
def test_what_lies_outside_the_blocks_is_told_by_the_model_itself(family: str) -> None:
    made = default_registry().create("student", family, vars(default_registry().get("student", family).spec.config()))
    base = {"num_layers": 4, "hidden_size": 160, "num_heads": 2, "intermediate_size": 64}
    base |= {"bottleneck_size": 32, "num_ffn": 5} if family == "mobilebert" else {}

    def digest(**changes: int) -> str:
        item = Architecture(family, base | changes)
        return outside_blocks(made.build(item, TASK, Vocabulary(60, 64, 2, 0)), item.choices["num_layers"])

    within = [{"num_heads": 4}, {"intermediate_size": 96}, {"num_layers": 3}]
    within += [{"bottleneck_size": 16}, {"num_ffn": 4}] if family == "mobilebert" else []
    assert {digest(**changes) for changes in within} == {digest()}
    assert digest(hidden_size=192) != digest()


def test_models_that_are_not_of_equal_blocks_or_have_their_own_weights_are_not_composed(tmp_path: Path) -> None:
    counted = Counted(2.0, 3.0)
    made = composer(tmp_path, counted)
    assert made.compose(LatencySubject("teacher", None, None)) is None
    assert made.compose(LatencySubject("x", Architecture("tree", {"leaves": 3}), None)) is None
    assert made.compose(LatencySubject("pick 1", architecture(3), None, {"huggingface": tmp_path})) is None
    assert counted.seen == []


def test_store_that_is_cut_off_is_as_good_as_empty(tmp_path: Path) -> None:
    store = BlockStore(tmp_path)
    store.write({"a": 1}, [[4, 1.0, 0.1]])
    assert store.read({"a": 1}) == [[4, 1.0, 0.1]]
    for file in tmp_path.iterdir():
        file.write_text(file.read_text()[:9])
    assert store.read({"a": 1}) == []


def test_timings_of_the_reference_that_are_lost_are_taken_again(tmp_path: Path) -> None:
    counted = Counted(2.0, 3.0)
    composer(tmp_path, counted).compose(LatencySubject("x", architecture(9), None))
    for file in (tmp_path / "blocks").glob("*.json"):
        if "reference" in json.loads(file.read_text())["key"]:
            file.unlink()
    report = composer(tmp_path, counted).compose(LatencySubject("x", architecture(9), None))
    assert report is not None
    assert report.median == pytest.approx(2 + 9 * 3)
    assert counted.seen == ["4 blocks of x", "1 block of x", "4 blocks of x"]


def test_two_lists_as_long_as_the_depth_are_no_stack_of_blocks() -> None:
    one, two = build_tiny(4), build_tiny(4)
    one.heads = nn.ModuleList(nn.Linear(4, 4) for _ in range(4))
    two.heads = nn.ModuleList(nn.Linear(4, 8) for _ in range(4))
    assert outside_blocks(one, 4) != outside_blocks(two, 4)


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
    stored = [json.loads(path.read_text()) for path in (tmp_path / "blocks").glob("*.json")]
    assert [1, 4, 6] in [[row[0] for row in item["rows"]] for item in stored if "shape" in item["key"]]


def test_shallow_models_get_little_time_and_no_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    ask = WorkerProcess.ask

    def noted(worker: WorkerProcess, message: dict[str, Any], timeout: float) -> dict[str, Any]:
        asked.append(message)
        return ask(worker, message, timeout)

    monkeypatch.setattr(WorkerProcess, "ask", noted)
    context = LatencyContext("torch", (4,), tmp_path, None, build, model_key="tiny")
    settings: dict[str, Any] = {"max_seconds": 0.2, "compose_seconds": 0.1, "threads": 1, "compose": True}
    load = {"p99": True, "requests_per_second": 10.0, "max_batch": 2}
    made = TorchLatency(context, **dataclasses.asdict(TorchConfig(**settings, **load)))
    made.compose(LatencySubject("trial 3", architecture(6), None))
    whole = made.measure(LatencySubject("trial 3", architecture(6), lambda: build(architecture(6))))
    made.close()
    *shallow, last = [message for message in asked if message["command"] == "measure"]
    assert [(item["rule"]["max_seconds"], item["rule"]["min_requests"], item["batches"]) for item in shallow] == [
        (0.1, 0, [])
    ] * 2
    assert (last["rule"]["max_seconds"], last["rule"]["min_requests"], last["batches"]) == (0.2, 300, [1, 2])
    assert last["rule"]["turn_seconds"] > shallow[0]["rule"]["turn_seconds"]
    assert whole.loaded_p50_ms is not None


def test_graphs_of_another_operator_set_are_timed_anew(tmp_path: Path) -> None:
    """LayerNormalization is one operator from 17 on."""
    context = LatencyContext("ort", (4,), tmp_path, None, build, model_key="tiny")
    subject = LatencySubject("trial 3", architecture(6), None)
    quick = {"max_seconds": 0.05, "compose_seconds": 0.05, "threads": 1, "compose": True}
    stored = []
    for opset in (17, 14, 17):
        made = OnnxRuntimeLatency(context, **dataclasses.asdict(OnnxRuntimeConfig(**quick, opset=opset)))
        assert made.compose(subject) is not None
        made.close()
        stored.append(len(list((tmp_path / "blocks").glob("*.json"))))
    assert stored[0] < stored[1] == stored[2]


def test_gpu_without_a_name_is_not_composed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"latency\.ort\.compose keeps timings .* got none: .*compose=false"):
        on_gpu(tmp_path, compose=True)
    on_gpu(tmp_path).close()


@pytest.mark.parametrize(
    ("options", "more"),
    [({}, set()), ({"p99": True}, {"p99_ms"}), ({"requests_per_second": 9.0}, {"loaded_p50_ms", "loaded_p99_ms"})],
)
def test_a_backend_gives_what_its_workload_asks_for_and_its_runtime_tells(
    tmp_path: Path, options: dict[str, Any], more: set[str]
) -> None:
    single = {"p50_ms", "p90_ms", "throughput", "ratio_to_reference"} | more
    assert on_gpu(tmp_path, **options).metrics == single
    assert on_gpu(tmp_path, tells_gpu_memory=True, **options).metrics == single | {"peak_memory_bytes"}
    context = LatencyContext("torch", (4,), tmp_path, None)
    made = TorchLatency(context, **dataclasses.asdict(TorchConfig(threads=1, **options)))
    assert metrics_given(made) == single | {"peak_memory_bytes"}


def on_gpu(directory: Path, tells_gpu_memory: bool = False, **changes: Any) -> Measuring:
    """What a backend on a GPU is made of; nothing of it runs here."""
    context = LatencyContext("ort", (4,), directory, None, build, model_key="tiny")
    options: Any = dataclasses.asdict(MeasuredConfig(threads=1, **changes))
    return Measuring(
        context,
        component="onnxruntime",
        workload=workload_of(context, options, precision="fp32", threads=1, device="cuda"),
        runner="nowhere:Runner",
        runner_options={},
        packages=(),
        prepare=lambda subject: nullcontext(Artifact(directory, 60)),
        options=options,
        tells_gpu_memory=tells_gpu_memory,
    )


def test_another_version_of_autodistill_times_blocks_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = LatencyContext("torch", (4,), tmp_path, None, build, model_key="tiny")
    quick = TorchConfig(max_seconds=0.05, compose_seconds=0.05, threads=1, compose=True)
    stored = []
    for version in ("1.0", "1.1", "1.1"):
        monkeypatch.setattr("autodistill.latency.measuring.__version__", version)
        made = TorchLatency(context, **dataclasses.asdict(quick))
        assert made.compose(LatencySubject("trial 3", architecture(6), None)) is not None
        made.close()
        stored.append(len(list((tmp_path / "blocks").glob("*.json"))))
    assert stored[0] < stored[1] == stored[2]
