"""Two synthetic problems with a known front: ``blocks``, small and free of noise, and ``layers``, 27 parameters, noisy.

Both are shaped like encoders: accuracy saturates with depth and width and depends on how the choices fit together;
latency is the sum of what the parts cost. No figure is taken from a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from autodistill.components.architecture import Architecture, Choice
from autodistill.engine.space import Space, build_space
from benchmarks.search.problems import ACCURACY, FLOPS, LATENCY, PARAMETERS, Problem, noisy, true_front

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

BLOCKS_SPACE = {
    "num_layers": [1, 2, 3, 4, 5, 6, 8, 10, 12],
    "hidden_size": [96, 144, 192, 240, 288, 336, 384, 512],
    "num_heads": [2, 4, 6, 8, 12],
    "ffn_factor": [1, 2, 3, 4],
    "activation": {"type": "categorical", "values": ["gelu", "relu", "silu"]},
}

#: ``fine_blocks``: with finer steps.
FINE_BLOCKS_SPACE = {
    **BLOCKS_SPACE,
    "num_layers": list(range(1, 13)),
    "hidden_size": {"type": "integer", "low": 96, "high": 960, "step": 24},
    "ffn_factor": {"type": "integer", "low": 1, "high": 15},
}

#: Accuracy gained and relative cost by activation.
ACTIVATIONS = {"gelu": (0.008, 1.12), "relu": (0.0, 1.0), "silu": (0.005, 1.2)}

#: ``layers``: depth, and the choices of every layer.
DEPTH = 9
WIDTHS, HEADS, FFN = (32, 64, 96, 128), (1, 2, 4, 8), (0, 128, 256, 512, 1024)

#: ``layers``: latency is counted in hundredths of a millisecond, so that the front can be found exactly.
TICK_MS = 0.01
HEAD_TICKS = {1: 1, 2: 2, 4: 4, 8: 9}
WIDTH_TICKS = {32: 2, 64: 4, 96: 7, 128: 10}

#: ``layers``: standard deviation of the observed accuracy; that of 80 % measured on 1,100 examples.
DEVIATION = 0.012


def _inside(space: Space, choices: Mapping[str, Choice]) -> Architecture | None:
    return space.complete([choices])[0]


def _values(architectures: Sequence[Architecture], name: str) -> FloatArray:
    return np.array([float(item.choices[name]) for item in architectures])


# -- blocks ----------------------------------------------------------------------------------------------------------


def blocks_truth(architectures: Sequence[Architecture]) -> dict[str, FloatArray]:
    """True metrics of ``blocks``."""
    layers, hidden, heads, ffn = (
        _values(architectures, name) for name in ("num_layers", "hidden_size", "num_heads", "ffn_factor")
    )
    bonus, cost = np.array([ACTIVATIONS[str(item.choices["activation"])] for item in architectures]).reshape(-1, 2).T
    depth, width = 1 - np.exp(-((layers / 2.5) ** 0.8)), 1 - np.exp(-hidden / 130)
    mixing = 1 - 0.25 * np.exp(-ffn / 1.2)
    fit = 0.012 * np.abs(np.log2(hidden / heads / 40)) + 0.02 * np.maximum(0, np.log2(layers * 40 / hidden))
    accuracy = 0.5 + 0.44 * depth * width * mixing - fit + bonus
    work = layers * hidden**2
    latency = 0.15 + layers * (0.05 + 0.012 * heads + cost * (hidden / 384) ** 1.6 * (0.2 + 0.1 * ffn))
    return {
        ACCURACY.metric: accuracy,
        LATENCY.metric: latency,
        PARAMETERS: 30_000 * hidden + work * (4 + 2 * ffn),
        FLOPS: 2 * 24 * work * (4 + 2 * ffn),
    }


@cache
def blocks() -> Problem:
    """4,104 architectures of five parameters, one of them categorical, one rule; noise-free."""
    return _blocks("blocks", BLOCKS_SPACE)


@cache
def fine_blocks() -> Problem:
    """The same with more choices: 99,900 architectures, nearly the most that are scored whole; of `cost` alone."""
    return _blocks("fine_blocks", FINE_BLOCKS_SPACE)


def _blocks(name: str, choices: Mapping[str, Any]) -> Problem:
    space = build_space(name, choices, {"heads_divide_width": "hidden_size % num_heads == 0"})
    truth = blocks_truth(list(space.enumerate()))
    latency = truth[LATENCY.metric]
    return Problem(
        name=name,
        about=f"synthetic, {space.size} architectures, 5 parameters, no noise",
        space=space,
        truth=blocks_truth,
        observe=lambda architecture, replicate, seed: (float(blocks_truth([architecture])[ACCURACY.metric][0]), 0.0),
        reference=(0.5, float(latency.max())),
        front=true_front(truth[ACCURACY.metric], latency),
        nearest=lambda choices: _inside(space, choices),
    )


# -- layers ----------------------------------------------------------------------------------------------------------


def _weights(layer: int) -> tuple[float, float]:
    """How much attention and the feed-forward block matter in a layer: at both ends, and in the middle."""
    place = layer / (DEPTH - 1)
    return 0.7 + 0.8 * abs(2 * place - 1) ** 1.5, 0.5 + 1.1 * float(np.exp(-(((place - 0.55) / 0.25) ** 2)))


def layer_gain(layer: int, width: int, heads: int, ffn: int) -> float:
    """What a layer adds to the capacity."""
    attention, feed_forward = _weights(layer)
    fit = 1 - 0.18 * abs(float(np.log2(width / heads / 24)))
    mixing = attention * (1 - np.exp(-width / 55)) * fit
    return float(mixing + feed_forward * (1 - np.exp(-ffn / 320)) * (width / 128) ** 0.4)


def layer_ticks(width: int, heads: int, ffn: int) -> int:
    """What a layer costs, in `TICK_MS`."""
    return 4 + HEAD_TICKS[heads] + WIDTH_TICKS[width] + round(ffn * width / 4096)


def mismatch(width: int, following: int) -> float:
    """Capacity lost between two layers of different width."""
    return 0.12 * abs(float(np.log2(width / following)))


def _accuracy(capacity: FloatArray) -> FloatArray:
    """Rising and saturating, so that the front of (capacity, latency) is the front."""
    result: FloatArray = 0.5 + 0.44 * (1 - np.exp(-np.maximum(capacity, 0.0) / 6.0))
    return result


def layers_truth(architectures: Sequence[Architecture]) -> dict[str, FloatArray]:
    """True metrics of ``layers``."""
    rows = [_layers_row(item) for item in architectures]
    capacity, ticks, parameters = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    return {
        ACCURACY.metric: _accuracy(capacity),
        LATENCY.metric: ticks * TICK_MS,
        PARAMETERS: parameters,
        FLOPS: 2 * 24 * parameters,
    }


def _layers_row(architecture: Architecture) -> tuple[float, float, float]:
    choices = architecture.choices
    layers = [tuple(int(choices[f"{name}_{layer}"]) for name in ("width", "heads", "ffn")) for layer in range(DEPTH)]
    gain = sum(layer_gain(layer, *chosen) for layer, chosen in enumerate(layers))
    gain -= sum(mismatch(one[0], other[0]) for one, other in pairwise(layers))
    ticks = sum(layer_ticks(*chosen) for chosen in layers)
    return gain, ticks, sum(4 * width * 256 + 2 * ffn * width for width, _, ffn in layers)


def layers_front() -> FloatArray:
    """The exact front by dynamic programming over (layer, its width, latency so far): largest capacity of each."""
    choices = [(width, heads, ffn) for width in WIDTHS for heads in HEADS for ffn in FFN]
    most = DEPTH * max(layer_ticks(*chosen) for chosen in choices)
    best = np.full((len(WIDTHS), most + 1), -np.inf)
    for chosen in choices:
        _raise_to(best[WIDTHS.index(chosen[0])], layer_ticks(*chosen), layer_gain(0, *chosen))
    for layer in range(1, DEPTH):
        following = np.full_like(best, -np.inf)
        for chosen in choices:
            arriving = np.max([best[row] - mismatch(width, chosen[0]) for row, width in enumerate(WIDTHS)], axis=0)
            cost, row = layer_ticks(*chosen), following[WIDTHS.index(chosen[0])]
            row[cost:] = np.maximum(row[cost:], arriving[:-cost] + layer_gain(layer, *chosen))
        best = following
    capacity = best.max(axis=0)
    ticks = np.flatnonzero(np.isfinite(capacity))
    return true_front(_accuracy(capacity[ticks]), np.asarray(ticks * TICK_MS, dtype=np.float64))


def _raise_to(row: FloatArray, index: int, value: float) -> None:
    row[index] = max(row[index], value)


@cache
def layers() -> Problem:
    """9 layers of 3 choices each: 80^9 architectures, accuracy observed with noise, exact front."""
    space = build_space(
        "layers",
        {
            f"{name}_{layer}": list(values)
            for layer in range(DEPTH)
            for name, values in (("width", WIDTHS), ("heads", HEADS), ("ffn", FFN))
        },
        {},
    )

    def observe(architecture: Architecture, replicate: int, seed: int) -> tuple[float, float]:
        value = float(layers_truth([architecture])[ACCURACY.metric][0])
        return noisy(value, DEVIATION, architecture, replicate, seed), DEVIATION**2

    front = layers_front()
    return Problem(
        name="layers",
        about=f"synthetic, 80^9 architectures, 27 parameters, noise of {100 * DEVIATION:.1f} points",
        space=space,
        truth=layers_truth,
        observe=observe,
        reference=(0.5, float(front[:, 1].max())),
        front=front,
        nearest=lambda choices: _inside(space, choices),
    )
