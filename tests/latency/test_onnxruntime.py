from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jsonschema import Draft202012Validator
from onnx import helper, save
from transformers import BertForSequenceClassification

from autodistill.components.architecture import Architecture
from autodistill.components.latency import (
    LATENCY_METRICS,
    AnsweringBackend,
    LatencyContext,
    LatencyReport,
    LatencySubject,
)
from autodistill.engine.cache import evict
from autodistill.errors import ConfigError, LatencyError
from autodistill.exporters.onnx_export import export_onnx
from autodistill.exporters.onnx_session import quantise_onnx, run_onnx
from autodistill.exporters.parity import logits_of
from autodistill.latency.configs import OnnxRuntimeConfig
from autodistill.latency.onnxruntime import OnnxRuntimeLatency
from autodistill.latency.process import WorkerProcess
from autodistill.latency.runners import PROVIDERS, with_options

from .conftest import build_tiny

Make = Callable[..., LatencySubject]

#: Metrics that exist under an offered load only.
LOADED = {"throughput_at_p99", "loaded_p50_ms", "loaded_p99_ms", "cost_per_million"}

#: Quick, and precise enough for what is asserted here.
QUICK: dict[str, Any] = {"max_seconds": 0.2, "threads": 1}


def backend(context: LatencyContext, **changes: Any) -> OnnxRuntimeLatency:
    return OnnxRuntimeLatency(context, **dataclasses.asdict(OnnxRuntimeConfig(**{**QUICK, **changes})))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, make_subject: Make) -> Iterator[tuple[Any, LatencyReport, Path]]:
    """A backend with a reference, after its first measurement."""
    work_dir = tmp_path_factory.mktemp("work")
    context = LatencyContext("onnxruntime", (4, 9, 33), work_dir, make_subject("teacher", layers=6))
    made = backend(context)
    yield made, made.measure(make_subject()), work_dir
    made.close()


def test_report_has_every_number_and_what_was_run(measured: tuple[Any, LatencyReport, Path]) -> None:
    _, report, _ = measured
    assert report.kind == "measured"
    assert report.workload == {
        "batch_size": 1,
        "lengths": [4, 9, 33],
        "precision": "fp32",
        "threads": 1,
        "device": "cpu",
    }
    assert report.n is not None
    assert report.n % 3 == 0
    assert report.ratio_to_reference is not None
    assert 0 < report.ratio_to_reference < 1  # one layer against six
    assert report.versions.keys() == {"python", "numpy", "onnxruntime"}
    assert report.artifact_sha256 is None
    assert set(report.metrics()) >= set(LATENCY_METRICS) - {"p99_ms", *LOADED}
    assert not set(report.metrics()) & LOADED


def test_report_satisfies_the_schema_of_summaries(measured: tuple[Any, LatencyReport, Path]) -> None:
    schema = json.loads(files("autodistill.testing").joinpath("summary.schema.json").read_text())
    _, report, _ = measured
    validator = Draft202012Validator({**schema["$defs"]["latency"], "$defs": schema["$defs"]})
    validator.validate(json.loads(json.dumps(report.as_dict())))


def test_one_worker_serves_many_models_and_holds_one_runtime(
    measured: tuple[Any, LatencyReport, Path], make_subject: Make
) -> None:
    made, _, _ = measured
    pid = made.worker_pid
    made.measure(make_subject("trial 4", layers=2))
    assert made.worker_pid == pid
    maps = Path(f"/proc/{pid}/maps").read_text()
    assert "onnxruntime" in maps
    assert "libtorch" not in maps
    assert "onnxruntime" not in sys.modules


def test_only_the_reference_is_kept_on_disk_while_measuring(measured: tuple[Any, LatencyReport, Path]) -> None:
    _, _, work_dir = measured
    assert [path.name for path in work_dir.rglob("*.onnx")] == ["model.onnx"]


def test_building_starts_no_process_and_closing_twice_removes_everything(
    context: LatencyContext, make_subject: Make
) -> None:
    made = backend(dataclasses.replace(context, reference=make_subject("teacher")))
    assert made.worker_pid is None
    made.measure(make_subject())
    made.close()
    made.close()
    assert made.worker_pid is None
    assert list(context.work_dir.iterdir()) == []
    made.measure(make_subject())  # and it can be used again
    made.close()


