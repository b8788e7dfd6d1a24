from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AlbertConfig,
    AlbertForSequenceClassification,
    AutoModelForMaskedLM,
    BertConfig,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    EuroBertConfig,
    EuroBertForSequenceClassification,
    MobileBertConfig,
    MobileBertForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    RobertaConfig,
)

from autodistill.components.task import IGNORED
from autodistill.components.training import Batch, FeatureKey
from autodistill.errors import ConfigError
from autodistill.training.attention import recordable, windowed_layers
from autodistill.training.cache_plan import make_plan
from autodistill.training.features import forward_features, model_inputs
from autodistill.training.softened import MASKED_LOGITS
from autodistill.training.teacher_features import OnlineTeacherFeatures, cached_teacher_features
from autodistill.training.tokenised import TokenisedSplit

LOGITS = frozenset({("logits", None)})

SMALL = {"vocab_size": 64, "num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "pad_token_id": 0}


@pytest.fixture
def batch(train: TokenisedSplit) -> Batch:
    return train.batch(np.arange(6))


def test_features_are_those_of_transformers(model_of: Callable[..., Any], batch: Batch) -> None:
    model = model_of()
    keys: frozenset[FeatureKey] = frozenset(
        {("logits", None), ("hidden_states", 0), ("hidden_states", 2), ("attentions", 1), ("attentions", 2)}
    )
    features = forward_features(model, batch, keys)
    model.set_attn_implementation("eager")
    output = model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        token_type_ids=batch.token_type_ids,
        output_hidden_states=True,
        output_attentions=True,
    )
    assert set(features) == keys
    torch.testing.assert_close(features["logits", None], output.logits)
    for layer in (0, 2):
        torch.testing.assert_close(features["hidden_states", layer], output.hidden_states[layer])
    for layer in (1, 2):
        torch.testing.assert_close(features["attentions", layer], output.attentions[layer - 1])


def test_attention_features_belong_together(model_of: Callable[..., Any], batch: Batch) -> None:
    names = ("queries", "keys", "values", "attention_scores", "attentions")
    features = forward_features(model_of(), batch, frozenset((name, 2) for name in names))
    queries, keys, values, scores, maps = (features[name, 2] for name in names)
    assert queries.shape == keys.shape == values.shape == (6, 2, batch.input_ids.shape[1], 16)
    torch.testing.assert_close(scores, queries @ keys.transpose(2, 3) / 4)
    masked = scores.masked_fill(~batch.attention_mask[:, None, None, :], float("-inf"))
    torch.testing.assert_close(maps, masked.softmax(-1))


def test_attention_maps_are_those_before_dropout(model_of: Callable[..., Any], batch: Batch) -> None:
    model = model_of(dropout=0.5).train()
    maps = forward_features(model, batch, frozenset({("attentions", 1)}))["attentions", 1]
    torch.testing.assert_close(maps.sum(-1), torch.ones_like(maps[..., 0]))
    assert model.training


def test_recording_leaves_the_model_as_it_was(model_of: Callable[..., Any], batch: Batch) -> None:
    model = model_of()
    before = model.config._attn_implementation
    plain = forward_features(model, batch, LOGITS)["logits", None]
    forward_features(model, batch, frozenset({("attentions", 1)}))
    assert model.config._attn_implementation == before
    with recordable(model):
        torch.testing.assert_close(forward_features(model, batch, LOGITS)["logits", None], plain)
        assert model.config._attn_implementation != before
    assert "autodistill" not in str(model.config.to_dict())


def test_features_carry_gradients(model_of: Callable[..., Any], batch: Batch) -> None:
    model = model_of()
    torch.autograd.backward(
        forward_features(model, batch, frozenset({("attentions", 1)}))["attentions", 1][..., 0].sum()
    )
    assert model.bert.encoder.layer[0].attention.self.query.weight.grad.abs().sum() > 0


