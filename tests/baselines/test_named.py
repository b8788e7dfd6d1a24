"""Baselines with published sizes, and how all baselines are registered."""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from inspect import Parameter, signature
from typing import Any

import pytest

from autodistill.baselines.plugin import autodistill_baselines
from autodistill.components.architecture import Architecture
from autodistill.components.specs import ComponentSpec
from autodistill.components.students import BaselineContext, Vocabulary
from autodistill.components.task import TaskSpec
from autodistill.students.bert import BertFamily
from autodistill.students.configs import BertFamilyConfig, MobileBertFamilyConfig
from autodistill.students.mobilebert import MobileBertFamily

SPECS = {spec.name: spec for spec in autodistill_baselines()}
TASK = TaskSpec("embedding", (), ("text",), "x.y")
VOCABULARY = Vocabulary(30522, 512, 2, 0)


def target(spec: ComponentSpec) -> Any:
    module, attribute = spec.target.split(":")
    return getattr(import_module(module), attribute)


@pytest.mark.parametrize(
    ("name", "millions"),
    # BERT-style encoders with their pooler and with segment embeddings, so a little more than DistilBERT's own 66M.
    [("tinybert_4l", 14.35), ("minilm_6l", 22.71), ("distilbert_6l", 66.96), ("mobilebert", 24.84)],
)
def test_published_sizes_have_the_published_number_of_parameters(name: str, millions: float) -> None:
    baseline = target(SPECS[name])(BaselineContext("mine", None, "bert"))
    (only,) = baseline.architectures()
    bert = BertFamily(**asdict(BertFamilyConfig()))
    mobilebert = MobileBertFamily(**asdict(MobileBertFamilyConfig()))
    family: BertFamily | MobileBertFamily = mobilebert if only.architecture.family == "mobilebert" else bert
    assert only.name == "mine"
    assert family.parameters(only.architecture, TASK, VOCABULARY) / 1e6 == pytest.approx(millions, abs=0.006)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_constructor_takes_every_field_and_repeats_no_default(spec: ComponentSpec) -> None:
    parameters = signature(target(spec)).parameters
    assert set(parameters) == {"context", *spec.parameters}
    assert all(parameter.default is Parameter.empty for parameter in parameters.values())


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_baseline_of_a_bert_teacher_can_be_built(spec: ComponentSpec) -> None:
    sizes = {"num_layers": 6, "hidden_size": 384, "num_heads": 12, "intermediate_size": 1536}
    baseline = target(spec)(BaselineContext(spec.name, Architecture("bert", sizes), "bert"), **asdict(spec.config()))
    families: dict[str, Any] = {
        "bert": BertFamily(**asdict(BertFamilyConfig())),
        "mobilebert": MobileBertFamily(**asdict(MobileBertFamilyConfig())),
    }
    found = baseline.architectures()
    assert found
    for named in found:
        families[named.architecture.family].validate(named.architecture)
