"""Operators of any transformers model, from running it once per length on the CPU and noting what it calls.

For families whose blocks `autodistill.latency.operators` does not know in closed form: a plugin's, or a saved model of
another kind.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autodistill.components.architecture import Architecture
from autodistill.errors import LatencyError
from autodistill.latency.operators import ADD, CHOICES, GELU, MOBILEBERT_EMBEDDING, NORM, SOFTMAX, Operator

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Operators of PyTorch that only look at memory differently, or make no number that a model needs.
_FREE = frozenset(
    "view _unsafe_view reshape t transpose permute expand unsqueeze squeeze slice select detach alias split arange "
    "empty ones zeros full _to_copy lift_fresh clone scalar_tensor".split()
)

#: Elementwise operations per element of the result; others count as one.
_VECTOR: Mapping[str, float] = {"_softmax": SOFTMAX, "gelu": GELU, "native_layer_norm": NORM, "tanh": GELU}


#: Model type -> the names that its configuration has for the family's choices, in their order.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "bert": ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size"),
    "mobilebert": (
        *("num_hidden_layers", "hidden_size", "intra_bottleneck_size", "num_attention_heads"),
        *("intermediate_size", "num_feedforward_networks"),
    ),
}

#: What the closed form takes for granted; a model with anything else is traced.
_FIXED: Mapping[str, Any] = {
    "is_decoder": False,
    "use_bottleneck": True,
    "use_bottleneck_attention": False,
    "key_query_shared_bottleneck": True,
    "trigram_input": True,
    "normalization_type": "no_norm",
    "embedding_size": MOBILEBERT_EMBEDDING,
}


def architecture_of_config(config: Mapping[str, Any]) -> Architecture | None:
    """The architecture that a ``config.json`` stands for, of a family in `autodistill.latency.operators`, or None."""
    family = str(config.get("model_type"))
    if any(config.get(name, value) != value for name, value in _FIXED.items()):
        return None
    sizes = [config.get(name) for name in _NAMES.get(family, ())]
    if not sizes or not all(isinstance(size, int) for size in sizes):
        return None
    return Architecture(family, dict(zip(CHOICES[family], sizes, strict=True)))  # type: ignore[arg-type]


def traced_operators(model: PreTrainedModel, batch: int, lengths: Sequence[int], name: str) -> list[Operator]:
    """Operators by kind, each with what one of it does on average.

    Args:
        model: in eval mode, on the CPU.
        batch: sequences per request.
        lengths: tokens per sequence.
        name: of the model, for messages.

    Raises:
        LatencyError: the model cannot be run on token ids.
    """
    runs = [_trace(model, batch, length, name) for length in lengths]
    kinds = dict.fromkeys(kind for run in runs for kind in run)
    return [_merged(kind, [run.get(kind, np.zeros(6)) for run in runs]) for kind in kinds]


def _merged(kind: str, totals: Sequence[Any]) -> Operator:
    count, flops, weights, activations, vector, rows = np.stack(totals, axis=1)[:, None, :]
    each = np.maximum(count, 1.0)
    return Operator(kind, count, flops / each, weights / each, activations / each, vector / each, rows / each)


def _trace(model: PreTrainedModel, batch: int, length: int, name: str) -> dict[str, Any]:
    """Kind -> totals: count, flops, weights, activations, vector, rows."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils._python_dispatch import TorchDispatchMode

    weights = {parameter.data_ptr() for parameter in model.parameters()}
    totals: dict[str, Any] = {}

    class Note(TorchDispatchMode):
        """Adds up what is called."""

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            kind = func.overloadpacket.__name__.rstrip("_")
            if kind not in _FREE:
                found = _numbers(kind, args, result, weights)
                totals[kind] = totals.get(kind, np.zeros(6)) + found
            return result

    ids = torch.full((batch, length), 3)  # any token that is not padding
    try:
        # The plain form of attention: two products and a softmax, which every runtime has.
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), Note():
            model(input_ids=ids, attention_mask=torch.ones_like(ids))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise LatencyError(f"{name} cannot be run on {length} tokens to be costed: {error}") from error
    return totals


def _numbers(kind: str, args: Sequence[Any], result: Any, weights: set[int]) -> Any:
    import torch

    tensors = [item for item in args if isinstance(item, torch.Tensor)]
    first = result[0] if isinstance(result, tuple | list) else result
    made = first.numel() if isinstance(first, torch.Tensor) else 0
    held = sum(item.numel() for item in tensors if item.data_ptr() in weights and kind != "embedding")
    passed = made + sum(item.numel() for item in tensors if item.data_ptr() not in weights)
    flops, rows = _product(kind, tensors, made)
    vector = 0.0 if flops else made * _VECTOR.get(kind, ADD)
    return np.array([1.0, flops, held, passed, vector, rows])


def _product(kind: str, tensors: Sequence[Any], made: int) -> tuple[float, float]:
    """(FLOPs, rows) of a matrix product; zeros for anything else."""
    if kind in ("mm", "bmm", "addmm", "baddbmm"):
        left = tensors[-2]
        return 2.0 * made * left.shape[-1], float(left.shape[-2])
    if kind == "linear":
        return 2.0 * made * tensors[0].shape[-1], float(math.prod(tensors[0].shape[:-1]))
    if kind == "convolution":
        return 2.0 * made * math.prod(tensors[1].shape[1:]), float(made / tensors[1].shape[0])
    return 0.0, 0.0
