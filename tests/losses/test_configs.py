from __future__ import annotations

import math
from typing import Any

import pytest

from autodistill.errors import ConfigError
from autodistill.losses.configs import AttentionKLConfig, HardLabelConfig, HiddenMSEConfig, LogitsKLConfig

CONFIGS = {
    "logits_kl": LogitsKLConfig,
    "hidden_mse": HiddenMSEConfig,
    "attention_kl": AttentionKLConfig,
    "hard_label": HardLabelConfig,
}


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
