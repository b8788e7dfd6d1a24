"""An attention implementation for transformers that computes as ``eager`` does and lets features be read.

transformers gives attention maps after dropout and no scores, queries, keys or values at all. This one hands them out
as they are before dropout. It is registered through transformers' own interface for attention functions.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from autodistill.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from transformers import PretrainedConfig, PreTrainedModel

#: Name of the implementation in transformers' registry.
IMPLEMENTATION = "autodistill_recorded"

#: What it hands out, per block.
ATTENTION_FEATURES = frozenset({"attention_scores", "attentions", "queries", "keys", "values"})


class _Active(threading.local):
    """What this thread records: one mapping per block, or None."""

    blocks: list[dict[str, Tensor]] | None = None
    names: frozenset[str] = frozenset()


_active = _Active()


@torch.compiler.disable
def _record(given: Mapping[str, Tensor]) -> None:
    """Keep what this thread wants of a block.

    Not compiled: code that grows a list is compiled anew for every length of it, a few times, and then no more.
    """
    if _active.blocks is not None:
        _active.blocks.append({name: given[name] for name in _active.names})


def recorded_attention(
    module: Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, Tensor]:
    """Attention as transformers calls it.

    Args:
        module: the attention module.
        query: ``batch x heads x tokens x width``.
        key: the same shape, or one of a divisor of the heads that groups of them share (grouped-query attention).
        value: as the keys.
        attention_mask: ``batch x 1 x tokens x tokens``, added to the scores; None = nothing is masked.
        scaling: factor of the scores; default 1 / sqrt(width).
        dropout: share of the attention weights set to zero in training.
        kwargs: not used.

    Returns:
        ``batch x tokens x heads x width`` and the attention weights.
    """
    if key.size(1) != query.size(1):
        groups = query.size(1) // key.size(1)
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scores = torch.matmul(query, key.transpose(2, 3)) * (query.size(-1) ** -0.5 if scaling is None else scaling)
    masked = scores if attention_mask is None else scores + attention_mask
    weights = torch.softmax(masked, dim=-1)
    _record({"attention_scores": scores, "attentions": weights, "queries": query, "keys": key, "values": value})
    dropped = torch.nn.functional.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(dropped, value).transpose(1, 2).contiguous(), weights


AttentionInterface.register(IMPLEMENTATION, recorded_attention)
AttentionMaskInterface.register(IMPLEMENTATION, eager_mask)


def windowed_layers(config: PretrainedConfig) -> frozenset[int]:
    """Layers, from 1, in which a token sees only its neighbourhood, so that scores alone do not give the maps.

    Args:
        config: of a transformers model.
    """
    kinds = getattr(config, "layer_types", None) or ()
    if kinds:
        return frozenset(layer for layer, kind in enumerate(kinds, start=1) if kind != "full_attention")
    return frozenset(range(1, config.num_hidden_layers + 1) if getattr(config, "sliding_window", None) else ())


@contextlib.contextmanager
def recordable(model: PreTrainedModel) -> Iterator[None]:
    """Let ``model`` use the implementation of this module, and its own one again at the end.

    Raises:
        ConfigError: the model's class does not let its attention be replaced.
    """
    before = model.config._attn_implementation
    if before == IMPLEMENTATION:
        yield
        return
    model.set_attn_implementation(IMPLEMENTATION)
    if model.config._attn_implementation != IMPLEMENTATION:
        raise ConfigError(
            f"{type(model).__name__} does not give attention features. Use losses on logits or hidden states, e.g. "
            "'logits_kl' or 'hidden_mse'."
        )
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextlib.contextmanager
def recording(model: PreTrainedModel, names: frozenset[str]) -> Iterator[list[dict[str, Tensor]]]:
    """Record attention features of the forward pass inside: one mapping per block, lowest first.

    Args:
        model: whose blocks are called in their order.
        names: of `ATTENTION_FEATURES`; nothing happens when empty.
    """
    blocks: list[dict[str, Tensor]] = []
    if not names:
        yield blocks
        return
    with recordable(model):
        _active.blocks, _active.names = blocks, names
        try:
            yield blocks
        finally:
            _active.blocks, _active.names = None, frozenset()
