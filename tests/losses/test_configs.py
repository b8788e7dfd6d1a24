from __future__ import annotations

import math
from typing import Any

import pytest

from autodistill.errors import ConfigError
from autodistill.losses.configs import FeatureMapConfig, LogitsKLConfig, MiniLMRelationConfig, MLMSoftConfig
from autodistill.losses.plugin import autodistill_losses

CONFIGS = {spec.name: spec.config for spec in autodistill_losses()}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_loss_has_a_weight(name: str) -> None:
    config: Any = CONFIGS[name]
    assert config().weight == 1.0
    assert config(weight=0.0).weight == 0.0
    for weight in (-1.0, math.nan, math.inf):
        with pytest.raises(ConfigError, match=rf"loss.{name}.weight must be finite and >= 0, got {weight}"):
            config(weight=weight)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_the_temperature_is_positive(temperature: float) -> None:
    with pytest.raises(ConfigError, match=rf"loss.logits_kl.temperature must be > 0, got {temperature}"):
        LogitsKLConfig(temperature=temperature)


def test_the_divergence_is_one_of_four() -> None:
    with pytest.raises(ConfigError, match=r"must be one of forward, reverse, symmetric, jsd, got 'revers'.*'reverse'"):
        LogitsKLConfig(divergence="revers")


@pytest.mark.parametrize("beta", [0.0, 1.0, -0.5, math.nan])
def test_the_mixture_has_both(beta: float) -> None:
    with pytest.raises(ConfigError, match=rf"loss.logits_kl.beta must be in \(0, 1\), got {beta}"):
        LogitsKLConfig(beta=beta)


def test_shares_factors_and_layers_have_their_ranges() -> None:
    with pytest.raises(ConfigError, match=r"loss.mlm_soft.hard_share must be in \[0, 1\], got 1.5"):
        MLMSoftConfig(hard_share=1.5)
    with pytest.raises(ConfigError, match=r"loss.feature_map.variance must be finite and >= 0, got -1"):
        FeatureMapConfig(variance=-1.0)
    with pytest.raises(ConfigError, match=r"loss.minilm_relation.relation_heads must be >= 0, got -2"):
        MiniLMRelationConfig(relation_heads=-2)
    with pytest.raises(ConfigError, match=r"loss.minilm_relation.layers must be one of last, pairs, got 'pair'.*pairs"):
        MiniLMRelationConfig(layers="pair")
    with pytest.raises(ConfigError, match=r"teacher_layer=-2 is of layers=last; with layers=pairs schedule.layer_map"):
        MiniLMRelationConfig(layers="pairs", teacher_layer=-2)
    with pytest.raises(ConfigError, match=r"loss.minilm_relation.teacher_layer must be >= 1, or <= -1 .* got 0"):
        MiniLMRelationConfig(teacher_layer=0)
