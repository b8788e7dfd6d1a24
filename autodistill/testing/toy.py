"""A toy architecture problem with closed-form answers, to test search strategies with.

It costs microseconds, so that whole searches run in a test with `explore`. The conformance suite is in
`autodistill.testing.search`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from autodistill.components.architecture import Architecture
from autodistill.components.search import (
    Constraint,
    History,
    Known,
    Objective,
    SearchContext,
    SearchSpace,
    SearchStrategy,
)
from autodistill.engine.space import build_space

if TYPE_CHECKING:
    from autodistill.components.search import FloatArray

MakeStrategy = Callable[[SearchContext], SearchStrategy]

ACCURACY = Objective("accuracy", "classification.accuracy", "maximize")
LATENCY = Objective("latency", "onnxruntime.p50_ms", "minimize")
PARAMETERS = Objective("parameters", "size.parameters", "minimize")

#: Corner of the toy's report: the accuracy of guessing (negative, as everything is minimised) and a slow model.
TOY_REFERENCE = (-0.5, 12.0)


def toy_space(rules: Mapping[str, str] | None = None) -> SearchSpace:
    """The toy's space: 504 architectures of four parameters, one of them categorical, cut by a rule."""
    return build_space(
        "toy",
        {
            "num_layers": [1, 2, 3, 4, 6, 8],
            "hidden_size": {"type": "integer", "low": 96, "high": 384, "step": 48},
            "num_heads": [2, 4, 6, 8],
            "activation": {"type": "categorical", "values": ["gelu", "relu", "silu"]},
        },
        {"heads_divide_width": "hidden_size % num_heads == 0", **(rules or {})},
    )


def toy_metrics(architecture: Architecture) -> dict[str, float]:
    """Accuracy and median latency in milliseconds of a toy architecture.

    Accuracy saturates with depth and width and likes heads of about 48; latency grows with the work per layer and
    with the number of heads.
    """
    choices = architecture.choices
    layers, hidden, heads = (float(choices[name]) for name in ("num_layers", "hidden_size", "num_heads"))
    depth, width = 1.0 - math.exp(-layers / 2.5), 1.0 - math.exp(-hidden / 140.0)
    shape = 0.04 * abs(math.log2(hidden / heads / 48.0))
    bonus = {"gelu": 0.02, "relu": 0.0, "silu": 0.012}.get(str(choices["activation"]), 0.0)
    cost = {"gelu": 1.12, "relu": 1.0, "silu": 1.2}.get(str(choices["activation"]), 1.0)
    latency = 0.3 + layers * (0.12 + 0.04 * heads + cost * (hidden / 384.0) ** 1.7)
    return {ACCURACY.metric: 0.5 + 0.42 * depth * width - shape + bonus, LATENCY.metric: latency}


class ToyKnown:
    """Number of parameters of a toy architecture, exact; a `autodistill.components.search.Known`.

    Args:
        scale: factor on the metric, to see whether a unit matters.
        latency: whether the latency is known as well.
    """

    def __init__(self, scale: float = 1.0, latency: bool = False) -> None:
        self.scale, self.latency = scale, latency

    @property
    def metrics(self) -> frozenset[str]:
        """``size.parameters``, and the latency if it is known."""
        return frozenset({PARAMETERS.metric, *([LATENCY.metric] if self.latency else [])})

    def __call__(self, architectures: Sequence[Architecture]) -> Mapping[str, tuple[FloatArray, FloatArray]]:
        """Twelve hidden squared per layer, as in a transformer whose feed-forward block is four times as wide."""
        sizes = [12.0 * _number(item, "num_layers") * _number(item, "hidden_size") ** 2 for item in architectures]
        values = self.scale * np.array(sizes, dtype=np.float64)
        known = {PARAMETERS.metric: (values, np.zeros_like(values))}
        if self.latency:
            latencies = np.array([toy_metrics(item)[LATENCY.metric] for item in architectures], dtype=np.float64)
            known[LATENCY.metric] = (latencies, np.zeros_like(latencies))
        return known


