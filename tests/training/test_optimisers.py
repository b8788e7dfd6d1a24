from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autodistill.components.training import Optimisation
from autodistill.training.optimisers import adamw, learning_rate_factor


@settings(deadline=None)  # the machine may be busy
@given(steps=st.integers(1, 200), share=st.floats(0, 1))
def test_every_step_has_a_learning_rate_and_the_peak_is_the_peak(steps: int, share: float) -> None:
    factors = [learning_rate_factor(step, steps, share) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    assert max(factors) == 1
    peak = factors.index(1)
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)


def test_warm_up_and_decay_are_linear() -> None:
    factors = [learning_rate_factor(step, 10, 0.2) for step in range(11)]
    assert factors == pytest.approx([0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0])


def test_biases_and_normalisations_do_not_decay() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    model.append(torch.nn.Linear(2, 2)).get_submodule("2").requires_grad_(False)
    extra = torch.nn.Parameter(torch.zeros(4, 4))
    decayed, plain = adamw(model, [extra], Optimisation(1, 0.1, 0, 0.3, 0), fused=False).param_groups
    assert decayed["weight_decay"] == 0.3
    assert plain["weight_decay"] == 0
    assert [tuple(item.shape) for item in decayed["params"]] == [(2, 3), (4, 4)]
    assert [tuple(item.shape) for item in plain["params"]] == [(2,), (2,), (2,)]
