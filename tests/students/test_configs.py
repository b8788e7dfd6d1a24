"""Parameters of the student families: ranges, defaults, registration."""

from __future__ import annotations

import itertools
from dataclasses import fields
from importlib import import_module
from inspect import Parameter, signature
from typing import Any

import pytest

from autodistill.components.architecture import Architecture
from autodistill.components.specs import ComponentSpec
from autodistill.engine.space import build_space
from autodistill.errors import ConfigError
from autodistill.students.configs import BertFamilyConfig, MobileBertFamilyConfig
from autodistill.students.plugin import autodistill_student_families

SPECS = autodistill_student_families()


def build(spec: ComponentSpec) -> Any:
    module, attribute = spec.target.split(":")
    config = spec.config()
    return getattr(import_module(module), attribute)(**{f.name: getattr(config, f.name) for f in fields(config)})


@pytest.mark.parametrize("config", [BertFamilyConfig, MobileBertFamilyConfig])
def test_values_out_of_range_are_refused(config: Any) -> None:
    with pytest.raises(ConfigError, match=r"student\.dropout must be >= 0 and < 1, got 1\.0\."):
        config(dropout=1.0)
    with pytest.raises(
        ConfigError, match=r"student\.layer_selection must be one of uniform, .* Did you mean 'uniform'\?"
    ):
        config(layer_selection="unifrom")
    with pytest.raises(ConfigError, match=r"student\.initialisation must be one of teacher, random, got 'radnom'\."):
        config(initialisation="radnom")
    with pytest.raises(ConfigError, match=r"student\.importance must be one of activations, weights, got 'norms'\."):
        config(importance="norms")


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_constructor_takes_every_field_and_repeats_no_default(spec: ComponentSpec) -> None:
    parameters = signature(type(build(spec)).__init__).parameters
    given = {name: parameter for name, parameter in parameters.items() if name != "self"}
    assert set(given) == set(spec.parameters)
    assert all(parameter.default is Parameter.empty for parameter in given.values())


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_rules_of_the_default_space_are_what_the_family_can_build(spec: ComponentSpec) -> None:
    family = build(spec)
    space = build_space(spec.name, family.space, family.rules)
    feasible = 0
    for values in itertools.product(*family.space.values()):
        architecture = Architecture(spec.name, dict(zip(family.space, values, strict=True)))
        if architecture in space:
            feasible += 1
            family.validate(architecture)
        else:
            with pytest.raises(ConfigError):
                family.validate(architecture)
    assert feasible == space.size
    assert feasible > 100
