from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification

from autodistill.components.training import Optimisation
from autodistill.errors import ConfigError
from autodistill.training.optimisers import head_parameters, learning_rate_factor, make_optimiser


@given(steps=st.integers(1, 200), share=st.floats(0, 1))
def test_every_step_has_a_learning_rate_and_the_peak_is_the_peak(steps: int, share: float) -> None:
    factors = [learning_rate_factor(step, steps, share) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    assert max(factors) == 1
    peak = factors.index(1)
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)


def test_warm_up_and_decay_are_linear() -> None:
    factors = [learning_rate_factor(step, 10, 0.2) for step in range(11)]
    assert factors == pytest.approx([0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0])


def test_biases_and_normalisations_do_not_decay() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    model.append(torch.nn.Linear(2, 2)).get_submodule("2").requires_grad_(False)
    extra = torch.nn.Parameter(torch.zeros(4, 4))
    decayed, plain = make_optimiser(model, [extra], Optimisation(1, 0.1, 0, 0.3, 0), fused=False).param_groups
    assert decayed["weight_decay"] == 0.3
    assert plain["weight_decay"] == 0
    assert [tuple(item.shape) for item in decayed["params"]] == [(2, 3), (4, 4)]
    assert [tuple(item.shape) for item in plain["params"]] == [(2,), (2,), (2,)]


def test_another_optimiser_of_torch_gets_the_same_groups() -> None:
    node = {"_target_": "torch.optim.SGD", "momentum": 0.9}
    chosen = make_optimiser(nn.Linear(2, 2), (), Optimisation(1, 0.1, 0, 0.3, 0, node), fused=True)
    assert isinstance(chosen, torch.optim.SGD)
    assert [(group["lr"], group["weight_decay"], group["momentum"]) for group in chosen.param_groups] == [
        (0.1, 0.3, 0.9),
        (0.1, 0.0, 0.9),
    ]


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"_target_": "torch.optim.SGD", "lr": 1.0}, r"schedule\.optimizer\.lr cannot be set: schedule\.lr"),
        ({"_target_": "torch.optim.Sgd"}, r"torch\.optim\.Sgd cannot be built"),
        ({"_target_": "torch.optim.SGD", "speed": 1}, "unexpected keyword argument 'speed'"),
        ({"_target_": "torch.optim.lr_scheduler.LRScheduler"}, "LRScheduler"),
        ({"_target_": "os.system"}, "may name classes of"),
    ],
)
def test_what_is_no_optimiser_is_refused(node: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_optimiser(nn.Linear(2, 2), (), Optimisation(1, 0.1, 0, 0.3, 0, node), fused=True)


def test_a_fused_optimiser_is_refused_where_gradients_are_scaled() -> None:
    optimisation = Optimisation(1, 0.1, 0, 0.3, 0, {"_target_": "torch.optim.AdamW", "fused": True})
    make_optimiser(nn.Linear(2, 2), (), optimisation, fused=True)
    with pytest.raises(ConfigError, match=r"optimizer\.fused=true does not go with trainer\.precision=16-mixed"):
        make_optimiser(nn.Linear(2, 2), (), optimisation, fused=False)


SIZES: dict[str, dict[str, Any]] = {
    "bert": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 16},
    "modernbert": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16},
}


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("bert", {"bert.pooler.dense", "classifier"}),
        ("distilbert", {"pre_classifier", "classifier"}),
        ("modernbert", {"head.dense", "head.norm", "classifier"}),
    ],
)
def test_the_head_is_what_stands_after_the_encoder_whatever_its_parts_are_called(kind: str, head: set[str]) -> None:
    config = AutoConfig.for_model(kind, vocab_size=20, pad_token_id=0, **SIZES[kind])
    model = AutoModelForSequenceClassification.from_config(config)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert {names[id(parameter)].rpartition(".")[0] for parameter in head_parameters(model)} == head


def test_shared_embeddings_are_not_of_the_head_and_a_model_without_one_has_its_pooler() -> None:
    config = AutoConfig.for_model("bert", vocab_size=20, **SIZES["bert"])
    words = AutoModelForMaskedLM.from_config(config)
    assert id(words.get_input_embeddings().weight) not in {id(parameter) for parameter in head_parameters(words)}
    bare = AutoModel.from_config(config)
    assert {id(item) for item in head_parameters(bare)} == {id(item) for item in bare.pooler.parameters()}
