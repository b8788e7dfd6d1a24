from __future__ import annotations

import dataclasses
import json
from copy import deepcopy
from pathlib import Path

import onnx
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForMaskedLM,
    BertForSequenceClassification,
)

from autodistill.components.outcome import ExportSubject
from autodistill.errors import ConfigError, ExportError
from autodistill.exporters.auto_classes import load_pretrained
from autodistill.exporters.configs import HuggingFaceConfig
from autodistill.exporters.huggingface import HuggingFaceExporter, save_pretrained
from autodistill.exporters.onnx_export import export_onnx

# A few units in the last place of logits below one.
ROUNDING = 1e-6


def exporter(**changes: float) -> HuggingFaceExporter:
    return HuggingFaceExporter(**dataclasses.asdict(HuggingFaceConfig(**changes)))


def test_exported_directory_loads_with_auto_classes_and_answers_the_same(
    subject: ExportSubject, leftovers: Path
) -> None:
    report = exporter().export(subject, leftovers / "hf")
    model = AutoModelForSequenceClassification.from_pretrained(report.path)
    tokenizer = AutoTokenizer.from_pretrained(report.path)
    assert type(model) is BertForSequenceClassification
    saved, loaded = subject.model.state_dict(), model.state_dict()
    assert saved.keys() == loaded.keys()
    assert all(torch.equal(saved[name], loaded[name]) for name in saved)
    inputs = tokenizer(["good bad good"], return_tensors="pt")
    with torch.inference_mode():  # equal weights at other addresses may be added up in another order
        torch.testing.assert_close(model(**inputs).logits, subject.model(**inputs).logits, rtol=0, atol=ROUNDING)


def test_a_model_saved_in_half_precision_is_loaded_and_exported_in_float32(
    subject: ExportSubject, tmp_path: Path
) -> None:
    save_pretrained(deepcopy(subject.model).half(), tmp_path / "half")
    model = load_pretrained(tmp_path / "half")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    export_onnx(model, tmp_path / "model.onnx", opset=17)
    types = {tensor.data_type for tensor in onnx.load(tmp_path / "model.onnx").graph.initializer}
    assert onnx.TensorProto.FLOAT in types
    assert onnx.TensorProto.FLOAT16 not in types


def test_weights_are_safetensors_without_any_pickle(subject: ExportSubject, leftovers: Path) -> None:
    report = exporter().export(subject, leftovers / "hf")
    endings = {path.suffix for path in report.path.iterdir()}
    assert ".safetensors" in endings
    assert endings <= {".safetensors", ".json"}


def test_report_tells_parity_over_every_example_of_the_sample(subject: ExportSubject, leftovers: Path) -> None:
    report = exporter().export(subject, leftovers / "hf")
    assert report.parity["n"] == 7
    assert report.parity["max_abs_difference"] <= ROUNDING
    assert report.parity["same_prediction"] == 1
    assert json.loads((report.path / "parity.json").read_text()) == report.parity
    assert report.bytes > 4 * subject.model.num_parameters()
    assert len(report.sha256) == 64


def test_exporting_again_replaces_the_whole_directory(subject: ExportSubject, leftovers: Path) -> None:
    exporter().export(subject, leftovers / "hf")
    (leftovers / "hf" / "stale").write_text("from an earlier export")
    exporter().export(subject, leftovers / "hf")
    assert not (leftovers / "hf" / "stale").exists()


def test_per_token_logits_are_compared_at_unmasked_tokens_only(subject: ExportSubject, leftovers: Path) -> None:
    model = BertForMaskedLM(subject.model.config).eval()
    report = exporter().export(dataclasses.replace(subject, model=model), leftovers / "hf")
    assert report.parity["n"] == sum(int(batch["attention_mask"].sum()) for batch in subject.sample)


def test_model_that_loads_as_another_class_is_refused_and_leaves_nothing(
    subject: ExportSubject, leftovers: Path
) -> None:
    class OddForSequenceClassification(BertForSequenceClassification):  # type: ignore[misc]
        pass

    model = OddForSequenceClassification(subject.model.config).eval()
    with pytest.raises(ExportError, match=r"pick 3 loads as BertForSequenceClassification.*is a OddForSequence"):
        exporter().export(dataclasses.replace(subject, model=model), leftovers / "hf")
    assert list(leftovers.iterdir()) == []


@pytest.mark.parametrize("told", [False, True])
def test_tokeniser_that_tells_other_segments_than_the_model_was_trained_with_is_refused(
    subject: ExportSubject, leftovers: Path, told: bool
) -> None:
    task = dataclasses.replace(subject.task, text_columns=("first", "second"))
    sample = [batch | {"token_type_ids": batch["attention_mask"] * (not told)} for batch in subject.sample]
    if told:
        names = [*subject.tokenizer.model_input_names, "token_type_ids"]
        subject.tokenizer.model_input_names = subject.tokenizer.init_kwargs["model_input_names"] = names
    message = (
        r"pick 3 tells the second .*trained without that" if told else r"pick 3 does not tell .* was trained with that"
    )
    with pytest.raises(ExportError, match=message):
        exporter().export(dataclasses.replace(subject, task=task, sample=sample), leftovers / "hf")
    assert list(leftovers.iterdir()) == []


def test_negative_tolerance_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"relative_tolerance must be >= 0 and finite, got inf"):
        HuggingFaceConfig(relative_tolerance=float("inf"))
    with pytest.raises(ConfigError, match=r"export\.huggingface\.absolute_tolerance must be >= 0 and finite, got -1"):
        HuggingFaceConfig(absolute_tolerance=-1)
