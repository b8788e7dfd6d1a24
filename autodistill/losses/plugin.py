"""Registers the built-in distillation losses."""

from __future__ import annotations

from autodistill.components.specs import ComponentSpec
from autodistill.hookspecs import hookimpl
from autodistill.losses.configs import (
    AttentionKLConfig,
    AttentionMSEConfig,
    EmbeddingMSEConfig,
    FeatureMapConfig,
    HardLabelConfig,
    HiddenCosineConfig,
    HiddenMSEConfig,
    LogitsKLConfig,
    MiniLMRelationConfig,
    MLMSoftConfig,
)


@hookimpl
def autodistill_losses() -> list[ComponentSpec]:
    """The losses of this package."""
    return [
        ComponentSpec(
            name="logits_kl",
            target="autodistill.losses.logits_kl:LogitsKL",
            config=LogitsKLConfig,
            summary="Divergence of the softened outputs, KL as Hinton et al. 2015, or reverse, symmetric, jsd.",
        ),
        ComponentSpec(
            name="hard_label",
            target="autodistill.losses.hard_label:HardLabel",
            config=HardLabelConfig,
            summary="Cross-entropy with the reference labels.",
        ),
        ComponentSpec(
            name="mlm_soft",
            target="autodistill.losses.mlm_soft:MLMSoft",
            config=MLMSoftConfig,
            summary="Masked words against half the word and half the teacher's answer, as MobileBERT.",
        ),
        ComponentSpec(
            name="hidden_mse",
            target="autodistill.losses.hidden_mse:HiddenMSE",
            config=HiddenMSEConfig,
            summary="Mean squared error of hidden states, with learned projections where widths differ.",
        ),
        ComponentSpec(
            name="hidden_cosine",
            target="autodistill.losses.hidden_cosine:HiddenCosine",
            config=HiddenCosineConfig,
            summary="One minus the cosine of hidden states, as DistilBERT.",
        ),
        ComponentSpec(
            name="feature_map",
            target="autodistill.losses.feature_map:FeatureMap",
            config=FeatureMapConfig,
            summary="MobileBERT's feature map transfer: shape, mean and variance of hidden states.",
        ),
        ComponentSpec(
            name="embedding_mse",
            target="autodistill.losses.embedding_mse:EmbeddingMSE",
            config=EmbeddingMSEConfig,
            summary="Mean squared error of the embedding blocks' outputs, as TinyBERT.",
        ),
        ComponentSpec(
            name="attention_kl",
            target="autodistill.losses.attention_kl:AttentionKL",
            config=AttentionKLConfig,
            summary="KL divergence of the attention maps, head by head, as MobileBERT.",
        ),
        ComponentSpec(
            name="attention_mse",
            target="autodistill.losses.attention_mse:AttentionMSE",
            config=AttentionMSEConfig,
            summary="Mean squared error of attention scores before the softmax, as TinyBERT.",
        ),
        ComponentSpec(
            name="minilm_relation",
            target="autodistill.losses.minilm_relation:MiniLMRelation",
            config=MiniLMRelationConfig,
            summary="Relations of queries, keys and values, any widths and head counts, as MiniLMv2.",
        ),
    ]
