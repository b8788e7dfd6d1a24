from __future__ import annotations

import dataclasses
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from transformers import (
    AutoTokenizer,
    BertForMaskedLM,
    BertForPreTraining,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    MobileBertConfig,
    MobileBertForSequenceClassification,
)

from autodistill.components.outcome import ExportSubject
from autodistill.errors import ConfigError, ExportError
from autodistill.exporters.configs import OnnxConfig
from autodistill.exporters.onnx import OnnxExporter
from autodistill.exporters.onnx_export import export_onnx, is_quantised
from autodistill.exporters.onnx_session import quantise_onnx, run_onnx
from autodistill.exporters.parity import logits_of

OPSET = OnnxConfig().opset


def exporter(**changes: float) -> OnnxExporter:
    return OnnxExporter(**dataclasses.asdict(OnnxConfig(**changes)))  # type: ignore[arg-type]


def test_exported_file_answers_like_the_model_for_other_batch_sizes_and_lengths(
    subject: ExportSubject, leftovers: Path
) -> None:
    report = exporter().export(subject, leftovers / "onnx")
    assert report.path.name == "model.onnx"
    assert report.parity["n"] == 7
    assert report.parity["max_abs_difference"] < 1e-5
    assert report.parity["same_prediction"] == 1
    assert json.loads((leftovers / "onnx" / "parity.json").read_text()) == report.parity


def test_directory_has_what_serving_needs_beside_the_model(subject: ExportSubject, leftovers: Path) -> None:
    exporter().export(subject, leftovers / "onnx")
    assert json.loads((leftovers / "onnx" / "config.json").read_text())["vocab_size"] == 50
    assert AutoTokenizer.from_pretrained(leftovers / "onnx")("good")["input_ids"] == [2]


def test_opset_is_the_configured_one(subject: ExportSubject, tmp_path: Path) -> None:
    export_onnx(subject.model, tmp_path / "model.onnx", opset=14)
    assert [entry.version for entry in onnx.load(tmp_path / "model.onnx").opset_import if not entry.domain] == [14]


def test_difference_beyond_tolerance_is_an_error_with_the_numbers_and_leaves_nothing(
    subject: ExportSubject, leftovers: Path
) -> None:
    strict = exporter(absolute_tolerance=0, relative_tolerance=0)
    with pytest.raises(
        ExportError, match=r"ONNX export of pick 3 .*differ by up to \d.*of 7 examples.*allowed are 0 \+"
    ):
        strict.export(subject, leftovers / "onnx")
    assert list(leftovers.iterdir()) == []


def test_conversion_leaves_the_model_as_it_was_and_warns_of_nothing(subject: ExportSubject, tmp_path: Path) -> None:
    model = subject.model.train()
    before = model.config._attn_implementation
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_onnx(model, tmp_path / "model.onnx", opset=OPSET)
    assert model.training
    assert model.config._attn_implementation == before


def test_conversion_of_a_model_in_training_mode_has_no_dropout(subject: ExportSubject, tmp_path: Path) -> None:
    export_onnx(subject.model.train(), tmp_path / "model.onnx", opset=OPSET)
    answers = run_onnx(tmp_path / "model.onnx", subject.sample, threads=1)
    for expected, given in zip(logits_of(subject.model.eval(), subject.sample), answers, strict=True):
        np.testing.assert_allclose(given, expected, atol=1e-5)


def test_models_without_token_types_and_with_stacked_networks_convert(subject: ExportSubject, leftovers: Path) -> None:
    torch.manual_seed(0)
    distilbert = DistilBertForSequenceClassification(
        DistilBertConfig(vocab_size=50, dim=32, n_layers=1, n_heads=4, hidden_dim=48, max_position_embeddings=40)
    )
    mobilebert = MobileBertForSequenceClassification(
        MobileBertConfig(
            vocab_size=50,
            hidden_size=32,
            embedding_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            intra_bottleneck_size=16,
            max_position_embeddings=40,
        )
    )
    for name, model in {"distilbert": distilbert, "mobilebert": mobilebert}.items():
        report = exporter().export(dataclasses.replace(subject, model=model.eval()), leftovers / name)
        assert report.parity["same_prediction"] == 1


def test_logits_per_token_keep_a_free_token_axis(subject: ExportSubject, leftovers: Path) -> None:
    model = BertForMaskedLM(subject.model.config).eval()
    report = exporter().export(dataclasses.replace(subject, model=model), leftovers / "onnx")
    assert report.parity["n"] == sum(int(batch["attention_mask"].sum()) for batch in subject.sample)


def test_model_without_logits_is_refused_and_its_outputs_are_named(subject: ExportSubject, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"BertForPreTraining has no logits to export; its outputs are prediction_"):
        export_onnx(BertForPreTraining(subject.model.config), tmp_path / "model.onnx", opset=OPSET)


def test_quantised_copy_is_smaller_recognised_and_close(subject: ExportSubject, tmp_path: Path) -> None:
    export_onnx(subject.model, tmp_path / "model.onnx", opset=OPSET)
    quantise_onnx(tmp_path / "model.onnx", tmp_path / "int8.onnx")
    assert not is_quantised(tmp_path / "model.onnx")
    assert is_quantised(tmp_path / "int8.onnx")
    assert is_quantised(dequantising(tmp_path / "weights.onnx", weights=True))
    assert not is_quantised(dequantising(tmp_path / "activations.onnx", weights=False))
    answers = run_onnx(tmp_path / "int8.onnx", subject.sample, threads=1)
    for expected, given in zip(logits_of(subject.model, subject.sample), answers, strict=True):
        np.testing.assert_allclose(given, expected, atol=0.1)


def test_broken_file_is_an_error_with_the_runtimes_words(subject: ExportSubject, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("not a model")
    with pytest.raises(ExportError, match=r"onnxruntime cannot run model.onnx \(exit status 1\):(.|\n)*Protobuf"):
        run_onnx(tmp_path / "model.onnx", subject.sample, threads=1)


def test_this_process_never_loads_onnxruntime() -> None:
    assert "onnxruntime" not in sys.modules


def test_opset_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"export\.onnx\.opset must be between 14 and 20, got 9"):
        OnnxConfig(opset=9)


def dequantising(path: Path, *, weights: bool) -> Path:
    """A product in QDQ form, as static quantisation writes it: of int8 weights, or of activations alone."""
    scale = helper.make_tensor("scale", TensorProto.FLOAT, [], [0.5])
    weight = helper.make_tensor("weight", TensorProto.INT8, [2, 2], [1, 2, 3, 4])
    float_weight = helper.make_tensor("w", TensorProto.FLOAT, [2, 2], [1.0, 2.0, 3.0, 4.0])
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale"], ["quantised"]),
        helper.make_node("DequantizeLinear", ["quantised", "scale"], ["again"]),
        *([helper.make_node("DequantizeLinear", ["weight", "scale"], ["w"])] if weights else []),
        helper.make_node("MatMul", ["again", "w"], ["y"]),
    ]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 2])] for name in "xy"]
    graph = helper.make_graph(nodes, "product", *ends, initializer=[scale, weight if weights else float_weight])
    onnx.save(helper.make_model(graph), path)
    return path
