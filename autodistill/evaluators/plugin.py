"""Registers the built-in evaluators; data only."""

from __future__ import annotations

from autodistill.components.specs import ComponentSpec
from autodistill.evaluators.configs import AgreementConfig, ClassificationConfig, SizeConfig
from autodistill.hookspecs import hookimpl


@hookimpl
def autodistill_evaluators() -> list[ComponentSpec]:
    """Register the evaluators of this package."""
    return [
        ComponentSpec(
            name="agreement",
            target="autodistill.evaluators.agreement:Agreement",
            config=AgreementConfig,
            summary="Agreement with the teacher: same answer, KL divergence, the worst class; needs no labels.",
        ),
        ComponentSpec(
            name="classification",
            target="autodistill.evaluators.classification:Classification",
            config=ClassificationConfig,
            summary="Accuracy, macro F1 and cross-entropy against reference labels.",
        ),
        ComponentSpec(
            name="size",
            target="autodistill.evaluators.size:Size",
            config=SizeConfig,
            summary="Parameters and floating-point operations, known before training.",
        ),
    ]
