from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from autodistill.components.architecture import Architecture
from autodistill.components.latency import LatencyContext, LatencySubject
from autodistill.components.students import Vocabulary
from autodistill.components.task import TaskSpec
from autodistill.errors import ConfigError, LatencyError
from autodistill.exporters.huggingface import save_pretrained
from autodistill.latency import calibration
from autodistill.latency.chip import Chip, chip_of
from autodistill.latency.configs import RooflineConfig
from autodistill.latency.lock import DeviceLock
from autodistill.latency.operators import encoder_flops, operators_of
from autodistill.latency.roofline import RooflineLatency, costs, total_ms
from autodistill.latency.trace import architecture_of_config, traced_operators
from autodistill.registry import default_registry

VOCABULARY = Vocabulary(500, 64, 2, 0)
CHIP = Chip("Mine", {"bf16": 100.0}, 500.0)

sizes = st.fixed_dictionaries(
    {
        "num_layers": st.integers(1, 24),
        "hidden_size": st.sampled_from([64, 128, 256]),
        "num_heads": st.sampled_from([1, 2, 4]),
        "intermediate_size": st.integers(16, 1024),
    }
)
mobile_sizes = st.fixed_dictionaries(
    {
        "num_layers": st.integers(1, 24),
        "hidden_size": st.sampled_from([160, 256, 512]),
        "bottleneck_size": st.sampled_from([64, 128]),
        "num_heads": st.sampled_from([1, 2, 4]),
        "intermediate_size": st.integers(16, 1024),
        "num_ffn": st.integers(1, 4),
    }
)


@pytest.fixture(scope="module")
def families() -> dict[str, Any]:
    registry = default_registry()
    return {
        name: registry.create("student", name, vars(registry.get("student", name).spec.config()))
        for name in ("bert", "mobilebert")
    }


@pytest.fixture(scope="module")
def task() -> TaskSpec:
    return TaskSpec("classification", ("a", "b", "c"), ("text",), "classification.accuracy")


@pytest.fixture
def context(tmp_path: Path, families: dict[str, Any], task: TaskSpec) -> LatencyContext:
    return LatencyContext(
        "roofline",
        (8, 32),
        tmp_path / "work",
        None,
        build=lambda item: families[item.family].build(item, task, VOCABULARY),
        flops=lambda item, tokens: families[item.family].flops(item, task, VOCABULARY, tokens),
        max_positions=VOCABULARY.max_positions,
    )


def backend(context: LatencyContext, **changes: Any) -> RooflineLatency:
    given = {"chip": "tpu_v4i", **changes}
    return RooflineLatency(context, **dataclasses.asdict(RooflineConfig(**given)))


def bert(**changes: int) -> Architecture:
    choices = {"num_layers": 2, "hidden_size": 64, "num_heads": 4, "intermediate_size": 128, **changes}
    return Architecture("bert", choices)


# -- operators -----------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(choices=st.one_of(sizes, mobile_sizes), tokens=st.integers(1, 64))
def test_operators_and_head_have_the_flops_that_the_family_counts(
    choices: dict[str, int], tokens: int, families: dict[str, Any], task: TaskSpec, tmp_path_factory: Any
) -> None:
    family = "mobilebert" if "num_ffn" in choices else "bert"
    architecture = Architecture(family, dict(choices))
    flops = lambda item, length: families[family].flops(item, task, VOCABULARY, length)  # noqa: E731
    context = LatencyContext("roofline", (tokens,), tmp_path_factory.getbasetemp(), None, flops=flops)
    operators = backend(context)._encoder_and_head([architecture], 3)
    assert encoder_flops(operators)[0, 0] == pytest.approx(3 * flops(architecture, tokens), rel=1e-9)


@pytest.mark.parametrize(
    "architecture",
    [
        bert(),
        Architecture(
            "mobilebert",
            {
                "num_layers": 2,
                "hidden_size": 160,
                "bottleneck_size": 64,
                "num_heads": 4,
                "intermediate_size": 96,
                "num_ffn": 2,
            },
        ),
    ],
)
def test_traced_model_agrees_with_the_closed_form(architecture: Architecture, context: LatencyContext) -> None:
    assert context.build is not None
    model = context.build(architecture)
    closed = backend(context)._encoder_and_head([architecture], 2)
    traced = traced_operators(model, 2, (8, 32), "it")
    np.testing.assert_allclose(encoder_flops(traced), encoder_flops(closed), rtol=1e-6)
    one, other = total_ms(costs(closed, CHIP, "bf16")), total_ms(costs(traced, CHIP, "bf16"))
    np.testing.assert_allclose(one, other, rtol=0.35)  # a trace sees every small addition and copy by itself
    assert architecture_of_config(model.config.to_dict()) == architecture


