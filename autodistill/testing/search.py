"""Test a search strategy: a conformance suite, and a toy architecture problem with closed-form answers.

A plugin's tests subclass `SearchStrategySuite` and supply the fixture ``make_strategy``::

    class TestAnnealing(SearchStrategySuite):
        @pytest.fixture
        def make_strategy(self):
            return lambda context: Annealing(context, steps=10)

The toy (`toy_space`, `toy_metrics`, `ToyKnown`, `toy_context`) costs microseconds, so that whole searches run in a
test with `explore`.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from autodistill.components.architecture import Architecture
from autodistill.components.search import (
    Constraint,
    History,
    Known,
    Objective,
    Proposal,
    SearchContext,
    SearchSpace,
    SearchStrategy,
)
from autodistill.engine.space import build_space
from autodistill.errors import SpaceExhaustedError

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
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    @property
    def metrics(self) -> frozenset[str]:
        """Only ``size.parameters``."""
        return frozenset({PARAMETERS.metric})

    def __call__(self, architectures: Sequence[Architecture]) -> Mapping[str, tuple[FloatArray, FloatArray]]:
        """Twelve hidden squared per layer, as in a transformer whose feed-forward block is four times as wide."""
        sizes = [12.0 * _number(item, "num_layers") * _number(item, "hidden_size") ** 2 for item in architectures]
        values = self.scale * np.array(sizes, dtype=np.float64)
        return {PARAMETERS.metric: (values, np.zeros_like(values))}


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
) -> SearchContext:
    """A context on the toy: accuracy up, latency down, parameters known."""
    return SearchContext(space or toy_space(), tuple(objectives), tuple(constraints), known or ToyKnown(), seed)


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
        architectures: one per trial.
        states: one per trial, default all complete; pending, infeasible and failed trials have no metrics.
        noise: standard deviation added to accuracies, and relative to latencies; the same in every call.
        variances: whether the variance of the accuracy's noise is told.
    """
    states = tuple(states or ["complete"] * len(architectures))
    rng = np.random.default_rng(1234)  # any fixed number: a longer history begins like a shorter one
    rows = [_observation(item, state, rng, noise) for item, state in zip(architectures, states, strict=True)]
    metrics = {name: np.array([row[name] for row in rows]) for name in (ACCURACY.metric, LATENCY.metric)}
    told = iter(range(len(rows)))
    return History(
        architectures=tuple(architectures),
        replicates=(0,) * len(rows),
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
        ACCURACY.metric: values[ACCURACY.metric] + draws[0],
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


class SearchStrategySuite:
    """What every search strategy must do; subclass it and supply the fixture ``make_strategy``.

    Set ``UNIT_FREE = True`` to also require that a metric in another unit (1024 times as large) changes nothing.
    """

    UNIT_FREE = False

    @pytest.fixture
    def make_strategy(self) -> MakeStrategy:
        """Builds the strategy from a `SearchContext`; override it."""
        raise NotImplementedError("Override the fixture make_strategy: a callable that takes a SearchContext.")

    def test_proposals_are_feasible_new_and_distinct_throughout_a_search(self, make_strategy: MakeStrategy) -> None:
        """Twelve trials, two at a time."""
        context = toy_context()
        tried = explore(make_strategy, context, 12, at_once=2, noise=0.01).architectures
        assert all(item in context.space for item in tried), "an architecture outside the space was proposed"
        assert len(set(tried)) == len(tried), "an architecture was proposed twice"

    def test_the_first_proposal_needs_no_history(self, make_strategy: MakeStrategy) -> None:
        """At least one, at most as many as asked for."""
        assert len(make_strategy(toy_context()).propose(History(), 1)) == 1
        assert 1 <= len(make_strategy(toy_context()).propose(History(), 5)) <= 5

    def test_no_trial_is_proposed_again_whatever_its_state(self, make_strategy: MakeStrategy) -> None:
        """Pending, stopped, infeasible and failed trials count as proposed."""
        context = toy_context(space=_tiny_space())
        everything = list(context.space.enumerate())
        states = ["complete", "pending", "stopped", "infeasible", "failed"]
        tried = everything[:-2]
        history = toy_history(context, tried, states=[states[row % len(states)] for row in range(len(tried))])
        proposals = make_strategy(context).propose(history, 4)
        assert {item.architecture for item in proposals} <= set(everything[-2:])

    def test_the_same_history_gives_the_same_proposals(self, make_strategy: MakeStrategy) -> None:
        """From the same instance, and from a fresh one: there is no hidden state."""
        history = _some_history(toy_context())
        strategy = make_strategy(toy_context())
        first = _choices(strategy.propose(history, 2))
        strategy.propose(History(), 1)
        assert _choices(strategy.propose(history, 2)) == first, "the instance remembers something"
        assert _choices(make_strategy(toy_context()).propose(history, 2)) == first, "a fresh instance differs"

    def test_the_seed_is_the_only_source_of_randomness(self, make_strategy: MakeStrategy) -> None:
        """Global random numbers are neither used nor advanced."""
        history = _some_history(toy_context())
        random.seed(1)
        np.random.seed(1)
        first = _choices(make_strategy(toy_context()).propose(history, 1))
        state, numpy_state = random.getstate(), np.random.get_state(legacy=False)
        torch_state = _torch_state()
        assert _choices(make_strategy(toy_context()).propose(history, 1)) == first
        assert random.getstate() == state, "Python's global random numbers were advanced"
        assert str(np.random.get_state(legacy=False)) == str(numpy_state), "NumPy's were advanced"
        assert _torch_state() == torch_state, "torch's random numbers or its default type were changed"

    def test_trials_outside_the_space_are_accepted(self, make_strategy: MakeStrategy) -> None:
        """Baselines of the same family with larger sizes, and of another family, share the history."""
        context = toy_context()
        larger = Architecture("toy", {"num_layers": 24, "hidden_size": 1024, "num_heads": 16, "activation": "gelu"})
        history = toy_history(context, [larger, *_some_history(context).architectures])
        stranger = Architecture("other", {"depth": 3})
        history = replace(
            history,
            architectures=(stranger, *history.architectures[1:]),
            in_space=(False, *history.in_space[1:]),
        )
        _assert_new(context, history, make_strategy(context).propose(history, 1))
        bare = toy_history(context, [larger])
        _assert_new(context, bare, make_strategy(context).propose(bare, 1))

    def test_missing_metrics_are_tolerated(self, make_strategy: MakeStrategy) -> None:
        """Trials that failed, were infeasible or lack one metric; a history without any metric."""
        context = toy_context()
        history = _some_history(context, states=("failed", "infeasible", "complete", "stopped", "pending"))
        history.metrics[ACCURACY.metric][2] = math.nan
        _assert_new(context, history, make_strategy(context).propose(history, 1))
        bare = replace(history, metrics={}, variances={})
        _assert_new(context, bare, make_strategy(context).propose(bare, 1))

    def test_equal_results_are_tolerated(self, make_strategy: MakeStrategy) -> None:
        """Nothing can be learnt when every trial scored the same."""
        context = toy_context()
        history = _some_history(context)
        flat = replace(history, metrics={name: np.full(len(history), 0.5) for name in history.metrics})
        _assert_new(context, flat, make_strategy(context).propose(flat, 2))

    def test_known_constraints_are_honoured(self, make_strategy: MakeStrategy) -> None:
        """What is known to break a bound before training is not proposed."""
        limit = Constraint("small", PARAMETERS.metric, "<=", 1e6)
        context = toy_context(constraints=[limit])
        tried = explore(make_strategy, context, 8, at_once=2).architectures
        sizes = ToyKnown()(tried)[PARAMETERS.metric][0]
        assert (sizes <= limit.bound).all(), "an architecture that is known to break a constraint was proposed"

    def test_the_end_of_the_space_is_told(self, make_strategy: MakeStrategy) -> None:
        """The last architectures are still proposed; then `SpaceExhaustedError` is raised."""
        context = toy_context(space=_tiny_space())
        everything = list(context.space.enumerate())
        last = make_strategy(context).propose(toy_history(context, everything[:-1]), 3)
        assert _choices(last) == [everything[-1].canonical]
        with pytest.raises(SpaceExhaustedError):
            make_strategy(context).propose(toy_history(context, everything), 1)

    def test_one_objective_is_enough(self, make_strategy: MakeStrategy) -> None:
        """Accuracy alone."""
        context = toy_context(objectives=[ACCURACY])
        history = _some_history(context)
        _assert_new(context, history, make_strategy(context).propose(history, 2))

    def test_the_unit_of_a_metric_changes_nothing(self, make_strategy: MakeStrategy) -> None:
        """Checked when ``UNIT_FREE`` is set."""
        if not self.UNIT_FREE:
            pytest.skip("this strategy does not promise to be free of units")
        context = toy_context()
        history = _some_history(context)
        for metric in (ACCURACY.metric, LATENCY.metric):
            scaled = replace(history, metrics={**history.metrics, metric: 1024.0 * history.metrics[metric]})
            proposals = make_strategy(context).propose(scaled, 2)
            assert _choices(proposals) == _choices(make_strategy(context).propose(history, 2)), metric


def _tiny_space() -> SearchSpace:
    """Twelve architectures."""
    return build_space(
        "toy",
        {"num_layers": [1, 2, 4], "hidden_size": [96, 192], "num_heads": [2], "activation": ["gelu", "relu"]},
        {},
    )


def _some_history(context: SearchContext, states: Sequence[str] = ("complete",) * 7 + ("pending",)) -> History:
    """A history of as many spread architectures as there are states."""
    everything = context.space.enumerate()
    step = len(everything) // len(states)
    return toy_history(context, [everything[row * step] for row in range(len(states))], states=states, noise=0.01)


def _choices(proposals: Sequence[Proposal]) -> list[str]:
    return [proposal.architecture.canonical for proposal in proposals]


def _assert_new(context: SearchContext, history: History, proposals: Sequence[Proposal]) -> None:
    assert proposals, "nothing was proposed"
    for proposal in proposals:
        assert proposal.architecture in context.space
        assert proposal.replicate or proposal.architecture not in history.architectures


def _torch_state() -> tuple[Any, ...]:
    """Torch's global state, where torch is loaded at all."""
    torch = sys.modules.get("torch")
    if torch is None:
        return ()
    return torch.get_rng_state().numpy().tobytes(), torch.get_default_dtype()
