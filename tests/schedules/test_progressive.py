from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.components.training import Course, Phase
from autodistill.configs.composition import compose
from autodistill.engine.workbench import Workbench
from autodistill.errors import ConfigError
from autodistill.registry import Registry
from autodistill.schedules.configs import ProgressiveConfig
from autodistill.schedules.layer_mapping import LAYER_MAPPINGS
from autodistill.schedules.progressive import Progressive


def make(**changes: Any) -> Progressive:
    return Progressive(**asdict(ProgressiveConfig(**changes)))


def test_stages_go_up_the_layer_pairs_and_the_rest_trains_end_to_end() -> None:
    schedule = make(examples=320, batch_size=1, stage_share=0.3, warmup_share=0.1)
    assert schedule.phases(2, 6, 1.0) == (
        Phase("stage 1 of 2", frozenset({"transfer"}), 48, 1, 3, Course(10, 0)),
        Phase("stage 2 of 2", frozenset({"transfer"}), 48, 2, 6, Course(0, 0)),
        Phase("end to end", frozenset({"prediction"}), 224, course=Course(22, 202)),
    )


def limits(schedule: Progressive, student: int, teacher: int, fidelity: float = 1.0) -> list[tuple[int, int]]:
    stages = schedule.phases(student, teacher, fidelity)[:-1]
    return [(stage.max_student_layer or 0, stage.max_teacher_layer or 0) for stage in stages]


def test_depths_may_be_any() -> None:
    assert limits(make(), 4, 12) == [(1, 3), (2, 6), (3, 9), (4, 12)]
    assert limits(make(), 6, 3) == [(2, 1), (4, 2), (6, 3)]
    assert limits(make(layer_mapping="last"), 2, 6) == [(1, 5), (2, 6)]


def test_stages_are_merged_beyond_the_most_and_beyond_the_steps() -> None:
    assert limits(make(max_stages=2), 6, 12) == [(3, 6), (6, 12)]
    short = make(examples=320, batch_size=32, stage_share=0.3, min_stage_steps=1)  # 10 steps, 3 of them in stages
    assert limits(short, 6, 12) == [(2, 4), (4, 8), (6, 12)]
    assert [phase.steps for phase in short.phases(6, 12, 1.0)] == [1, 1, 1, 7]


def test_stages_of_too_few_steps_are_merged_until_they_have_enough() -> None:
    """A flash run of the default recipe has 62 steps, 20 of them in stages."""
    flash = make().phases(12, 12, 0.05)
    assert [(phase.max_student_layer, phase.steps) for phase in flash] == [(6, 10), (12, 10), (None, 42)]
    assert flash[0].course == Course(2, 0)
    assert len(make(min_stage_steps=7).phases(12, 12, 0.05)) == 3
    assert len(make(min_stage_steps=5).phases(12, 12, 0.05)) == 5
    assert [phase.steps for phase in make(min_stage_steps=21).phases(12, 12, 0.05)] == [20, 42]
    assert len(make().phases(12, 12, 1.0)) == 13  # 405 steps are enough for all


def test_the_rate_of_the_stages_may_be_level_from_the_first_step() -> None:
    first, *_, end = make(stage_warmup=False).phases(4, 12, 1.0)
    assert first.course == Course(0, 0)
    assert end.course == Course(84, 761)


def test_the_papers_preset_has_the_phases_of_mobilebert(fresh_registry: Registry) -> None:
    """24 stages of 10,000 steps at a constant rate, then 500,000 steps, the first 10,000 of them rising."""
    settings = compose(["schedule=paper", "study.name=paper"], fresh_registry)
    schedule = Workbench(settings, fresh_registry).schedule
    *stages, end = schedule.phases(24, 24, 1.0)
    assert [(stage.max_student_layer, stage.steps) for stage in stages] == [(layer, 10_000) for layer in range(1, 25)]
    assert all(stage.course == Course(0, 0) for stage in stages)
    assert (end.steps, end.course) == (500_000, Course(10_000, 490_000))
    *stages, end = schedule.phases(24, 24, schedule.flash_fidelity)
    assert [stage.steps for stage in stages] == [500] * 24
    assert (end.steps, end.course) == (25_000, Course(500, 24_500))


@given(
    examples=st.integers(64, 10**5),
    percent=st.integers(1, 100),
    share=st.floats(0.01, 0.99),
    most=st.integers(1, 30),
    least=st.integers(1, 30),
    student=st.integers(1, 30),
    teacher=st.integers(1, 30),
    mapping=st.sampled_from(LAYER_MAPPINGS),
)
def test_every_architecture_gets_the_same_steps(
    examples: int, percent: int, share: float, most: int, least: int, student: int, teacher: int, mapping: str
) -> None:
    changes = {"stage_share": share, "max_stages": most, "min_stage_steps": least, "layer_mapping": mapping}
    schedule = make(examples=examples, batch_size=32, **changes)
    steps = examples * percent // 3200
    if steps < 2:
        with pytest.raises(ConfigError, match=r"no step is left|2 phases of a step at least"):
            schedule.phases(student, teacher, percent / 100)
        return
    phases = schedule.phases(student, teacher, percent / 100)
    assert sum(phase.steps for phase in phases) == steps
    assert all(phase.steps >= 1 for phase in phases)
    pairs = schedule.layer_pairs(student, teacher)
    stages = limits(schedule, student, teacher, percent / 100)
    staged = [phase.steps for phase in phases[:-1]]
    assert len(stages) == min(len(pairs), most, max(1, sum(staged) // least))
    assert len(stages) == 1 or min(staged) >= least
    assert set(stages) <= set(pairs)
    assert stages == sorted(set(stages))
    assert stages[-1] == pairs[-1]
    for phase in phases:
        assert phase.course is not None
        assert phase.course.warmup_steps + phase.course.decay_steps <= phase.steps


@pytest.mark.parametrize(
    ("field", "value", "condition"),
    [("stage_share", 1.0, r"in \(0, 1\)"), ("max_stages", 0, ">= 1"), ("min_stage_steps", 0, ">= 1")],
)
def test_values_out_of_range_are_refused(field: str, value: Any, condition: str) -> None:
    with pytest.raises(ConfigError, match=rf"schedule.{field} must be {condition}, got {value}"):
        ProgressiveConfig(**{field: value})
