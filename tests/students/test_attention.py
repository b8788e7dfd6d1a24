"""Reducing attention heads: groups, low-rank factors, dropped heads."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertAttention

from autodistill.students.attention import copy_attention, group_heads, low_rank


def make_attention(hidden: int, heads: int) -> Any:
    config = BertConfig(hidden_size=hidden, num_attention_heads=heads, attn_implementation="eager")
    block = BertAttention(config).eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return block


def written(block: Any, states: torch.Tensor) -> torch.Tensor:
    """What the attention adds to the residual stream."""
    with torch.no_grad():
        result: torch.Tensor = block.output.dense(block.self(states)[0])
    return result


def test_fewer_heads_keep_the_most_important_in_their_order() -> None:
    scores = torch.tensor([1.0, 4.0, 2.0, 3.0])
    assert group_heads(scores, heads=2, merged=1) == [[1], [3]]
    assert group_heads(scores, heads=2, merged=2) == [[0, 1], [2, 3]]
    assert group_heads(scores, heads=1, merged=3) == [[1, 2, 3]]


def test_more_heads_use_every_teacher_head_and_the_important_ones_more_often() -> None:
    scores = torch.tensor([1.0, 4.0, 2.0])
    assert group_heads(scores, heads=3, merged=1) == [[0], [1], [2]]
    assert group_heads(scores, heads=5, merged=1) == [[0], [1], [1], [2], [2]]
    assert group_heads(scores, heads=6, merged=1) == [[0], [0], [1], [1], [2], [2]]


def test_low_rank_is_exact_at_full_rank_and_the_best_of_its_rank_below() -> None:
    left, right = torch.randn(4, 9), torch.randn(4, 7)
    exact = left.T @ right
    first, second = low_rank(left, right, 4)
    torch.testing.assert_close(first.T @ second, exact, atol=1e-5, rtol=1e-5)
    first, second = low_rank(left, right, 2)
    strengths = torch.linalg.svdvals(exact)
    assert torch.linalg.matrix_norm(exact - first.T @ second).item() == pytest.approx(
        strengths[2:].norm().item(), rel=1e-4
    )


def test_dropping_heads_that_attend_to_nothing_new_keeps_their_constant() -> None:
    """A head whose value is a constant adds that constant: it moves into the output's bias."""
    torch.manual_seed(0)
    teacher = make_attention(16, 4)
    with torch.no_grad():
        teacher.self.value.weight[4:8] = 0
        teacher.self.value.weight[12:16] = 0
    # Two heads of four channels in a student of eight: heads 0 and 2 are kept whole.
    norm = torch.nn.LayerNorm(16)
    scores = torch.tensor([1.0, 0.0, 1.0, 0.0])
    config = BertConfig(hidden_size=8, num_attention_heads=2, attn_implementation="eager")
    student = BertAttention(config).eval()
    channels = torch.arange(8)
    copy_attention(student, teacher, norm, channels, scores)
    states = torch.randn(2, 5, 16)
    states[..., 8:] = 0
    torch.testing.assert_close(written(student, states[..., :8]), written(teacher, states)[..., :8])


def test_channels_that_a_norm_silences_do_no_harm() -> None:
    torch.manual_seed(0)
    teacher, student = make_attention(16, 4), make_attention(16, 8)
    norm = torch.nn.LayerNorm(16)
    with torch.no_grad():
        norm.weight[3] = 0
    copy_attention(student, teacher, norm, torch.arange(16), torch.ones(4))
    assert all(torch.isfinite(parameter).all() for parameter in student.parameters())