def test_killed_worker_is_an_error_that_names_model_and_backend_and_the_next_model_is_timed(
    context: LatencyContext, make_subject: Make
) -> None:
    made = backend(context)
    made.measure(make_subject())
    os.kill(made.worker_pid or 0, signal.SIGKILL)
    with pytest.raises(LatencyError, match=r"'onnxruntime' could not time trial 7: its worker was ended by SIGKILL"):
        made.measure(make_subject("trial 7"))
    assert made.measure(make_subject()).median > 0
    made.close()


def test_file_that_does_not_load_is_an_error_with_the_runtimes_words(context: LatencyContext, tmp_path: Path) -> None:
    path = tmp_path / "empty.onnx"
    save(helper.make_model(helper.make_graph([], "empty", [], [])), path)
    with pytest.raises(LatencyError, match=r"could not time pick 3: (InvalidGraph|Fail|RuntimeException|InvalidArg)"):
        backend(context).measure(LatencySubject("pick 3", None, None, {"onnx": path}))


def test_worker_is_restarted_after_the_configured_number_of_models(context: LatencyContext, make_subject: Make) -> None:
    made = backend(context, restart_after=1)
    made.measure(make_subject())
    first = made.worker_pid
    made.measure(make_subject())
    assert made.worker_pid != first
    made.close()


def test_a_full_cache_takes_neither_reference_nor_block_timings_from_a_backend(
    tmp_path: Path, make_subject: Make
) -> None:
    context = LatencyContext(
        "ort",
        (4,),
        tmp_path / "latency",
        make_subject("teacher", layers=2),
        lambda item: build_tiny(),
        model_key="tiny",
    )
    made = backend(context, restart_after=1, compose=True, compose_seconds=0.05)
    subject = LatencySubject("trial 3", Architecture("bert", {"num_layers": 2}), build_tiny)
    assert made.compose(subject) is not None
    assert evict(tmp_path, 0) == []
    assert made.measure(make_subject()).ratio_to_reference is not None  # by a new worker, which loads it again
    made.close()
    assert [path.name for path in evict(tmp_path, 0)] == ["blocks"]


def test_given_artifact_is_timed_and_its_digest_reported(context: LatencyContext, make_subject: Make) -> None:
    subject = make_subject()
    path = context.work_dir / "model.onnx"
    path.parent.mkdir()
    assert subject.build is not None
    export_onnx(subject.build(), path, opset=17)
    made = backend(context)
    report = made.measure(LatencySubject("pick 3", None, None, {"onnx": path}))
    assert report.artifact_sha256 is not None
    assert path.exists()
    made.close()


def test_int8_is_quantised_timed_and_reported_as_such(context: LatencyContext, make_subject: Make) -> None:
    made = backend(context, precision="int8", batch_size=2)
    report = made.measure(make_subject())
    assert report.precision == report.workload["precision"] == "int8"
    made.close()


def test_already_quantised_artifact_is_reported_as_int8(context: LatencyContext, make_subject: Make) -> None:
    from autodistill.exporters.onnx_session import quantise_onnx

    subject = make_subject()
    context.work_dir.mkdir()
    assert subject.build is not None
    export_onnx(subject.build(), context.work_dir / "model.onnx", opset=17)
    quantise_onnx(context.work_dir / "model.onnx", context.work_dir / "int8.onnx")
    made = backend(context)
    report = made.measure(LatencySubject("teacher_int8", None, None, {"onnx": context.work_dir / "int8.onnx"}))
    assert report.precision == "int8"
    made.close()


def test_workload_longer_than_the_positions_names_both(context: LatencyContext, make_subject: Make) -> None:
    with pytest.raises(ConfigError, match=r"lengths go up to 64 tokens, but trial 3 takes 40 positions"):
        backend(context, lengths=[8, 64]).measure(make_subject())


def test_subject_that_cannot_be_built_is_an_error_that_says_what_was_given(context: LatencyContext) -> None:
    with pytest.raises(LatencyError, match="could not time the thing: it is given as huggingface, which"):
        backend(context).measure(LatencySubject("the thing", None, None, {"huggingface": Path("x")}))


