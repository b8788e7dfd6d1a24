"""The operators of one forward pass, in closed form, for the families whose blocks are known here.

Every number may be an array: lengths along the last axis, architectures along the first, so that a whole space is
costed at once. What is not an encoder (pooler, classifier, vocabulary) is told by the family's own FLOPs, less the
encoder's. Models of other families are traced: see `autodistill.latency.trace`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autodistill.components.architecture import Architecture

Numbers = NDArray[np.float64]

#: Elementwise operations per element, roughly: a softmax subtracts a maximum, exponentiates, sums and divides; GELU is
#: an error function; a layer norm takes two moments, normalises, scales and shifts.
SOFTMAX, GELU, RELU, NORM, ADD = 5.0, 8.0, 1.0, 8.0, 1.0

#: Width of MobileBERT's word embeddings, of which three neighbours enter together.
MOBILEBERT_EMBEDDING, TRIGRAM = 128, 3

CHOICES: Mapping[str, tuple[str, ...]] = {
    "bert": ("num_layers", "hidden_size", "num_heads", "intermediate_size"),
    "mobilebert": ("num_layers", "hidden_size", "bottleneck_size", "num_heads", "intermediate_size", "num_ffn"),
}


@dataclass(frozen=True)
class Operator:
    """A kind of operator; everything but ``name`` broadcasts to architectures x lengths.

    Args:
        name: what it does.
        count: how many of it a forward pass has.
        flops: of one, on the matrix unit, 2 per multiply-add.
        weights: elements of its weights.
        activations: elements that it reads and writes.
        vector: elementwise operations of one.
        rows: rows of its matrix product; 0 for none.
    """

    name: str
    count: Numbers | float
    flops: Numbers | float
    weights: Numbers | float
    activations: Numbers | float
    vector: Numbers | float = 0.0
    rows: Numbers | float = 0.0


def known(architecture: Architecture) -> bool:
    """Whether `operators_of` knows the family and all choices."""
    names = CHOICES.get(architecture.family, ())
    return bool(names) and all(isinstance(architecture.choices.get(name), int) for name in names)


def operators_of(architectures: Sequence[Architecture], batch: int, lengths: Numbers) -> list[Operator]:
    """Operators of the encoders of architectures of one family.

    Args:
        architectures: of one family, `known`.
        batch: sequences per request.
        lengths: tokens per sequence, one-dimensional.
    """
    family = architectures[0].family
    sizes = {name: np.array([[float(item.choices[name])] for item in architectures]) for name in CHOICES[family]}
    return (_bert if family == "bert" else _mobilebert)(sizes, float(batch), lengths[None, :])


def heads_of(
    per_sequence: Numbers, per_token: Numbers, widths: Numbers, batch: int, lengths: Numbers
) -> list[Operator]:
    """What comes after the encoder: a product over sequences (pooler, classifier), and one over tokens (vocabulary).

    A head for masked tokens answers at every token, masked or not, as transformers' models do.

    Args:
        per_sequence: FLOPs per sequence, ``architectures x 1``: pooler and classifier.
        per_token: FLOPs per token, ``architectures x 1``: a head over all tokens.
        widths: of what both read, ``architectures x 1``.
        batch: sequences per request.
        lengths: tokens per sequence.
    """
    tokens = batch * lengths[None, :]
    return [
        _head("head", per_sequence, widths, batch * np.ones_like(tokens)),
        _head("head over tokens", per_token, widths, tokens),
    ]


def _head(name: str, flops_each: Numbers, widths: Numbers, rows: Numbers) -> Operator:
    """A product of ``rows`` with as many weights as its FLOPs tell; absent where there are none."""
    weights = flops_each / 2  # 2 operations per weight and row
    outputs = weights / widths
    return Operator(name, np.sign(flops_each), rows * flops_each, weights, rows * (widths + outputs), rows=rows)


def linear(name: str, count: Any, rows: Any, inputs: Any, outputs: Any) -> Operator:
    """A product of ``rows x inputs`` activations with weights, and a bias."""
    return Operator(
        name,
        count,
        2 * rows * inputs * outputs,
        inputs * outputs + outputs,
        rows * (inputs + outputs),
        rows * outputs * ADD,
        rows=rows,
    )


def elementwise(name: str, count: Any, elements: Any, operations: float, reads: int = 1) -> Operator:
    """An operator that reads ``reads`` tensors of ``elements`` and writes one."""
    return Operator(name, count, 0.0, 0.0, (reads + 1) * elements, operations * elements)


def _attention(layers: Any, batch: float, tokens: Any, width: Any, heads: Any) -> list[Operator]:
    scores = batch * heads * tokens * tokens
    product = 2 * batch * tokens * tokens * width
    passed = 2 * batch * tokens * width + scores
    return [
        Operator("attention scores", layers, product, 0.0, passed, rows=tokens),
        elementwise("softmax", layers, scores, SOFTMAX),
        Operator("attention values", layers, product, 0.0, passed, rows=tokens),
    ]


def _bert(sizes: Mapping[str, Numbers], batch: float, tokens: Numbers) -> list[Operator]:
    layers, width = sizes["num_layers"], sizes["hidden_size"]
    inner, rows = sizes["intermediate_size"], batch * tokens
    return [
        elementwise("embeddings", 1.0, rows * width, NORM + 2 * ADD, reads=3),
        linear("query, key, value", 3 * layers, rows, width, width),
        *_attention(layers, batch, tokens, width, sizes["num_heads"]),
        linear("attention output", layers, rows, width, width),
        linear("feed-forward in", layers, rows, width, inner),
        elementwise("activation", layers, rows * inner, GELU),
        linear("feed-forward out", layers, rows, inner, width),
        elementwise("residual and norm", 2 * layers, rows * width, NORM + ADD, reads=2),
    ]


def _mobilebert(sizes: Mapping[str, Numbers], batch: float, tokens: Numbers) -> list[Operator]:
    layers, width, thin = sizes["num_layers"], sizes["hidden_size"], sizes["bottleneck_size"]
    inner, stacked, rows = sizes["intermediate_size"], sizes["num_ffn"], batch * tokens
    return [
        linear("embeddings", 1.0, rows, TRIGRAM * MOBILEBERT_EMBEDDING, width),
        elementwise("embedding sum and norm", 1.0, rows * width, 4 * ADD, reads=3),
        linear("bottleneck in", 2 * layers, rows, width, thin),
        linear("query, key", 2 * layers, rows, thin, thin),
        linear("value", layers, rows, width, thin),
        *_attention(layers, batch, tokens, thin, sizes["num_heads"]),
        linear("attention output", layers, rows, thin, thin),
        linear("feed-forward in", stacked * layers, rows, thin, inner),
        elementwise("activation", stacked * layers, rows * inner, RELU),
        linear("feed-forward out", stacked * layers, rows, inner, thin),
        linear("bottleneck out", layers, rows, thin, width),
        # Without layer norm: a scale, a shift and a sum after both bottlenecks, attention and every network ...
        elementwise("scale and shift", (stacked + 3) * layers, rows * thin, 3 * ADD, reads=2),
        # ... and over the full width at the end of the block.
        elementwise("residual", layers, rows * width, 3 * ADD, reads=2),
    ]


def encoder_flops(operators: Sequence[Operator]) -> Numbers:
    """FLOPs of all matrix products, ``architectures x lengths``."""
    total: Numbers = sum(np.asarray(item.count * item.flops) for item in operators)  # type: ignore[assignment]
    return total
