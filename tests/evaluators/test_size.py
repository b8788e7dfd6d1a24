from __future__ import annotations

from typing import Any

import pytest

from autodistill.components.architecture import Architecture
from autodistill.components.outcome import Described
from autodistill.components.students import Vocabulary
from autodistill.components.task import TaskSpec
from autodistill.evaluators.size import Size
from autodistill.registry import load_registry

TASK = TaskSpec("classification", ("a", "b"), ("text",), "classification.accuracy")
VOCABULARY = Vocabulary(size=100, max_positions=32, type_size=2, pad_token_id=0)


def described(tokens: int = 16) -> Described:
    registry = load_registry()
    spec = registry.get("student", "bert").spec
    config = spec.config()
    family: Any = registry.create("student", "bert", {name: getattr(config, name) for name in spec.parameters})
    architecture = Architecture("bert", {name: _first(values) for name, values in config.space.items()})
    return Described(architecture, family, TASK, VOCABULARY, tokens)


def _first(values: Any) -> Any:
    return values["values"][0] if isinstance(values, dict) else values[0]


def test_parameters_are_those_of_the_model_that_would_be_built() -> None:
    subject = described()
    model = subject.family.build(subject.architecture, TASK, VOCABULARY)
    assert Size().describe(subject)["parameters"] == sum(parameter.numel() for parameter in model.parameters())


def test_operations_grow_with_the_length_of_a_sequence() -> None:
    assert 2 * Size().describe(described(8))["flops"] <= Size().describe(described(16))["flops"]


def test_every_metric_is_known_before_training_and_to_be_minimised() -> None:
    size = Size()
    assert size.before_training
    assert size.describe(described()).keys() == size.metrics.keys()
    assert set(size.metrics.values()) == {"minimize"}
    assert size.supports(TASK) is None
    with pytest.raises(NotImplementedError, match="describes architectures"):
        size.score(None)  # type: ignore[arg-type]