def test_no_lengths_anywhere_is_an_error_that_says_how_to_give_them(context: LatencyContext) -> None:
    with pytest.raises(ConfigError, match=r"latency\.onnxruntime\.lengths=\[128\]"):
        backend(dataclasses.replace(context, lengths=()))


def test_measuring_leaves_torchs_random_state_alone(context: LatencyContext, make_subject: Make) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    made = backend(context)
    made.measure(make_subject())
    made.close()
    assert torch.rand(1) == expected


def test_it_estimates_nothing(context: LatencyContext) -> None:
    assert backend(context).estimate([]) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, r"latency\.onnxruntime\.batch_size must be >= 1, got 0"),
        ({"lengths": []}, r"latency\.onnxruntime\.lengths must be null, .* or the path of a file of lengths, got \[\]"),
        ({"precision": "bf16"}, r"latency\.onnxruntime\.precision must be one of fp32, int8, got 'bf16'"),
        ({"threads": 0}, r"latency\.onnxruntime\.threads must be >= 1 or null, got 0"),
        ({"max_seconds": 0.0}, r"latency\.onnxruntime\.max_seconds must be > 0, got 0\.0"),
        ({"compose_seconds": 0.0}, r"latency\.onnxruntime\.compose_seconds must be > 0, got 0\.0"),
        ({"device": "tpu"}, r"latency\.onnxruntime\.device must be one of cpu, cuda, got 'tpu'"),
        ({"provider": "cuda"}, r"latency\.onnxruntime\.provider must be one of null, cpu, got 'cuda'"),
        ({"price_per_hour": 2.0}, r"price_per_hour gives the cost .*p99_limit_ms is null"),
        ({"max_batch": 32}, r"max_batch says how .* no such load.*p99_limit_ms=MILLISECONDS.*it is .*\.batch_size"),
        ({"max_wait_ms": 5.0}, r"max_wait_ms says how requests are batched .* no such load"),
        ({"max_batch": 0}, r"latency\.onnxruntime\.max_batch must be >= 1, got 0"),
        ({"requests_per_second": -1.0}, r"requests_per_second must be > 0 or null, got -1\.0"),
        ({"lengths": [0]}, r"lengths must be null, a number >= 1, a list"),
        ({"opset": 9}, r"latency\.onnxruntime\.opset must be between 14 and 20, got 9"),
    ],
)
def test_configuration_out_of_range_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OnnxRuntimeConfig(**changes)


def test_offered_load_gives_response_times_throughput_and_cost(context: LatencyContext, make_subject: Make) -> None:
    made = backend(context, p99_limit_ms=1000.0, max_batch=3, price_per_hour=2.0)
    report = made.measure(make_subject())
    made.close()
    assert set(report.metrics()) >= LOADED
    assert report.workload["load"]["max_batch"] == 3
    assert report.throughput_at_p99 is not None
    assert report.cost_per_million == pytest.approx(2.0 / 3600 / report.throughput_at_p99 * 1e6)
    assert report.loaded_p99_ms is not None
    assert 0 < report.loaded_p99_ms <= 1000


def test_p99_is_told_when_it_is_asked_for_however_short_the_time(context: LatencyContext, make_subject: Make) -> None:
    made = backend(context, max_seconds=0.01)
    without = made.measure(make_subject())
    made.close()
    made = backend(context, max_seconds=0.01, p99=True)
    report = made.measure(make_subject())
    made.close()
    assert without.n is not None
    assert report.n is not None
    assert report.n >= 300
    assert report.p99 is not None
    assert (without.p99 is None) == (without.n < 300)


@pytest.mark.parametrize(("provider", "name"), [(None, "CUDA"), ("cuda", "CUDA"), ("tensorrt", "Tensorrt")])
def test_provider_that_this_onnxruntime_lacks_is_refused_when_the_backend_is_made(
    context: LatencyContext, provider: str | None, name: str
) -> None:
    message = rf"device is cuda, but .* built without {name}ExecutionProvider; it has .*pip install onnxruntime-gpu"
    with pytest.raises(ConfigError, match=message):
        backend(context, device="cuda", provider=provider)
    assert "onnxruntime" not in sys.modules