# -- the model of a chip -------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(choices=sizes, batch=st.integers(1, 16))
def test_more_work_takes_longer_and_a_better_chip_is_faster(choices: dict[str, int], batch: int) -> None:
    lengths = np.array([8.0, 64.0])
    architecture = Architecture("bert", dict(choices))
    deeper = Architecture("bert", {**choices, "num_layers": choices["num_layers"] + 1})
    wider = Architecture("bert", {**choices, "intermediate_size": choices["intermediate_size"] + 64})

    def times(item: Architecture, size: int, chip: Chip) -> Any:
        return total_ms(costs(operators_of([item], size, lengths), chip, "bf16"))

    base = times(architecture, batch, CHIP)
    assert (base > 0).all()
    assert base[0, 0] < base[0, 1]
    for slower in (times(deeper, batch, CHIP), times(wider, batch, CHIP), times(architecture, batch + 1, CHIP)):
        assert (slower > base).all()
    better = dataclasses.replace(CHIP, memory_gb_per_s=1000.0, peak_tflops={"bf16": 200.0})
    np.testing.assert_allclose(times(architecture, batch, better), base / 2)
    worse = dataclasses.replace(CHIP, launch_overhead_us=5.0)
    assert (times(architecture, batch, worse) > base).all()
    near = dataclasses.replace(CHIP, on_chip_mb=1000.0)
    assert (times(architecture, batch, near) < base).all()


def test_side_of_the_roof_follows_the_intensity() -> None:
    lengths = np.array([512.0])
    big = Architecture("bert", {"num_layers": 1, "hidden_size": 1024, "num_heads": 16, "intermediate_size": 4096})
    for bandwidth, side in ((1e5, 0), (1.0, 2)):
        chip = dataclasses.replace(CHIP, memory_gb_per_s=bandwidth)
        found = {cost.name: cost for cost in costs(operators_of([big], 8, lengths), chip, "bf16")}
        assert int(found["feed-forward in"].parts[:, 0, 0].argmax()) == side


def test_memory_on_the_chip_is_given_away_once() -> None:
    lengths, item = np.array([64.0]), bert(num_layers=4)
    operators = operators_of([item], 8, lengths)
    weights = sum(float(np.max(found.count * found.weights)) for found in operators) * 2  # bytes in bf16
    passed = max(float(np.max(found.activations)) for found in operators) * 2
    tight = dataclasses.replace(CHIP, on_chip_mb=(weights + passed / 2) / 1e6)  # either fits, both do not
    roomy = dataclasses.replace(CHIP, on_chip_mb=(weights + passed) / 1e6)
    assert sum(float(cost.bytes.sum()) for cost in costs(operators, roomy, "bf16")) == 0
    largest = max(costs(operators, tight, "bf16"), key=lambda cost: float(cost.bytes.max()))
    assert float(largest.bytes.max()) == pytest.approx(passed)  # its weights are near, its activations are not


def test_head_over_tokens_has_a_row_for_every_token(families: dict[str, Any], tmp_path: Path) -> None:
    masked = TaskSpec("mlm", (), ("text",), "mlm.accuracy")
    made = backend(
        LatencyContext(
            *("roofline", (32,), tmp_path, None),
            flops=lambda item, length: families["bert"].flops(item, masked, VOCABULARY, length),
        )
    )
    head = {item.name: item for item in made._encoder_and_head([bert()], 3)}["head over tokens"]
    assert np.asarray(head.rows).item() == 3 * 32
    width, words = 64, VOCABULARY.size
    assert np.asarray(head.flops).item() == pytest.approx(2 * 96 * (width * words + width * width), rel=0.01)
    assert np.asarray(head.activations).item() > 96 * words  # a number for every word of every token is written


