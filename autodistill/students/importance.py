"""What a narrower student keeps of a BERT teacher: importance of residual channels, heads and feed-forward units.

Importance from weights needs no data, so every architecture starts by the same rule in a second. `Importance` is also
the seam for measured importance: whoever has activations fills the same fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Importance:
    """Scores >= 0; higher is kept. The order within a field is all that counts.

    Args:
        channels: hidden: channels of the residual stream, one choice for the whole model.
        heads: per teacher layer: heads.
        units: per teacher layer: intermediate units of the feed-forward network.
    """

    channels: Tensor
    heads: tuple[Tensor, ...]
    units: tuple[Tensor, ...]


@torch.no_grad()
def weight_importance(encoder: Any) -> Importance:
    """Importance from weight magnitudes: norm of what a unit or head reads times norm of what it writes.

    A unit or head whose reading or writing weights are all zero has importance 0, so dropping it changes nothing; a
    channel has importance 0 when every layer norm silences it.

    Args:
        encoder: a transformers `BertModel`.
    """
    layers = list(encoder.encoder.layer)
    return Importance(
        channels=_channel_importance(encoder.embeddings, layers),
        heads=tuple(_head_importance(layer.attention) for layer in layers),
        units=tuple(_unit_importance(layer) for layer in layers),
    )


def rows_norm(linear: Any) -> Tensor:
    """Norm of each output's weights and bias: ``out``."""
    squares = linear.weight.square().sum(dim=1) + linear.bias.square()
    root: Tensor = squares.sqrt()
    return root


def columns_norm(linear: Any) -> Tensor:
    """Norm of each input's weights: ``in``."""
    norm: Tensor = linear.weight.norm(dim=0)
    return norm


def _unit_importance(layer: Any) -> Tensor:
    return rows_norm(layer.intermediate.dense) * columns_norm(layer.output.dense)


def _head_importance(attention: Any) -> Tensor:
    """Frobenius norm of the value-to-output map of each head; query and key only move weight between tokens."""
    heads = attention.self.num_attention_heads
    value = torch.cat([attention.self.value.weight, attention.self.value.bias[:, None]], dim=1)
    value = value.view(heads, -1, value.shape[1])
    output = attention.output.dense.weight
    output = output.view(output.shape[0], heads, -1).permute(1, 0, 2)
    norms: Tensor = torch.linalg.matrix_norm(output @ value)
    return norms


def _channel_importance(embeddings: Any, layers: list[Any]) -> Tensor:
    """Sum over the layer norms of the squared gain: the variance that a channel has where it is read.

    Weighing it with the readers' weights, or ranking by the weights alone, keeps less of the teacher's hidden states.
    """
    norms = [embeddings.LayerNorm]
    for layer in layers:
        norms += [layer.attention.output.LayerNorm, layer.output.LayerNorm]
    total: Tensor = torch.stack([norm.weight for norm in norms]).square().sum(dim=0)
    return total


def keep_top(scores: Tensor, count: int) -> Tensor:
    """Indices of the ``count`` highest scores in rising order; ties go to the lower index."""
    order = torch.argsort(scores, descending=True, stable=True)[:count]
    return torch.sort(order).values