def test_full_precision_on_a_gpu_is_no_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    assert dict(with_options(PROVIDERS["cuda"], "fp32")) == {"CUDAExecutionProvider": {"use_tf32": "0"}}
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "1"
    both = with_options(PROVIDERS["tensorrt"], "fp16")
    assert [name for name, _ in both] == ["TensorrtExecutionProvider", "CUDAExecutionProvider"]
    assert dict(both)["CUDAExecutionProvider"] == {"use_tf32": "0"}
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"  # TensorRT's way


def test_model_that_cannot_be_exported_names_the_operator(context: LatencyContext) -> None:
    from .conftest import build_tiny

    model = build_tiny()
    forward = model.classifier.forward
    model.classifier.forward = lambda hidden: torch.special.bessel_j0(forward(hidden))  # type: ignore[method-assign]
    with pytest.raises(LatencyError, match=r"(?s)could not time trial 5: .*cannot be written as ONNX.*bessel_j0"):
        backend(context).measure(LatencySubject("trial 5", None, lambda: model))


def test_answers_are_those_of_what_is_timed(
    context: LatencyContext, model: BertForSequenceClassification, batches: list[dict[str, Any]], tmp_path: Path
) -> None:
    subject = LatencySubject("pick 3", None, lambda: model)
    expected = logits_of(model, batches)
    found = {}
    for precision in ("fp32", "int8"):
        made = backend(context, precision=precision)
        assert isinstance(made, AnsweringBackend)
        found[precision] = list(made.answer(subject, batches))
        made.close()
    for one, other in zip(found["fp32"], expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    export_onnx(model, tmp_path / "full.onnx", opset=17)
    quantise_onnx(tmp_path / "full.onnx", tmp_path / "int8.onnx")
    for one, other, exact in zip(
        found["int8"], run_onnx(tmp_path / "int8.onnx", batches, threads=1), expected, strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-5)
        assert not np.allclose(one, exact, atol=1e-5)
    assert list(context.work_dir.iterdir()) == []


def test_a_model_that_cannot_answer_is_named(
    context: LatencyContext, batches: list[dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    node = helper.make_node("NoSuchOperator", ["x"], ["y"])
    value = [helper.make_tensor_value_info(name, 1, [1]) for name in "xy"]
    save(helper.make_model(helper.make_graph([node], "odd", value[:1], value[1:])), path)
    made = backend(context)
    with pytest.raises(LatencyError, match=r"(?s)'onnxruntime' could not run pick 3: .*NoSuchOperator"):
        list(made.answer(LatencySubject("pick 3", None, None, {"onnx": path}), batches))
    made.close()


def test_a_file_that_is_no_model_is_named(context: LatencyContext, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"nothing")
    with pytest.raises(LatencyError, match=r"'onnxruntime' could not time pick 3: .*model\.onnx is no ONNX file"):
        backend(context).measure(LatencySubject("pick 3", None, None, {"onnx": path}))


def test_many_batches_are_answered_part_by_part_in_order(
    context: LatencyContext,
    model: BertForSequenceClassification,
    batches: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("autodistill.latency.session.ANSWERED_AT_ONCE", 2)
    read = []

    def watched() -> Iterator[dict[str, Any]]:
        for place, batch in enumerate([*batches, *batches, batches[0]]):
            read.append(place)
            yield batch

    made = backend(context)
    answers = made.answer(LatencySubject("pick 3", None, lambda: model), watched())
    first = next(answers)
    assert read == [0, 1]
    rest = list(answers)
    made.close()
    expected = logits_of(model, [*batches, *batches, batches[0]])
    for one, other in zip([first, *rest], expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_runtime_that_takes_another_precision_here_answers_nothing(
    context: LatencyContext, make_subject: Make, batches: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = backend(context, precision="int8")
    monkeypatch.setattr(WorkerProcess, "ask", lambda *_: {"precision": "fp32"})
    with pytest.raises(
        LatencyError, match="could not run pick 3 in int8: the runtime computes in fp32 on this machine"
    ):
        list(made.answer(LatencySubject("pick 3", None, make_subject().build), batches))
    made.close()
