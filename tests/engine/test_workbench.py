from __future__ import annotations

from pathlib import Path

from autodistill.configs.composition import compose
from autodistill.engine.plan import make_plan
from autodistill.engine.workbench import Workbench
from autodistill.registry import Registry
from autodistill.testing.tiny import tiny_overrides

TWICE = (
    "baseline=[]",
    "+baseline.first={name: teacher_truncated, layers: [1]}",
    "+baseline.second={name: teacher_truncated, layers: [1]}",
)


def test_a_baseline_that_two_labels_name_is_one_baseline(tmp_path: Path, fresh_registry: Registry) -> None:
    bench = Workbench(compose([*tiny_overrides(tmp_path), *TWICE], fresh_registry), fresh_registry)
    found = bench.baselines(bench.teacher.load(bench.task))
    assert [(named.name, named.architecture.choices["num_layers"]) for named in found] == [("first-1", 1)]


def test_a_plan_counts_a_repeated_baseline_once(tmp_path: Path, fresh_registry: Registry) -> None:
    plan = make_plan(compose([*tiny_overrides(tmp_path), *TWICE], fresh_registry), fresh_registry)
    assert {stage.name: stage.runs for stage in plan.stages}["full recipe: baselines"] == 1
