"""Parameters of the distillation losses: the only home of their defaults and range checks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from autodistill.errors import ConfigError, did_you_mean

#: Ways to compare two distributions; see `autodistill.losses.divergences`.
DIVERGENCES = ("forward", "reverse", "symmetric", "jsd")

#: Which student layers learn relations; see `MiniLMRelationConfig`.
RELATED_LAYERS = ("last", "pairs")


def check_weight(name: str, weight: float) -> None:
    """Raise `ConfigError` unless ``weight`` is a finite number >= 0."""
    check_factor(name, "weight", weight)


def check_factor(name: str, field: str, value: float) -> None:
    """Raise `ConfigError` unless a field of a loss is a finite number >= 0."""
    if not (math.isfinite(value) and value >= 0):
        raise ConfigError(f"loss.{name}.{field} must be finite and >= 0, got {value}.")


@dataclass
class LogitsKLConfig:
    """Parameters of `autodistill.losses.logits_kl.LogitsKL`."""

    weight: float = 1.0
    """Factor of this loss in the sum, >= 0."""

    temperature: float = 2.0
    """Softening temperature of both distributions, > 0; not used for regression."""

    divergence: str = "forward"
    """forward KL(teacher || student), reverse KL(student || teacher), symmetric (their mean) or jsd (generalised)."""

    beta: float = 0.5
    """Share of the teacher in the mixture that jsd compares with, in (0, 1); the others do not read it."""

    def __post_init__(self) -> None:
        check_weight("logits_kl", self.weight)
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ConfigError(f"loss.logits_kl.temperature must be > 0, got {self.temperature}.")
        if self.divergence not in DIVERGENCES:
            raise ConfigError(
                f"loss.logits_kl.divergence must be one of {', '.join(DIVERGENCES)}, got {self.divergence!r}."
                + did_you_mean(self.divergence, DIVERGENCES)
            )
        if not 0 < self.beta < 1:
            raise ConfigError(f"loss.logits_kl.beta must be in (0, 1), got {self.beta}.")


@dataclass
class MLMSoftConfig:
    """Parameters of `autodistill.losses.mlm_soft.MLMSoft`."""

    weight: float = 1.0
    """Factor of this loss in the sum, >= 0."""

    hard_share: float = 0.5
    """Share of the hidden word in the targets, the teacher's answer has the rest, in [0, 1]; 0.5 as in MobileBERT."""

    def __post_init__(self) -> None:
        check_weight("mlm_soft", self.weight)
        if not 0 <= self.hard_share <= 1:
            raise ConfigError(f"loss.mlm_soft.hard_share must be in [0, 1], got {self.hard_share}.")


@dataclass
class HiddenMSEConfig:
    """Parameters of `autodistill.losses.hidden_mse.HiddenMSE`."""

    weight: float = 1.0
    """Factor of this loss in the sum, >= 0."""

    embeddings: bool = True
    """Whether the outputs of the embedding blocks are compared too."""

    def __post_init__(self) -> None:
        check_weight("hidden_mse", self.weight)


@dataclass
class HiddenCosineConfig:
    """Parameters of `autodistill.losses.hidden_cosine.HiddenCosine`."""

    weight: float = 1.0
    """Factor of this loss in the sum, >= 0."""

    last_only: bool = True
    """Whether only the uppermost layer pair is compared, as in DistilBERT, or every pair."""

    def __post_init__(self) -> None:
        check_weight("hidden_cosine", self.weight)


@dataclass
class FeatureMapConfig:
    """Parameters of `autodistill.losses.feature_map.FeatureMap`; the defaults are MobileBERT's (arXiv 2004.02984)."""

    weight: float = 1.0
    """Factor of this loss in the sum, >= 0."""

    shape: float = 100.0
    """Factor of the mean squared error of layer-normalised states, >= 0."""

    mean: float = 5000.0
    """Factor of the squared difference of the channels' means, >= 0."""

    variance: float = 5.0
    """Factor of the absolute difference of the channels' variances, >= 0."""

    def __post_init__(self) -> None:
        check_weight("feature_map", self.weight)
        for field in ("shape", "mean", "variance"):
            check_factor("feature_map", field, getattr(self, field))


@dataclass
class EmbeddingMSEConfig:
    """Parameters of `autodistill.losses.embedding_mse.EmbeddingMSE`."""

    weight: float = 1.0
    """Factor of this loss in the sum, >= 0."""

    def __post_init__(self) -> None:
        check_weight("embedding_mse", self.weight)


@dataclass
class AttentionKLConfig:
    """Parameters of `autodistill.losses.attention_kl.AttentionKL`."""

    weight: float = 1.0
    """Factor of this loss in the sum, >= 0."""

    def __post_init__(self) -> None:
        check_weight("attention_kl", self.weight)


@dataclass
class AttentionMSEConfig:
    """Parameters of `autodistill.losses.attention_mse.AttentionMSE`."""

    weight: float = 1.0
    """Factor of this loss in the sum, >= 0."""

    def __post_init__(self) -> None:
        check_weight("attention_mse", self.weight)


@dataclass
class MiniLMRelationConfig:
    """Parameters of `autodistill.losses.minilm_relation.MiniLMRelation`."""

    weight: float = 1.0
    """Factor of this loss in the sum, >= 0."""

    relation_heads: int = 0
    """Relation heads, a common divisor of both attention widths; 0 = the largest one up to the teacher's heads."""

    layers: str = "last"
    """last: the student's last layer alone learns, as in MiniLMv2; pairs: every layer pair of the schedule, so that
    stages of progressive transfer attention too, whatever the numbers of heads are."""

    teacher_layer: int = -1
    """Teacher layer of ``last``, 1-based; negative counts from the top. MiniLMv2: the last of 12, the 21st of 24."""

    def __post_init__(self) -> None:
        check_weight("minilm_relation", self.weight)
        if self.relation_heads < 0:
            raise ConfigError(f"loss.minilm_relation.relation_heads must be >= 0, got {self.relation_heads}.")
        if self.teacher_layer == 0:
            raise ConfigError("loss.minilm_relation.teacher_layer must be >= 1, or <= -1 from the top, got 0.")
        if self.layers not in RELATED_LAYERS:
            raise ConfigError(
                f"loss.minilm_relation.layers must be one of {', '.join(RELATED_LAYERS)}, got {self.layers!r}."
                + did_you_mean(self.layers, RELATED_LAYERS)
            )
        if self.layers == "pairs" and self.teacher_layer != -1:
            raise ConfigError(
                f"loss.minilm_relation.teacher_layer={self.teacher_layer} is of layers=last; with layers=pairs "
                "schedule.layer_mapping says which layers are compared. Leave one of them out."
            )


@dataclass
class HardLabelConfig:
    """Parameters of `autodistill.losses.hard_label.HardLabel`."""

    weight: float = 1.0
    """Factor of this loss in the sum, >= 0."""

    def __post_init__(self) -> None:
        check_weight("hard_label", self.weight)
