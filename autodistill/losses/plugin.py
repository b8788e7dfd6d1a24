"""Registers the built-in distillation losses."""

from __future__ import annotations

from autodistill.components.specs import ComponentSpec
from autodistill.hookspecs import hookimpl
from autodistill.losses.configs import AttentionKLConfig, HardLabelConfig, HiddenMSEConfig, LogitsKLConfig


@hookimpl
def autodistill_losses() -> list[ComponentSpec]:
    """The losses of this package."""
    return [
        ComponentSpec(
            name="logits_kl",
            target="autodistill.losses.logits_kl:LogitsKL",
            config=LogitsKLConfig,
            summary="KL divergence of the softened outputs, as Hinton et al. 2015.",
        ),
        ComponentSpec(
            name="hidden_mse",
            target="autodistill.losses.hidden_mse:HiddenMSE",
            config=HiddenMSEConfig,
            summary="Mean squared error of hidden states, with learned projections where widths differ.",
        ),
        ComponentSpec(
            name="attention_kl",
            target="autodistill.losses.attention_kl:AttentionKL",
            config=AttentionKLConfig,
            summary="KL divergence of the attention maps, head by head.",
        ),
        ComponentSpec(
            name="hard_label",
            target="autodistill.losses.hard_label:HardLabel",
            config=HardLabelConfig,
            summary="Cross-entropy with the reference labels.",
        ),
    ]
