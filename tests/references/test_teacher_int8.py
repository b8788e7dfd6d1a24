"""The reference `teacher_int8`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from inspect import Parameter, signature
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from autodistill.components.specs import ComponentSpec
from autodistill.components.students import ReferenceContext
from autodistill.errors import ConfigError
from autodistill.references.configs import TeacherInt8Config
from autodistill.references.plugin import autodistill_references
from autodistill.references.teacher_int8 import TeacherInt8

MakeContext = Callable[..., ReferenceContext]


def make(context: ReferenceContext, **changes: Any) -> TeacherInt8:
    return TeacherInt8(context, **asdict(TeacherInt8Config(**changes)))


@pytest.mark.parametrize("columns", [1, 2])
def test_quantised_teacher_answers_nearly_like_the_teacher_in_the_order_of_the_split(
    make_context: MakeContext, columns: int
) -> None:
    context = make_context(columns)
    reference = make(context, batch_size=7)
    assert reference.available() is None
    result = reference.measure()
    model = AutoModelForSequenceClassification.from_pretrained(context.teacher_dir)
    tokenizer = AutoTokenizer.from_pretrained(context.teacher_dir)
    split = context.splits["test"]
    texts = [list(split[name]) for name in context.task.text_columns]
    inputs = tokenizer(*texts, truncation=True, max_length=12, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs).logits.numpy()
    given = result.logits["test"]
    assert given.shape == (60, 2)
    assert np.corrcoef(given[:, 0], expected[:, 0])[0, 1] > 0.98
    assert not np.allclose(given, expected, atol=1e-6)
    assert result.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_onnx_file_is_left_for_timing_and_the_full_precision_one_is_not(make_context: MakeContext) -> None:
    context = make_context(roles=("train", "select"))
    result = make(context).measure()
    assert result.onnx_path == context.work_dir / "teacher_int8.onnx"
    assert [path.name for path in context.work_dir.iterdir()] == ["teacher_int8.onnx"]
    assert result.notes["bytes"] == result.onnx_path.stat().st_size
    assert result.notes["precision"] == "int8"
    assert set(result.logits) == {"select"}


def test_reason_is_given_where_it_cannot_be_measured(make_context: MakeContext) -> None:
    reference = make(make_context(kind="mlm", labels=()))
    assert reference.available() == "teacher_int8 cannot answer tasks of kind mlm"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("opset", 12, r"reference.teacher_int8.opset must be in \[14, 20\], got 12."),
        ("batch_size", 0, "reference.teacher_int8.batch_size must be >= 1, got 0."),
        ("threads", 0, "reference.teacher_int8.threads must be >= 1, got 0."),
    ],
)
def test_values_out_of_range_are_refused(field: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TeacherInt8Config(**{field: value})


@pytest.mark.parametrize("spec", autodistill_references(), ids=lambda spec: spec.name)
def test_constructor_takes_every_field_and_repeats_no_default(spec: ComponentSpec) -> None:
    module, attribute = spec.target.split(":")
    parameters = signature(getattr(import_module(module), attribute)).parameters
    assert set(parameters) == {"context", *spec.parameters}
    assert all(parameter.default is Parameter.empty for parameter in parameters.values())


def test_it_says_what_must_be_installed() -> None:
    (spec,) = (spec for spec in autodistill_references() if spec.name == "teacher_int8")
    assert spec.requires == ("onnx", "onnxruntime")


def test_pickled_weights_are_not_read(make_context: MakeContext) -> None:
    context = make_context()
    weights = context.teacher_dir / "model.safetensors"
    model = AutoModelForSequenceClassification.from_pretrained(context.teacher_dir)
    torch.save(model.state_dict(), context.teacher_dir / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(OSError, match="safetensors"):
        make(context).measure()
