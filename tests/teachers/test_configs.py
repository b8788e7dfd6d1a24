"""Parameters of the teachers: ranges, registration."""

from __future__ import annotations

from importlib import import_module
from inspect import Parameter, signature
from typing import Any

import pytest

from autodistill.components.specs import ComponentSpec
from autodistill.errors import ConfigError
from autodistill.teachers.configs import HuggingFaceTeacherConfig
from autodistill.teachers.plugin import autodistill_teachers


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("sha256", "abc", "teacher.sha256 must be 64 hexadecimal digits in lower case, got 'abc'."),
        ("fine_tune_epochs", 0.0, "teacher.fine_tune_epochs must be > 0, got 0.0."),
        ("fine_tune_batch_size", 0, "teacher.fine_tune_batch_size must be >= 1, got 0."),
        ("fine_tune_lr", -1.0, "teacher.fine_tune_lr must be > 0, got -1.0."),
        ("fine_tune_warmup_share", 1.5, r"teacher.fine_tune_warmup_share must be in \[0, 1\], got 1.5."),
        ("fine_tune_weight_decay", -0.1, "teacher.fine_tune_weight_decay must be >= 0, got -0.1."),
        ("fine_tune_dropout", 1.0, "teacher.fine_tune_dropout must be null or >= 0 and < 1, got 1.0."),
        ("revision", "v1", "teacher.revision=v1 names a version on the model hub, which is not used unless"),
    ],
)
def test_values_out_of_range_are_refused(field: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HuggingFaceTeacherConfig(**{field: value})


@pytest.mark.parametrize("spec", autodistill_teachers(), ids=lambda spec: spec.name)
def test_constructor_takes_every_field_and_repeats_no_default(spec: ComponentSpec) -> None:
    module, attribute = spec.target.split(":")
    parameters = dict(signature(getattr(import_module(module), attribute)).parameters)
    named = {name for name in spec.parameters if name in parameters}
    rest = {name for name, item in parameters.items() if item.kind is Parameter.VAR_KEYWORD}
    assert set(parameters) == {"context", *named, *rest}
    assert all(name.startswith("fine_tune_") for name in set(spec.parameters) - named), "a field is not taken"
    assert bool(rest) == (named != set(spec.parameters))
    assert all(parameter.default is Parameter.empty for parameter in parameters.values())
