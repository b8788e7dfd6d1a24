"""LAMB against its formula, written out with plain numbers."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from autodistill.components.training import Optimisation
from autodistill.training.lamb import Lamb
from autodistill.training.optimisers import make_optimiser


def expected(
    weights: list[float], gradients: list[list[float]], rate: float, decay: float, *, scaled: bool
) -> list[float]:
    """Algorithm 2 of You et al. 2020, coordinate by coordinate, in double precision."""
    mean, square = [0.0] * len(weights), [0.0] * len(weights)
    for step, gradient in enumerate(gradients, start=1):
        mean = [0.9 * m + 0.1 * g for m, g in zip(mean, gradient, strict=True)]
        square = [0.999 * v + 0.001 * g * g for v, g in zip(square, gradient, strict=True)]
        ratios = [
            (m / (1 - 0.9**step)) / (math.sqrt(v / (1 - 0.999**step)) + 1e-6) + decay * w
            for m, v, w in zip(mean, square, weights, strict=True)
        ]
        size, length = math.hypot(*ratios), math.hypot(*weights)
        trust = length / size if scaled and size > 0 and length > 0 else 1.0
        weights = [w - rate * trust * r for w, r in zip(weights, ratios, strict=True)]
    return weights


numbers = st.floats(-3, 3).map(lambda value: round(value, 3))


@settings(max_examples=50)
@given(
    weights=st.lists(numbers, min_size=4, max_size=4),
    gradients=st.lists(st.lists(numbers, min_size=4, max_size=4), min_size=1, max_size=5),
    decay=st.sampled_from([0.0, 0.1]),
    matrix=st.booleans(),
)
def test_steps_are_those_of_the_formula(
    weights: list[float], gradients: list[list[float]], decay: float, matrix: bool
) -> None:
    shape = (2, 2) if matrix else (4,)
    parameter = nn.Parameter(torch.tensor(weights, dtype=torch.float64).reshape(shape))
    optimiser = Lamb([parameter], lr=0.1, weight_decay=decay)
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient, dtype=torch.float64).reshape(shape)
        optimiser.step()
    wanted = expected(weights, gradients, 0.1, decay, scaled=matrix)
    assert parameter.detach().flatten().tolist() == pytest.approx(wanted, rel=1e-6, abs=1e-9)


def test_it_is_chosen_by_name_and_decays_what_adamw_would() -> None:
    node = {"_target_": "autodistill.training.lamb.Lamb", "betas": [0.8, 0.9]}
    chosen = make_optimiser(nn.Linear(2, 2), (), Optimisation(1, 0.1, 0, 0.3, 0, node), fused=True)
    assert isinstance(chosen, Lamb)
    assert [(group["weight_decay"], group["betas"]) for group in chosen.param_groups] == [
        (0.3, (0.8, 0.9)),
        (0.0, (0.8, 0.9)),
    ]


def test_its_state_travels() -> None:
    def steps(parameter: nn.Parameter, optimiser: Lamb, count: int) -> None:
        for index in range(count):
            parameter.grad = torch.full_like(parameter, 1.0 + index)
            optimiser.step()

    first = nn.Parameter(torch.ones(2, 2))
    optimiser = Lamb([first])
    steps(first, optimiser, 2)
    second = nn.Parameter(first.detach().clone())
    other = Lamb([second])
    other.load_state_dict(optimiser.state_dict())
    steps(first, optimiser, 2)
    steps(second, other, 2)
    assert second.equal(first)


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"eps": 0.0}, {"weight_decay": -0.1}, {"betas": (0.9, 1.0)}])
def test_arguments_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Lamb needs lr >= 0, eps > 0"):
        Lamb([nn.Parameter(torch.ones(1))], **wrong)  # type: ignore[arg-type]
