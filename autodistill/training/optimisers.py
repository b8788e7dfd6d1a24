"""AdamW, LAMB or another optimiser of torch, and the learning rate's course over the phases of a run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from autodistill.components.training import Course, Optimisation, Phase
from autodistill.configs.targets import instantiate
from autodistill.errors import ConfigError

if TYPE_CHECKING:
    from torch.nn import Parameter


def learning_rate_factor(step: int, steps: int, warmup_share: float) -> float:
    """Return the factor of the peak learning rate for a step.

    It rises to 1 over ``round(warmup_share * steps)`` steps and falls to 0 just after the last one; no step has 0.

    Args:
        step: from 0.
        steps: of the run.
        warmup_share: in [0, 1].
    """
    warmup = round(warmup_share * steps)
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (steps - step) / max(1, steps - warmup))


def learning_rate_course(phases: Sequence[Phase], warmup_share: float) -> Callable[[int], float]:
    """Return the function from a step of the run, counted from 0, to the factor of its learning rate, in (0, 1].

    Args:
        phases: of the run; with courses of their own, or all without.
        warmup_share: of the whole run, where phases have no course.
    """
    ends = list(itertools.accumulate(phase.steps for phase in phases))

    def factor(step: int) -> float:
        for phase, end in zip(phases, ends, strict=True):
            if step < end and phase.course is not None:
                return course_factor(phase.course, step - (end - phase.steps), phase.steps)
        return learning_rate_factor(step, ends[-1], warmup_share)

    return factor


def course_factor(course: Course, step: int, steps: int) -> float:
    """Return the factor of a step within its phase.

    Args:
        course: up, level, down.
        step: from 0, of the phase.
        steps: of the phase.
    """
    if step < course.warmup_steps:
        return (step + 1) / course.warmup_steps
    left = steps - step
    return left / course.decay_steps if left <= course.decay_steps else 1.0


def make_optimiser(
    model: nn.Module,
    extra: Iterable[Parameter],
    optimisation: Optimisation,
    *,
    fused: bool,
    head_lr_factor: float = 1.0,
) -> torch.optim.Optimizer:
    """Return the chosen optimiser over a model's weights and some more.

    Biases and the weights of normalisations (everything with fewer than two dimensions) do not decay.

    Args:
        model: its parameters that need gradients are trained.
        extra: projections of losses and the like.
        optimisation: learning rate and weight decay.
        fused: AdamW as one kernel for all parameters; False where gradients are scaled (fp16), which fused optimisers
            undo in their step only, after the gradients have been clipped.
        head_lr_factor: on the learning rate of `head_parameters`.

    Raises:
        ConfigError: ``optimisation.optimizer`` names no optimiser of torch, one that refuses its arguments, or a fused
            one where ``fused`` is false.
    """
    head = {id(parameter) for parameter in head_parameters(model)} if head_lr_factor != 1.0 else set()
    parameters = [parameter for parameter in (*model.parameters(), *extra) if parameter.requires_grad]
    every: list[dict[str, Any]] = [
        {
            "params": [item for item in parameters if (item.dim() >= 2) == decays and (id(item) in head) == in_head],
            "weight_decay": optimisation.weight_decay if decays else 0.0,
            "lr": optimisation.lr * (head_lr_factor if in_head else 1.0),
        }
        for in_head in (False, True)
        for decays in (True, False)
    ]
    groups = [group for group in every if group["params"]]
    if optimisation.optimizer is None:
        return torch.optim.AdamW(groups, lr=optimisation.lr, fused=fused)
    optimiser = _instantiated(optimisation.optimizer, groups, optimisation.lr)
    if not fused and getattr(optimiser, "_step_supports_amp_scaling", False):
        raise ConfigError(
            "schedule.optimizer.fused=true does not go with trainer.precision=16-mixed, whose scaled gradients would "
            "be clipped. Set schedule.optimizer.fused=false, or trainer.precision=bf16-mixed."
        )
    return optimiser


def _instantiated(node: Mapping[str, Any], groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    decided = sorted({"params", "lr", "weight_decay"} & set(node))
    if decided:
        raise ConfigError(
            f"schedule.optimizer.{decided[0]} cannot be set: schedule.lr and schedule.weight_decay decide it, for "
            "the groups of parameters that decay and those that do not."
        )
    optimiser = instantiate(node, "schedule.optimizer", params=groups, lr=lr)
    if not isinstance(optimiser, torch.optim.Optimizer):
        raise ConfigError(
            f"schedule.optimizer._target_ must be an optimiser, e.g. torch.optim.SGD, got {node['_target_']!r}."
        )
    return optimiser


def head_parameters(model: nn.Module) -> list[Parameter]:
    """The parameters after a transformers encoder: its pooler's, and all that do not belong to it.

    Encoders name their parts as they like (``encoder.layer``, ``transformer.layer``, ``layers``), so only transformers'
    own ``base_model`` tells where they end.
    """
    encoder = getattr(model, "base_model", model)
    pooler = getattr(encoder, "pooler", None)
    pooled = {id(parameter) for parameter in pooler.parameters()} if isinstance(pooler, nn.Module) else set()
    inside = {id(parameter) for parameter in encoder.parameters()} - pooled
    return [parameter for parameter in model.parameters() if id(parameter) not in inside]
