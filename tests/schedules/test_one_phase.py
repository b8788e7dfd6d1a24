from __future__ import annotations

import math
from dataclasses import asdict
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.components.training import Optimisation
from autodistill.errors import ConfigError
from autodistill.schedules.configs import OnePhaseConfig
from autodistill.schedules.one_phase import OnePhase
from autodistill.schedules.plugin import autodistill_schedules


def make(**changes: Any) -> OnePhase:
    return OnePhase(**asdict(OnePhaseConfig(**changes)))


@given(examples=st.integers(1, 10**6), size=st.integers(1, 256), percent=st.integers(1, 100))
def test_steps_are_whole_batches_of_the_share_of_examples(examples: int, size: int, percent: int) -> None:
    steps = examples * percent // (100 * size)
    schedule = make(examples=examples, batch_size=size)
    if steps:
        (phase,) = schedule.phases(2, 4, percent / 100)
        assert phase.steps == steps
    else:
        with pytest.raises(ConfigError, match="no step is left"):
            schedule.phases(2, 4, percent / 100)


def test_one_phase_has_all_losses_and_layers() -> None:
    schedule = make(examples=40000, batch_size=32)
    (phase,) = schedule.phases(2, 4, schedule.flash_fidelity)
    assert phase.steps == math.floor(0.05 * 40000 / 32) == 62
    assert phase.roles == {"transfer", "prediction"}
    assert phase.max_student_layer is None
    assert schedule.total_examples == 40000


def test_optimisation_is_what_was_configured() -> None:
    schedule = make(batch_size=8, lr=1e-3, scale_lr=False, warmup_share=0.2, weight_decay=0.0, clip_norm=0.0)
    assert schedule.optimisation == Optimisation(8, 1e-3, 0.2, 0.0, 0.0)


def test_the_rate_follows_width_and_depth_unless_asked_otherwise() -> None:
    assert make().optimisation.scale_lr


def test_too_little_data_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"schedule.examples=100 at fidelity 0.05 is less than one batch of 32"):
        make(examples=100).phases(2, 4, 0.05)


@pytest.mark.parametrize(
    ("field", "value", "condition"),
    [
        ("examples", 0, ">= 1"),
        ("flash_fidelity", 0.0, r"in \(0, 1\]"),
        ("flash_fidelity", 1.5, r"in \(0, 1\]"),
        ("batch_size", 0, ">= 1"),
        ("lr", 0.0, "> 0 and finite"),
        ("warmup_share", -0.1, r"in \[0, 1\]"),
        ("weight_decay", float("inf"), ">= 0 and finite"),
        ("clip_norm", -1.0, r">= 0 and finite \(0: not at all\)"),
    ],
)
def test_values_out_of_range_are_refused(field: str, value: Any, condition: str) -> None:
    with pytest.raises(ConfigError, match=rf"schedule.{field} must be {condition}, got {value}"):
        OnePhaseConfig(**{field: value})


def test_the_schedules_are_registered_and_build_from_their_defaults() -> None:
    specs = autodistill_schedules()
    assert [spec.name for spec in specs] == ["one_phase", "two_phase", "progressive", "wsd"]
    for spec in specs:
        module, attribute = spec.target.split(":")
        schedule = getattr(import_module(module), attribute)(**asdict(spec.config()))
        assert schedule.layer_pairs(2, 4) == ((1, 2), (2, 4))
        assert schedule.total_examples == 40000