def test_estimates_say_when_the_sheet_lacks_figures_or_tells_of_a_floor(
    context: LatencyContext, tmp_path: Path
) -> None:
    lacking = "name: Small\npeak_tflops: {bf16: 100}\nmemory_gb_per_s: 500\n"
    (tmp_path / "lacking.yaml").write_text(lacking)
    complete = lacking + "vector_tops: 1\nlaunch_overhead_us: 1\nfloor_us: 1000\n"
    (tmp_path / "complete.yaml").write_text(complete)
    subject = LatencySubject("x", bert(), None)
    assert backend(context, chip=str(tmp_path / "lacking.yaml")).measure(subject).flags == ["lower_bound"]
    assert backend(context, chip=str(tmp_path / "complete.yaml")).measure(subject).flags == ["below_floor"]
    assert backend(context).measure(subject).flags == []


def test_small_model_on_the_papers_chip_takes_at_least_its_launches(context: LatencyContext) -> None:
    report = backend(context).measure(LatencySubject("x", bert(), None))
    assert report.median > sum(row["count"] for row in report.breakdown) * 1e-3  # 1 us each
    assert any(row["on_chip_bytes"] > 0 and row["bytes"] == 0 for row in report.breakdown)


# -- the backend ---------------------------------------------------------------------------------------------------


def test_report_is_analytical_and_adds_up(context: LatencyContext) -> None:
    report = backend(context).measure(LatencySubject("trial 1", bert(), None))
    assert report.kind == "analytical"
    assert report.device == "Google TPU v4i"
    assert (report.precision, report.n, report.relative_half_width) == ("bf16", None, None)
    assert report.p90 is not None
    assert report.p90 >= report.median
    assert {row["side"] for row in report.breakdown} <= {"compute", "vector", "memory", "on-chip memory", "launch"}
    shares = [row["ms"] for row in report.breakdown]
    assert shares == sorted(shares, reverse=True)
    # The breakdown is that of one of the two lengths, between which the median lies.
    assert sum(shares) <= report.median * (1 + 1e-9)


def test_estimates_are_what_measuring_says_and_unknown_families_are_nan(context: LatencyContext) -> None:
    teacher = LatencySubject("teacher", None, lambda: context.build(bert(num_layers=6)))  # type: ignore[misc]
    made = backend(dataclasses.replace(context, reference=teacher))
    architectures = [bert(num_layers=depth) for depth in (1, 3)] + [Architecture("tree", {"leaves": 2})]
    found = made.estimate(architectures)
    assert found is not None
    for row, item in enumerate(architectures[:2]):
        report = made.measure(LatencySubject("x", item, None)).metrics()
        assert {name: float(values[row]) for name, (values, _) in found.items()} == pytest.approx(report)
    assert all(np.isnan(values[2]) and np.isnan(variances[2]) for values, variances in found.values())
    assert found["ratio_to_reference"][0][0] < found["ratio_to_reference"][0][1] < 1
    assert made.estimate([Architecture("tree", {"leaves": 2})]) is None


def test_saved_and_built_models_are_costed_like_their_architecture(context: LatencyContext, tmp_path: Path) -> None:
    assert context.build is not None
    made = backend(context)
    expected = made.measure(LatencySubject("x", bert(), None)).median
    save_pretrained(context.build(bert()), tmp_path / "hf")
    saved = made.measure(LatencySubject("saved", None, None, {"huggingface": tmp_path / "hf"}))
    built = made.measure(LatencySubject("built", None, lambda: context.build(bert())))  # type: ignore[misc]
    assert saved.median == built.median == expected


def test_model_of_an_unknown_family_is_traced(context: LatencyContext) -> None:
    config = DistilBertConfig(vocab_size=100, dim=64, n_layers=2, n_heads=4, hidden_dim=128, max_position_embeddings=64)
    report = backend(context).measure(
        LatencySubject("distilbert", None, lambda: DistilBertForSequenceClassification(config).eval())
    )
    assert report.median > 0
    assert len(report.breakdown) > 3


def test_offered_load_works_without_a_device(context: LatencyContext) -> None:
    report = backend(context, p99_limit_ms=5.0, price_per_hour=1.0).measure(LatencySubject("x", bert(), None))
    assert report.throughput_at_p99 is not None
    assert report.throughput_at_p99 > 0
    assert report.cost_per_million is not None


def test_precision_that_the_sheet_does_not_tell_names_those_that_it_does(context: LatencyContext) -> None:
    with pytest.raises(
        ConfigError, match=r"roofline\.precision is fp32, but .* Google TPU v4i tells no peak of it; it tells bf16"
    ):
        backend(context, precision="fp32")


