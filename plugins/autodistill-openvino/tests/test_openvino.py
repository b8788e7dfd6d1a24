"""The backend on tiny real models; skipped where OpenVINO or this plugin is not installed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import BertConfig, BertForSequenceClassification

from autodistill.components.latency import AnsweringBackend, LatencyContext, LatencySubject
from autodistill.errors import ConfigError, LatencyError
from autodistill.exporters.onnx_export import export_onnx
from autodistill.exporters.parity import logits_of

if find_spec("autodistill_openvino") is None or find_spec("openvino") is None:
    pytest.skip("needs: pip install -e plugins/autodistill-openvino", allow_module_level=True)

from autodistill_openvino._backend import OpenVinoLatency
from autodistill_openvino._runner import precision_taken
from autodistill_openvino.configs import OpenVinoConfig
from autodistill_openvino.plugin import autodistill_latency_backends

Make = Callable[..., LatencySubject]


def build(layers: int) -> BertForSequenceClassification:
    sizes = {"vocab_size": 60, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48}
    return BertForSequenceClassification(
        BertConfig(**sizes, num_hidden_layers=layers, max_position_embeddings=40)
    ).eval()


def subject(name: str = "trial 3", layers: int = 1) -> LatencySubject:
    return LatencySubject(name, None, lambda: build(layers))


@pytest.fixture
def context(tmp_path: Path) -> LatencyContext:
    return LatencyContext("openvino", (4, 9), tmp_path / "work", None)


def backend(context: LatencyContext, **changes: Any) -> OpenVinoLatency:
    config = OpenVinoConfig(**{"max_seconds": 0.2, "threads": 1, **changes})
    return OpenVinoLatency(context, **dataclasses.asdict(config))


def test_models_are_timed_against_the_reference(context: LatencyContext) -> None:
    made = backend(dataclasses.replace(context, reference=subject("teacher", layers=8)))
    report = made.measure(subject())
    made.close()
    assert (report.kind, report.backend, report.precision) == ("measured", "openvino", "fp32")
    assert report.ratio_to_reference is not None
    assert 0 < report.ratio_to_reference < 1
    assert report.versions.keys() == {"python", "openvino"}
    assert list(context.work_dir.iterdir()) == []


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_other_precisions_run_and_are_reported(context: LatencyContext, precision: str) -> None:
    made = backend(context, precision=precision, batch_size=2)
    report = made.measure(subject())
    made.close()
    import openvino

    has_it = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert report.precision == report.workload["precision"] == (precision if has_it or precision == "int8" else "fp32")
    assert report.median > 0


@pytest.mark.parametrize(
    ("asked", "hint", "capabilities", "taken"),
    [
        ("bf16", "bf16", ["BF16", "FP32"], "bf16"),
        ("bf16", "f32", ["FP32"], "fp32"),
        ("bf16", "bf16", ["FP32"], "fp32"),
        ("int8", "f32", ["FP32"], "int8"),
        ("fp32", "f32", ["BF16", "FP32"], "fp32"),
    ],
)
def test_bf16_on_a_cpu_without_it_is_not_called_bf16(
    asked: str, hint: str, capabilities: list[str], taken: str
) -> None:
    assert precision_taken(asked, hint, capabilities) == taken


def test_exported_file_is_timed_as_it_is(context: LatencyContext, tmp_path: Path) -> None:
    export_onnx(build(1), tmp_path / "model.onnx", opset=17)
    made = backend(context)
    report = made.measure(LatencySubject("pick 1", None, None, {"onnx": tmp_path / "model.onnx"}))
    made.close()
    assert report.artifact_sha256 is not None


def test_runner_gives_the_models_logits(context: LatencyContext, tmp_path: Path) -> None:
    """In a process of its own: two runtimes in one fight over threads."""
    import json
    import subprocess
    import sys

    import torch

    from autodistill.exporters.onnx_session import package_environment

    model = build(2)
    export_onnx(model, tmp_path / "model.onnx", opset=17)
    code = (
        "import sys, json, numpy as np\n"
        "from pathlib import Path\n"
        "from autodistill.latency.runners import Setup\n"
        "from autodistill.latency.worker import requests_of\n"
        "from autodistill_openvino._runner import OpenVinoRunner\n"
        "setup = Setup(2, (7,), 'fp32', 1, 'cpu')\n"
        "runner = OpenVinoRunner(Path(sys.argv[1]), setup)\n"
        "inputs = requests_of(setup, 60)[0]\n"
        "runner.run(runner.prepare(inputs))\n"
        "ids, logits = inputs['input_ids'].tolist(), runner._request.get_output_tensor(0).data.tolist()\n"
        "assert runner.logits(inputs).tolist() == logits\n"
        "print(json.dumps([ids, logits]))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, env=package_environment(), check=True)
    ids, logits = json.loads(done.stdout.splitlines()[-1])
    with torch.inference_mode():
        expected = model(torch.tensor(ids)).logits
    torch.testing.assert_close(torch.tensor(logits), expected, rtol=1e-3, atol=1e-4)


def test_int8_answers_are_near_those_of_the_model(context: LatencyContext) -> None:
    model = build(2)
    words = np.arange(2, 16).reshape(2, 7)
    batch = {"input_ids": words, "attention_mask": np.ones_like(words), "token_type_ids": np.zeros_like(words)}
    made = backend(context, precision="int8")
    assert isinstance(made, AnsweringBackend)
    (answers,) = list(made.answer(LatencySubject("pick 3", None, lambda: model), [batch]))
    made.close()
    (expected,) = logits_of(model, [batch])
    np.testing.assert_allclose(answers, expected, atol=0.05)
    assert not np.allclose(answers, expected, atol=1e-6)


def test_workload_longer_than_the_positions_names_both(context: LatencyContext) -> None:
    with pytest.raises(ConfigError, match=r"lengths go up to 64 tokens, but trial 3 takes 40 positions"):
        backend(context, lengths=64).measure(subject())


def test_file_that_openvino_cannot_read_is_an_error_with_its_words(context: LatencyContext, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    from onnx import helper, save

    node = helper.make_node("NoSuchOperator", ["x"], ["y"])
    value = [helper.make_tensor_value_info(name, 1, [1]) for name in "xy"]
    save(helper.make_model(helper.make_graph([node], "odd", value[:1], value[1:])), path)
    with pytest.raises(LatencyError, match=r"(?s)'openvino' could not time pick 1: .*NoSuchOperator"):
        backend(context).measure(LatencySubject("pick 1", None, None, {"onnx": path}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precision": "fp16"}, r"latency\.openvino\.precision must be one of fp32, bf16, int8"),
        ({"device": "gpu"}, r"latency\.openvino\.device must be one of cpu"),
        ({"opset": 9}, r"latency\.openvino\.opset must be between 14 and 20"),
        ({"threads": 0}, r"latency\.openvino\.threads must be >= 1"),
    ],
)
def test_configuration_out_of_range_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OpenVinoConfig(**changes)


def test_it_is_registered_with_what_it_needs() -> None:
    (spec,) = autodistill_latency_backends()
    assert (spec.name, spec.requires, spec.install_hint) == ("openvino", ("openvino",), "pip install openvino")
