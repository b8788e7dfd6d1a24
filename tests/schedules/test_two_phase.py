from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.components.training import Course, Phase
from autodistill.errors import ConfigError
from autodistill.schedules.configs import TwoPhaseConfig
from autodistill.schedules.two_phase import TwoPhase


def make(**changes: Any) -> TwoPhase:
    return TwoPhase(**asdict(TwoPhaseConfig(**changes)))


def test_transfer_comes_first_and_each_phase_has_a_course_of_its_own() -> None:
    schedule = make(examples=3200, batch_size=32, transfer_share=0.8, warmup_share=0.1)
    assert schedule.phases(2, 4, 1.0) == (
        Phase("transfer", frozenset({"transfer"}), 80, course=Course(8, 72)),
        Phase("prediction", frozenset({"prediction"}), 20, course=Course(2, 18)),
    )


@given(examples=st.integers(64, 10**5), percent=st.integers(1, 100), share=st.floats(0.01, 0.99))
def test_all_steps_are_used_at_every_fidelity(examples: int, percent: int, share: float) -> None:
    schedule = make(examples=examples, batch_size=32, transfer_share=share)
    steps = examples * percent // 3200
    if steps < 2:
        with pytest.raises(ConfigError, match=r"no step is left|2 phases of a step at least"):
            schedule.phases(2, 4, percent / 100)
    else:
        transfer, prediction = schedule.phases(2, 4, percent / 100)
        assert transfer.steps + prediction.steps == steps
        assert abs(transfer.steps - share * steps) <= 1


def test_one_step_for_two_phases_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"at fidelity 0.05 is 1 step of 32, and .* 2 phases .* Raise schedule"):
        make(examples=640).phases(2, 4, 0.05)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_without_one_of_the_phases_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match=rf"schedule.transfer_share must be in \(0, 1\), got {share}"):
        TwoPhaseConfig(transfer_share=share)