MASKED_MODELS: dict[str, Callable[[], Any]] = {
    "bert": lambda: AutoModelForMaskedLM.from_config(BertConfig(**SMALL, intermediate_size=32)),
    "distilbert": lambda: AutoModelForMaskedLM.from_config(
        DistilBertConfig(vocab_size=64, n_layers=2, dim=16, n_heads=2, hidden_dim=32)
    ),
    "mobilebert": lambda: AutoModelForMaskedLM.from_config(
        MobileBertConfig(**SMALL, intermediate_size=32, embedding_size=8, intra_bottleneck_size=8)
    ),
    "modernbert": lambda: AutoModelForMaskedLM.from_config(ModernBertConfig(**SMALL, intermediate_size=32)),
    "roberta": lambda: AutoModelForMaskedLM.from_config(RobertaConfig(**SMALL, intermediate_size=32)),
}


@pytest.mark.parametrize("family", list(MASKED_MODELS))
@pytest.mark.parametrize("masked", [0, 5])
def test_the_head_over_words_runs_on_masked_tokens_alone(batch: Batch, family: str, masked: int) -> None:
    model = MASKED_MODELS[family]().eval()
    labels = torch.full_like(batch.input_ids, IGNORED)
    places = torch.nonzero(batch.attention_mask)[:masked].unbind(1)
    labels[places] = batch.input_ids[places]
    seen: set[int] = set()
    for module in set(model.modules()) - set(model.base_model.modules()) - {model}:
        module.register_forward_hook(lambda *given: seen.add(given[2].shape[-2]))
    found = forward_features(model, replace(batch, labels=labels), LOGITS)["logits", None]
    assert seen == {masked}
    seen.clear()
    states = forward_features(model, replace(batch, labels=labels), frozenset({("hidden_states", 1)}))
    assert seen == {0}, "the head ran for logits that nobody reads"
    whole = model(**model_inputs(model, batch), output_hidden_states=True)
    torch.testing.assert_close(states["hidden_states", 1], whole.hidden_states[1])
    whole = whole.logits
    counted = labels != IGNORED
    assert found.shape == whole.shape
    torch.testing.assert_close(found[counted], whole[counted])
    assert not found[~counted].any()
    alone = forward_features(model, replace(batch, labels=labels), frozenset({MASKED_LOGITS}))[MASKED_LOGITS]
    torch.testing.assert_close(alone, whole[counted])
    expected, *gradients = [
        torch.autograd.grad(logits.square().sum(), model.get_input_embeddings().weight)[0]
        for logits in (whole[counted], found[counted], alone)
    ]
    for gradient in gradients:
        torch.testing.assert_close(gradient, expected)


def test_only_the_first_layers_run(model_of: Callable[..., Any], batch: Batch) -> None:
    model = model_of(layers=3)
    keys: frozenset[FeatureKey] = frozenset(("hidden_states", layer) for layer in range(4)) | LOGITS
    part = forward_features(model, batch, keys, max_layer=2)  # first: hooks must reach the blocks above too
    whole = forward_features(model, batch, keys)
    assert set(part) == keys - {("hidden_states", 3)}
    torch.testing.assert_close(part["hidden_states", 2], whole["hidden_states", 2])
    assert not part["logits", None].equal(whole["logits", None])
    assert len(model.bert.encoder.layer) == 3
    torch.testing.assert_close(forward_features(model, batch, LOGITS)["logits", None], whole["logits", None])


