"""Attention blocks with fewer, narrower, wider or more heads than the teacher's.

A head is two maps: query-key (how much a token looks at another) and value-output (what it brings back). Heads of
another size are the best approximation of these maps by their rank, through a singular value decomposition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from autodistill.students.importance import keep_top


@dataclass(frozen=True)
class HeadMaps:
    """The four factors of a teacher's heads, restricted to the student's residual channels.

    Args:
        query: heads x size x (channels + 1); the last column is the bias, as for key and value.
        key: same shape.
        value: same shape.
        output: heads x channels x size.
        scale: channels + 1: typical magnitude of each input (1 for the bias).
    """

    query: Tensor
    key: Tensor
    value: Tensor
    output: Tensor
    scale: Tensor

    @classmethod
    def of(cls, attention: Any, norm: Any, channels: Tensor) -> HeadMaps:
        """Read a transformers `BertAttention` whose input comes out of the layer norm ``norm``."""
        heads = attention.self.num_attention_heads
        magnitude = (norm.weight.square() + norm.bias.square()).sqrt()[channels]
        # A channel that its norm silences must not be divided by zero below; 1e-6 is far below any living channel.
        scale = torch.cat([magnitude.clamp_min(1e-6), magnitude.new_ones(1)])
        output = attention.output.dense.weight[channels]
        return cls(
            query=_rows(attention.self.query, channels, heads),
            key=_rows(attention.self.key, channels, heads),
            value=_rows(attention.self.value, channels, heads),
            output=output.view(len(channels), heads, -1).permute(1, 0, 2),
            scale=scale,
        )


def _rows(linear: Any, channels: Tensor, heads: int) -> Tensor:
    rows = torch.cat([linear.weight[:, channels], linear.bias[:, None]], dim=1)
    return rows.view(heads, -1, rows.shape[1])


def group_heads(scores: Tensor, heads: int, merged: int) -> list[list[int]]:
    """Assign teacher heads to ``heads`` student heads.

    With no fewer heads than the teacher, every teacher head is used, the important ones more often. With fewer, the
    most important ``heads * merged`` are kept in their order and neighbours are merged.

    Args:
        scores: importance per teacher head.
        heads: student heads.
        merged: how many teacher heads fit into one student head.
    """
    total = len(scores)
    if heads >= total:
        extra = set(keep_top(scores, heads % total).tolist())
        return [[head] for head in range(total) for _ in range(heads // total + (head in extra))]
    kept = keep_top(scores, min(total, heads * merged)).tolist()
    edges = [index * len(kept) // heads for index in range(heads + 1)]
    return [kept[start:end] for start, end in pairwise(edges)]


@torch.no_grad()
def copy_attention(student: Any, teacher: Any, norm: Any, channels: Tensor, scores: Tensor) -> None:
    """Start the attention of one student layer from one teacher layer, in place.

    Args:
        student: a transformers `BertAttention`; its layer norm is left alone.
        teacher: the teacher's.
        norm: the teacher's layer norm in front of it.
        channels: the teacher's residual channels that the student keeps.
        scores: importance per teacher head.
    """
    maps = HeadMaps.of(teacher, norm, channels)
    size, teacher_size = student.self.attention_head_size, teacher.self.attention_head_size
    groups = group_heads(scores, student.self.num_attention_heads, merged=-(-size // teacher_size))
    seen: dict[int, int] = {}
    for index, group in enumerate(groups):
        rows = slice(index * size, (index + 1) * size)
        part = seen.get(group[0], 0)
        seen[group[0]] = part + 1
        copies = sum(other[0] == group[0] for other in groups)
        _write_query_key(student, maps, group, rows)
        _write_value_output(student, maps, group, rows, part, copies)
    student.output.dense.bias.copy_(teacher.output.dense.bias[channels] + _dropped_bias(maps, groups))


def _write_query_key(student: Any, maps: HeadMaps, group: Sequence[int], rows: slice) -> None:
    """Give one student head the mean of its teacher heads' scores (geometric mean of their attention)."""
    size, teacher_size = rows.stop - rows.start, maps.query.shape[1]
    query, key = maps.query[list(group)].flatten(0, 1), maps.key[list(group)].flatten(0, 1)
    if size < len(query):
        query, key = low_rank(query * maps.scale, key * maps.scale, size)
        query, key = query / maps.scale, key / maps.scale
    # Scores are divided by the root of the head's size, which differs between the two models.
    query = query * ((size / teacher_size) ** 0.5 / len(group))
    used = slice(rows.start, rows.start + len(query))
    _write(student.self.query, query, used)
    _write(student.self.key, key, used)
    # Rows beyond the teacher's rank: silent through the query, trainable through the key's random start.
    _silence(student.self.query, slice(used.stop, rows.stop))


def _write_value_output(
    student: Any, maps: HeadMaps, group: Sequence[int], rows: slice, part: int, copies: int
) -> None:
    """Give one student head the sum of its teacher heads' value-output maps, or its share of a split head."""
    size = rows.stop - rows.start
    value = maps.value[list(group)].flatten(0, 1)
    output = maps.output[list(group)].permute(1, 0, 2).flatten(1)
    if copies > 1 or size < len(value):
        scaled, columns = low_rank(value * maps.scale, output.T, min(len(value), size * copies))
        value, output = scaled[part::copies] / maps.scale, columns[part::copies].T
    used = slice(rows.start, rows.start + len(value))
    _write(student.self.value, value, used)
    student.output.dense.weight[:, used] = output
    student.output.dense.weight[:, used.stop : rows.stop] = 0


def _dropped_bias(maps: HeadMaps, groups: Sequence[Sequence[int]]) -> Tensor:
    """The constant that unused heads would have added: attention sums to 1, so it is what their value bias writes."""
    kept = {head for group in groups for head in group}
    dropped = [head for head in range(len(maps.value)) if head not in kept]
    return torch.einsum("hcs,hs->c", maps.output[dropped], maps.value[dropped, :, -1])


def low_rank(left: Tensor, right: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The best approximation of ``left.T @ right`` by factors with ``rank`` rows (Eckart and Young), balanced.

    Args:
        left: n x a, with n <= a.
        right: n x b.
        rank: <= n.

    Returns:
        ``rank x a`` and ``rank x b``, the strongest component first.
    """
    left_basis, left_core = torch.linalg.qr(left.T.double())
    right_basis, right_core = torch.linalg.qr(right.T.double())
    u, strength, vh = torch.linalg.svd(left_core @ right_core.T)
    rank = min(rank, len(strength))
    root = strength[:rank].sqrt()
    first = (left_basis @ u[:, :rank] * root).T
    second = (right_basis @ vh[:rank].T * root).T
    return first.to(left.dtype), second.to(right.dtype)


def _write(linear: Any, rows: Tensor, where: slice) -> None:
    linear.weight[where] = rows[:, :-1]
    linear.bias[where] = rows[:, -1]


def _silence(linear: Any, where: slice) -> None:
    linear.weight[where] = 0
    linear.bias[where] = 0
