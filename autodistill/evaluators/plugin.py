"""Registers the built-in evaluators; data only."""

from __future__ import annotations

from autodistill.components.specs import ComponentSpec
from autodistill.evaluators.configs import (
    AgreementConfig,
    ClassificationConfig,
    EmbeddingConfig,
    GlueConfig,
    MlmConfig,
    RegressionConfig,
    SizeConfig,
    SquadConfig,
    TokenClassificationConfig,
)
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
            summary="Accuracy, F1, Matthews and cross-entropy against reference labels.",
        ),
        ComponentSpec(
            name="embedding",
            target="autodistill.evaluators.embedding:Embedding",
            config=EmbeddingConfig,
            summary="Cosine and common nearest neighbours of the student's and the teacher's sentence embeddings.",
        ),
        ComponentSpec(
            name="glue",
            target="autodistill.evaluators.glue:Glue",
            config=GlueConfig,
            summary="The official metrics of a GLUE task.",
        ),
        ComponentSpec(
            name="mlm",
            target="autodistill.evaluators.mlm:Mlm",
            config=MlmConfig,
            summary="Accuracy, loss and perplexity of a masked language model on held-out text.",
        ),
        ComponentSpec(
            name="regression",
            target="autodistill.evaluators.regression:Regression",
            config=RegressionConfig,
            summary="Spearman, Pearson and errors against reference values.",
        ),
        ComponentSpec(
            name="size",
            target="autodistill.evaluators.size:Size",
            config=SizeConfig,
            summary="Parameters and floating-point operations, known before training.",
        ),
        ComponentSpec(
            name="squad",
            target="autodistill.evaluators.squad:Squad",
            config=SquadConfig,
            summary="Exact match and F1 of answers to questions, by the rules of SQuAD 1.1 and 2.0.",
        ),
        ComponentSpec(
            name="token_classification",
            target="autodistill.evaluators.token_classification:TokenClassification",
            config=TokenClassificationConfig,
            summary="F1, accuracy and cross-entropy of words' classes against reference labels.",
        ),
    ]