def modern_bert() -> Any:
    """Normalises before its blocks, and attends to two neighbours on either side in two layers of three."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 8, "intermediate_size": 16}
    tokens = dict.fromkeys(("eos_token_id", "bos_token_id", "cls_token_id", "sep_token_id", "pad_token_id"), 0)
    config = ModernBertConfig(vocab_size=64, local_attention=4, **sizes, **tokens)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ModernBertForSequenceClassification(config).eval()


def test_a_model_that_normalises_before_its_blocks_gives_the_same_states_when_cut_off(batch: Batch) -> None:
    model = modern_bert()
    keys: frozenset[FeatureKey] = frozenset(("hidden_states", layer) for layer in range(4))
    whole = forward_features(model, batch, keys)
    for last in (1, 2):
        for key, value in forward_features(model, batch, keys, max_layer=last).items():
            torch.testing.assert_close(value[batch.attention_mask], whole[key][batch.attention_mask])
    reference = model.model(batch.input_ids, batch.attention_mask.long(), output_hidden_states=True)
    assert whole["hidden_states", 2].equal(reference.hidden_states[2])


def test_maps_of_layers_with_windows_are_cached_as_they_are(
    batch: Batch, train: TokenisedSplit, tmp_path: Path
) -> None:
    """Texts no longer than the window do not show that the scores alone do not give the maps."""
    model = modern_bert()
    assert windowed_layers(model.config) == {2, 3}
    keys: frozenset[FeatureKey] = frozenset(("attentions", layer) for layer in (1, 2))
    assert make_plan(model, train, keys, np.bincount(train.lengths)).stored == {
        ("queries", 1),
        ("keys", 1),
        ("attentions", 2),
    }
    cached = cached_teacher_features(model, train, keys, tmp_path, "teacher", 10**9, None).get(batch)
    for key, value in forward_features(model, batch, keys).items():
        pairs = (batch.attention_mask[:, None, :, None] & batch.attention_mask[:, None, None, :]).expand_as(value)
        torch.testing.assert_close(cached[key][pairs], value[pairs], atol=2e-3, rtol=2e-3)


def test_keys_that_heads_share_are_given_for_each_of_them(batch: Batch) -> None:
    config = EuroBertConfig(**{**SMALL, "num_attention_heads": 4}, num_key_value_heads=2, intermediate_size=16)
    model = EuroBertForSequenceClassification(config).eval()
    names = ("queries", "keys", "values", "attentions", "attention_scores")
    found = forward_features(model, batch, frozenset({(name, 2) for name in names} | LOGITS))
    assert found["keys", 2].shape == found["values", 2].shape == found["queries", 2].shape
    assert found["keys", 2][:, 0].equal(found["keys", 2][:, 1])
    assert found["attentions", 2].shape[1] == 4
    torch.testing.assert_close(found["logits", None], forward_features(model, batch, LOGITS)["logits", None])


def test_a_teacher_with_shared_blocks_is_run_whole(batch: Batch) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16}
    model = AlbertForSequenceClassification(AlbertConfig(vocab_size=64, embedding_size=8, **sizes)).eval()
    keys: frozenset[FeatureKey] = frozenset({("hidden_states", 1)})
    assert set(OnlineTeacherFeatures(model, keys).get(batch)) == keys


def test_models_without_token_types_work(batch: Batch) -> None:
    model = DistilBertForSequenceClassification(
        DistilBertConfig(vocab_size=64, dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=32)
    ).eval()
    features = forward_features(model, batch, LOGITS | {("hidden_states", 1), ("attentions", 2)})
    assert features["hidden_states", 1].shape[-1] == 32
    assert features["attentions", 2].shape[1] == 2


def test_mobilebert_gives_every_feature(batch: Batch) -> None:
    model = MobileBertForSequenceClassification(
        MobileBertConfig(
            vocab_size=64,
            hidden_size=32,
            intra_bottleneck_size=16,
            embedding_size=16,
            num_hidden_layers=3,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=32,
        )
    ).eval()
    keys = frozenset({("hidden_states", 0), ("hidden_states", 3), ("attentions", 3), ("values", 1)}) | LOGITS
    features = forward_features(model, batch, keys)
    assert set(features) == keys
    maps = features["attentions", 3]
    torch.testing.assert_close(maps.sum(-1), torch.ones_like(maps[..., 0]))
    part = forward_features(model, batch, keys, max_layer=1)
    assert set(part) == {("hidden_states", 0), ("values", 1)} | LOGITS


@pytest.mark.parametrize("key", [("hidden_states", 3), ("attentions", 0), ("embeddings", 1), ("hidden_states", None)])
def test_what_a_model_cannot_give_is_named(model_of: Callable[..., Any], batch: Batch, key: FeatureKey) -> None:
    with pytest.raises(ConfigError, match=f"with 2 layers has no feature '{key[0]}'"):
        forward_features(model_of(), batch, frozenset({key}))
