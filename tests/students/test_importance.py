"""Importance from weights and from activations: what does nothing has none."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch._subclasses import FakeTensorMode

from autodistill.components.training import Batch
from autodistill.students.importance import (
    _measured_units,
    _Sums,
    importance_of,
    keep_top,
    measured_importance,
    weight_importance,
)
from autodistill.testing.losses import toy_batch


def test_what_writes_nothing_or_is_silenced_has_no_importance(make_teacher: Any) -> None:
    encoder = make_teacher().bert
    with torch.no_grad():
        layer = encoder.encoder.layer[1]
        layer.output.dense.weight[:, 5] = 0
        layer.intermediate.dense.weight[6] = 0
        layer.intermediate.dense.bias[6] = 0
        layer.attention.output.dense.weight.view(32, 4, 8)[:, 2] = 0
        encoder.embeddings.LayerNorm.weight[9] = 0
        for block in encoder.encoder.layer:
            block.attention.output.LayerNorm.weight[9] = 0
            block.output.LayerNorm.weight[9] = 0
    importance = weight_importance(encoder)
    assert torch.nonzero(importance.units[1] == 0).flatten().tolist() == [5, 6]
    assert torch.nonzero(importance.heads[1] == 0).flatten().tolist() == [2]
    assert torch.nonzero(importance.channels == 0).flatten().tolist() == [9]
    assert (importance.units[0] > 0).all()


def test_head_importance_is_the_norm_of_the_whole_map(make_teacher: Any) -> None:
    encoder = make_teacher().bert
    attention = encoder.encoder.layer[0].attention
    value = torch.cat([attention.self.value.weight, attention.self.value.bias[:, None]], dim=1)[8:16]
    expected = (attention.output.dense.weight[:, 8:16] @ value).norm()
    torch.testing.assert_close(weight_importance(encoder).heads[0][1], expected)


def test_keep_top_returns_rising_indices_and_prefers_the_lower_among_equals() -> None:
    assert keep_top(torch.tensor([1.0, 3.0, 3.0, 2.0, 3.0]), 2).tolist() == [1, 2]
    assert keep_top(torch.tensor([1.0, 0.5]), 5).tolist() == [0, 1]


def padded(batch: Batch, tokens: int) -> Batch:
    wide = torch.nn.functional.pad(batch.input_ids, (0, tokens), value=7)
    return replace(
        batch,
        input_ids=wide,
        attention_mask=torch.nn.functional.pad(batch.attention_mask, (0, tokens)),
        token_type_ids=torch.zeros_like(wide),
    )


def test_the_second_text_of_a_pair_is_read_as_one(make_teacher: Any) -> None:
    encoder, batch = make_teacher().bert, toy_batch([5, 9])
    with torch.no_grad():
        encoder.embeddings.token_type_embeddings.weight[1].normal_(std=2.0)
    pair = replace(batch, token_type_ids=torch.ones_like(batch.input_ids))
    one, two = (measured_importance(encoder, [given]).units[0] for given in (batch, pair))
    assert not torch.allclose(one, two, rtol=0.01)


def test_measured_importance_is_what_parts_give_on_the_text(make_teacher: Any) -> None:
    encoder = make_teacher().bert
    batch = toy_batch([5, 9])
    given: dict[str, torch.Tensor] = {}
    layer = encoder.encoder.layer[1]
    for name, module in (("units", layer.output.dense), ("heads", layer.attention.output.dense)):
        module.register_forward_pre_hook(lambda _, inputs, name=name: given.update({name: inputs[0]}))
    importance = measured_importance(encoder, [batch])
    mask = batch.attention_mask
    units = given["units"][mask].square().mean(0).sqrt() * layer.output.dense.weight.norm(dim=0)
    torch.testing.assert_close(importance.units[1], units)
    for head in range(4):
        part = slice(8 * head, 8 * head + 8)
        added = given["heads"][mask][:, part] @ layer.attention.output.dense.weight[:, part].T
        torch.testing.assert_close(importance.heads[1][head], added.square().sum(-1).mean().sqrt())
    assert importance.channels.equal(weight_importance(encoder).channels)


def test_measured_importance_does_not_see_padding_or_batches(make_teacher: Any) -> None:
    encoder = make_teacher().bert
    batch = toy_batch([9, 9, 4])
    once = measured_importance(encoder, [batch])
    parts = [toy_batch([9, 9, 4]) for _ in range(2)]
    rows = (slice(0, 1), slice(1, 3))
    split = [
        Batch(part.input_ids[row], part.attention_mask[row], part.token_type_ids[row], None, part.rows[row])
        for part, row in zip(parts, rows, strict=True)
    ]
    for other in (measured_importance(encoder, split), measured_importance(encoder, [padded(batch, 3)])):
        for own, again in zip((*once.units, *once.heads), (*other.units, *other.heads), strict=True):
            torch.testing.assert_close(own, again)


def test_a_unit_that_the_text_never_wakes_goes_first(make_teacher: Any) -> None:
    """Its weights are the largest of all, which is why weights alone would keep it."""
    encoder = make_teacher().bert.train()
    layer = encoder.encoder.layer[0]
    with torch.no_grad():
        layer.intermediate.dense.weight[5] *= 10
        layer.intermediate.dense.bias[5] = -1000.0
    assert int(weight_importance(encoder).units[0].argmax()) == 5
    assert int(measured_importance(encoder, [toy_batch([9, 9])]).units[0].argmin()) == 5
    assert encoder.training, "the encoder's mode is not given back"


def test_units_of_an_encoder_on_a_gpu_are_ranked() -> None:
    sums, linear = _Sums(), torch.nn.Linear(8, 4)
    sums.mask = torch.ones(2, 3, dtype=torch.bool)
    with sums.watch(("units", 0), linear, torch.square):
        linear(torch.ones(2, 3, 8))
    with FakeTensorMode(allow_non_fake_inputs=True):  # no content, but devices that must agree
        output = SimpleNamespace(weight=torch.empty(4, 8, device="cuda"))
        (scores,) = _measured_units(sums, [(None, output)])
    assert (scores.shape, scores.device.type) == ((8,), "cpu")


def test_the_text_is_read_once_for_all_students(make_teacher: Any) -> None:
    encoder = make_teacher().bert
    passes: list[int] = []
    encoder.register_forward_pre_hook(lambda *_: passes.append(1))
    text = [toy_batch([5, 9])]
    first = importance_of(encoder, text)
    assert importance_of(encoder, [toy_batch([5, 9])]) is first
    assert sum(passes) == 1
    other = replace(text[0], rows=torch.tensor([7, 8]))
    assert importance_of(encoder, [other]) is not first
    assert importance_of(encoder, ()).units[0].equal(weight_importance(encoder).units[0])
    assert sum(passes) == 2
