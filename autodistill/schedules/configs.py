"""Parameters of the schedules: the only home of their defaults and range checks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from autodistill.errors import ConfigError
from autodistill.schedules.layer_mapping import check_layer_mapping


@dataclass
class RecipeConfig:
    """Parameters that all schedules have; see `autodistill.schedules.recipe.Recipe`."""

    examples: int = 40000
    """Examples of the full recipe (fidelity 1), >= 1; passes over the train split follow from its size."""

    flash_fidelity: float = 0.05
    """Share of the full recipe that a flash run gets, in (0, 1]; 5 % as in the AutoDistill paper's flash runs."""

    batch_size: int = 32
    """Examples per step, >= 1."""

    lr: float = 2e-4
    """Peak learning rate, > 0; for the reference sizes of the student family if `scale_lr`."""

    scale_lr: bool = True
    """Whether the family's rule fits the rate to width and depth of each student; see docs/schedules.md."""

    warmup_share: float = 0.1
    """Share of the steps with rising learning rate, in [0, 1]; of each phase's, where phases have their own course."""

    weight_decay: float = 0.01
    """The optimiser's weight decay, >= 0; not applied to biases and normalisation weights."""

    clip_norm: float = 1.0
    """Gradient norm is clipped to this, >= 0; 0 = not at all."""

    optimizer: dict[str, Any] | None = None
    """``{_target_: torch.optim.CLASS, ARGUMENT: VALUE}`` without lr and weight_decay; null is AdamW.
    ``autodistill.training.lamb.Lamb`` may be named too."""

    layer_mapping: Any = "uniform"
    """Teacher layers that transfer losses compare with: uniform, last, first, skip, or a list such as [4,8,12]."""

    def __post_init__(self) -> None:
        self._check("examples", self.examples >= 1, ">= 1")
        self._check("flash_fidelity", 0 < self.flash_fidelity <= 1, "in (0, 1]")
        self._check("batch_size", self.batch_size >= 1, ">= 1")
        self._check("lr", 0 < self.lr < math.inf, "> 0 and finite")
        self._check("warmup_share", 0 <= self.warmup_share <= 1, "in [0, 1]")
        self._check("weight_decay", 0 <= self.weight_decay < math.inf, ">= 0 and finite")
        self._check("clip_norm", 0 <= self.clip_norm < math.inf, ">= 0 and finite (0: not at all)")
        check_layer_mapping(self.layer_mapping)

    def _check(self, name: str, holds: bool, condition: str) -> None:
        """Raise `ConfigError` that names the field and its range."""
        if not holds:
            raise ConfigError(f"schedule.{name} must be {condition}, got {getattr(self, name)}.")


@dataclass
class OnePhaseConfig(RecipeConfig):
    """Parameters of `autodistill.schedules.one_phase.OnePhase`."""


@dataclass
class TwoPhaseConfig(RecipeConfig):
    """Parameters of `autodistill.schedules.two_phase.TwoPhase`."""

    transfer_share: float = 0.5  # equal parts, as nothing speaks for others before it is measured
    """Share of the steps in which representations are transferred, in (0, 1); the rest learns the outputs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("transfer_share", 0 < self.transfer_share < 1, "in (0, 1)")


@dataclass
class ProgressiveConfig(RecipeConfig):
    """Parameters of `autodistill.schedules.progressive.Progressive`."""

    stage_share: float = 0.324  # MobileBERT: 24 stages of 10,000 steps, of 740,000 in all (arXiv 2004.02984)
    """Share of the steps that the stages divide among them, in (0, 1); the rest trains end to end."""

    max_stages: int = 24  # MobileBERT's
    """Most stages, >= 1; there are no more than pairs of layers."""

    min_stage_steps: int = 10  # 1 / (1 - 0.9): steps that the mean of AdamW's gradients spans
    """Fewest steps of a stage, >= 1; where there are too few for every pair of layers, stages are merged."""

    stage_warmup: bool = True
    """Whether the rate rises over `warmup_share` of the stages' steps, in the first stage; MobileBERT's is level."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("stage_share", 0 < self.stage_share < 1, "in (0, 1)")
        self._check("max_stages", self.max_stages >= 1, ">= 1")
        self._check("min_stage_steps", self.min_stage_steps >= 1, ">= 1")


@dataclass
class WsdConfig(RecipeConfig):
    """Parameters of `autodistill.schedules.wsd.Wsd`."""

    decay_share: float = 0.1  # MiniCPM (Hu et al. 2024, arXiv 2404.06395): a tenth of the steps is enough
    """Share of the steps with falling learning rate, in (0, 1)."""

    keep_trunk: bool = True
    """Keep the state at the trunk's end of each flash run, so that its full run goes on from there; costs disk."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("decay_share", 0 < self.decay_share < 1, "in (0, 1)")