def test_workload_longer_than_the_positions_names_both(context: LatencyContext) -> None:
    with pytest.raises(ConfigError, match="lengths go up to 65 tokens, but teacher and students take 64 pos"):
        backend(context, lengths=[8, 65])
    saved = context.build(bert())  # type: ignore[misc]
    made = backend(dataclasses.replace(context, max_positions=None), lengths=65)
    with pytest.raises(ConfigError, match="lengths go up to 65 tokens, but pick 1 takes 64 positions"):
        made.measure(LatencySubject("pick 1", None, lambda: saved))


def test_model_that_does_not_fit_the_memory_is_refused(context: LatencyContext, tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text("name: Small\npeak_tflops: {int8: 1}\nmemory_gb_per_s: 10\nmemory_gb: 0.001\n")
    made = backend(context, chip=str(path))
    with pytest.raises(LatencyError, match=r"trial 1 has weights of .* GB in int8, Small has 0\.001 GB"):
        made.measure(LatencySubject("trial 1", bert(hidden_size=1024), None))
    estimates = made.estimate([bert(), bert(hidden_size=1024), bert(num_layers=1)])
    assert estimates is not None
    for values, variances in estimates.values():
        assert np.isnan(values).tolist() == np.isnan(variances).tolist() == [False, True, False]


def test_this_machine_is_calibrated_once_and_kept(context: LatencyContext, monkeypatch: pytest.MonkeyPatch) -> None:
    first = backend(context, chip="this_machine", threads=1)
    report = first.measure(LatencySubject("x", bert(), None))
    assert report.median > 0
    assert report.precision == "fp32"
    (sheet,) = (context.work_dir / "chips").glob("*.json")
    written = sheet.stat().st_mtime_ns
    assert backend(context, chip="this_machine", threads=1).chip == chip_of(dataclasses.asdict(first.chip), "x")
    assert sheet.stat().st_mtime_ns == written


def test_fast_memory_holds_source_and_target_of_the_largest_fast_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_copy", lambda size, device: 40e9 if size <= 2**20 else 10e9)
    monkeypatch.setattr(calibration, "_seconds", lambda call, device: 1e-6)
    monkeypatch.setattr(calibration, "_peak", lambda dtype, device: 0.1)
    sheet = calibration.calibrate("cpu", 1)
    assert (sheet["on_chip_mb"], sheet["on_chip_gb_per_s"]) == (2 * 2**20 / 1e6, 40.0)
    assert sheet["memory_gb_per_s"] == 10.0


def test_a_sheet_that_another_process_made_meanwhile_is_taken(
    context: LatencyContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autodistill.latency.lock.PLACES", (tmp_path,))
    monkeypatch.setattr(calibration, "_run", lambda *_: pytest.fail("calibrated once more"))
    waiting = threading.Event()
    held = calibration.DeviceLock.held
    other = DeviceLock("cpu")
    with ThreadPoolExecutor() as pool:
        with other.held():
            # Only now: the event is of the one that waits, not of the lock above.
            monkeypatch.setattr(calibration.DeviceLock, "held", lambda lock: waiting.set() or held(lock))
            sheet = pool.submit(calibration.calibrated_chip, context, "cpu", 1)
            assert waiting.wait(60)
            (context.work_dir / "chips").mkdir()
            key = calibration.sheet_of(context.work_dir, "cpu", 1)
            key.write_text(json.dumps(dataclasses.asdict(CHIP)))
        assert sheet.result(60) == CHIP
    other.close()


def test_the_studys_own_sheet_of_this_machine_is_taken_without_calibrating(
    context: LatencyContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "_run", lambda *_: pytest.fail("calibrated once more"))
    chip = dataclasses.replace(CHIP, peak_tflops={"fp32": 1.0})
    told = json.loads(json.dumps(dataclasses.asdict(chip)))
    made = backend(dataclasses.replace(context, calibration=told), chip="this_machine", threads=1)
    assert made.chip == chip
    assert made.calibration == told
    assert backend(context).calibration is None  # of a chip that is not here


@pytest.mark.parametrize("make", [lambda: RooflineConfig(chip=""), lambda: RooflineConfig(threads=0)])
def test_configuration_out_of_range_is_refused(make: Callable[[], RooflineConfig]) -> None:
    with pytest.raises(ConfigError, match=r"latency\.roofline\."):
        make()
