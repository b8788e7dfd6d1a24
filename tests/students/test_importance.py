"""Importance from weights: what does nothing has none."""

from __future__ import annotations

from typing import Any

import torch

from autodistill.students.importance import keep_top, weight_importance


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
