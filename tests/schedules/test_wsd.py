from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodistill.components.training import Course, Phase
from autodistill.errors import ConfigError
from autodistill.schedules.configs import WsdConfig
from autodistill.schedules.wsd import Wsd
from autodistill.training.optimisers import learning_rate_course

ROLES = frozenset({"transfer", "prediction"})


def make(**changes: Any) -> Wsd:
    return Wsd(**asdict(WsdConfig(**changes)))


def test_the_trunk_is_level_and_the_decay_short() -> None:
    schedule = make(examples=32000, batch_size=32, flash_fidelity=0.1, decay_share=0.2, warmup_share=0.1)
    assert schedule.phases(2, 4, 0.1) == (
        Phase("trunk", ROLES, 80, course=Course(10, 0), trunk=True),
        Phase("decay", ROLES, 20, course=Course(0, 20)),
    )
    assert schedule.phases(2, 4, 1.0) == (
        Phase("trunk", ROLES, 800, course=Course(10, 0), trunk=True),  # warms up as the flash run does
        Phase("decay", ROLES, 200, course=Course(0, 200)),
    )


@given(
    examples=st.integers(2000, 10**5),
    flash=st.integers(5, 99),
    decay=st.floats(0.01, 0.99),
    warmup=st.floats(0, 1),
)
def test_a_longer_run_begins_with_the_trunk_of_the_flash_run(
    examples: int, flash: int, decay: float, warmup: float
) -> None:
    schedule = make(
        examples=examples, batch_size=32, flash_fidelity=flash / 100, decay_share=decay, warmup_share=warmup
    )
    short, long = (schedule.phases(2, 4, fidelity) for fidelity in (flash / 100, 1.0))
    assert sum(phase.steps for phase in long) == examples // 32
    trunk = short[0].steps
    assert trunk <= long[0].steps
    rates = [learning_rate_course(phases, 0.0) for phases in (short, long)]
    assert [rates[0](step) for step in range(trunk)] == [rates[1](step) for step in range(trunk)]
    falling = [rates[0](step) for step in range(trunk, trunk + short[1].steps)]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] == 1
    assert falling[-1] > 0


def test_the_trunk_need_not_be_kept() -> None:
    kept, spared = (make(keep_trunk=keep).phases(2, 4, 1.0) for keep in (True, False))
    assert [phase.keep for phase in kept if phase.trunk] == [True]
    assert [phase.keep for phase in spared if phase.trunk] == [False]  # still one: its runs draw the same numbers


def test_a_share_without_trunk_or_decay_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"schedule.decay_share must be in \(0, 1\), got 1.0"):
        WsdConfig(decay_share=1.0)


def test_no_steps_in_the_flash_run_are_told_before_the_full_one() -> None:
    with pytest.raises(ConfigError, match=r"at fidelity 0.05 .* no step is left"):
        make(examples=320).phases(2, 4, 1.0)
