from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from autodistill.components.specs import ComponentSpec
from autodistill.evaluators.plugin import autodistill_evaluators
from autodistill.executors.plugin import autodistill_executors
from autodistill.pruners.plugin import autodistill_pruners

SPECS = [*autodistill_evaluators(), *autodistill_pruners(), *autodistill_executors()]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_every_component_is_where_its_spec_says(spec: ComponentSpec) -> None:
    module, attribute = spec.target.split(":")
    assert module.rpartition(".")[2] == spec.name
    assert isinstance(getattr(import_module(module), attribute), type)
    spec.config()


def test_registering_imports_nothing_heavy() -> None:
    modules = [f"autodistill.{kind}.plugin" for kind in ("evaluators", "pruners", "executors")]
    code = f"import sys, {', '.join(modules)}; print('numpy' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