class NothingKnown:
    """A `autodistill.components.search.Known` that answers no metric."""

    @property
    def metrics(self) -> frozenset[str]:
        """None at all."""
        return frozenset()

    def __call__(self, architectures: Sequence[Architecture]) -> Mapping[str, tuple[FloatArray, FloatArray]]:
        """An empty mapping."""
        return {}


def toy_context(
    *,
    space: SearchSpace | None = None,
    objectives: Sequence[Objective] = (ACCURACY, LATENCY),
    constraints: Sequence[Constraint] = (),
    known: Known | None = None,
    seed: int = 0,
    measured: Sequence[str] = (),
) -> SearchContext:
    """A context on the toy: accuracy up, latency down, parameters known."""
    return SearchContext(
        space or toy_space(),
        tuple(objectives),
        tuple(constraints),
        known or ToyKnown(),
        seed,
        measured=frozenset(measured),
    )


def toy_history(
    context: SearchContext,
    architectures: Sequence[Architecture],
    *,
    states: Sequence[str] | None = None,
    noise: float = 0.0,
    variances: bool = False,
) -> History:
    """The history in which ``architectures`` were asked in this order and answered by `toy_metrics`.

    Args:
        context: says what lies in the space.
        architectures: one per trial; an architecture that comes again is another replicate.
        states: one per trial, default all complete; pending, infeasible and failed trials have no metrics.
        noise: standard deviation added to accuracies, and relative to latencies; the same in every call.
        variances: whether the variance of the accuracy's noise is told.
    """
    states = tuple(states or ["complete"] * len(architectures))
    rng = np.random.default_rng(1234)  # any fixed number: a longer history begins like a shorter one
    rows = [_observation(item, state, rng, noise) for item, state in zip(architectures, states, strict=True)]
    metrics = {name: np.array([row[name] for row in rows]) for name in (ACCURACY.metric, LATENCY.metric)}
    told = iter(range(len(rows)))
    counts = Counter[Architecture]()
    replicates = []
    for item in architectures:
        replicates.append(counts[item])
        counts[item] += 1
    return History(
        architectures=tuple(architectures),
        replicates=tuple(replicates),
        states=states,
        in_space=tuple(item in context.space for item in architectures),
        metrics=metrics,
        variances={ACCURACY.metric: np.full(len(rows), noise**2)} if variances else {},
        told=tuple(-1 if state == "pending" else next(told) for state in states),
        notes=(None,) * len(rows),
    )


def _observation(architecture: Architecture, state: str, rng: np.random.Generator, noise: float) -> dict[str, float]:
    draws = noise * rng.standard_normal(2)
    if state not in ("complete", "stopped"):
        return {ACCURACY.metric: math.nan, LATENCY.metric: math.nan}
    values = toy_metrics(architecture)
    return {
        # A stopped trial was timed before training; its early score is no score.
        ACCURACY.metric: values[ACCURACY.metric] + draws[0] if state == "complete" else math.nan,
        LATENCY.metric: values[LATENCY.metric] * math.exp(draws[1]),
    }


def explore(
    make_strategy: MakeStrategy, context: SearchContext, trials: int, *, at_once: int = 1, noise: float = 0.0
) -> History:
    """Run a whole search on the toy: propose, answer, repeat; the answers come from `toy_metrics`.

    Args:
        make_strategy: builds the strategy; called once.
        context: the toy's.
        trials: how many architectures are tried.
        at_once: proposals per call.
        noise: see `toy_history`.
    """
    strategy, tried = make_strategy(context), list[Architecture]()
    while len(tried) < trials:
        proposals = strategy.propose(toy_history(context, tried, noise=noise), min(at_once, trials - len(tried)))
        tried += [proposal.architecture for proposal in proposals]
    return toy_history(context, tried, noise=noise)


def _number(architecture: Architecture, name: str) -> float:
    return float(architecture.choices.get(name, 1))
