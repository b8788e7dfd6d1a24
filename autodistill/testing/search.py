"""Test a search strategy: a conformance suite that runs on a toy architecture problem.

A plugin's tests subclass `SearchStrategySuite` and supply the fixture ``make_strategy``::

    class TestAnnealing(SearchStrategySuite):
        @pytest.fixture
        def make_strategy(self):
            return lambda context: Annealing(context, steps=10)

The toy (`toy_space`, `toy_metrics`, `ToyKnown`, `toy_context`, `explore`) is in `autodistill.testing.toy`.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodistill.components.architecture import Architecture
from autodistill.components.search import Constraint, History, Proposal, SearchContext, SearchSpace, SearchStrategy
from autodistill.components.training import RungReport
from autodistill.engine.space import build_space
from autodistill.errors import SpaceExhaustedError
from autodistill.testing.toy import (
    ACCURACY,
    LATENCY,
    PARAMETERS,
    TOY_REFERENCE,
    MakeStrategy,
    NothingKnown,
    ToyKnown,
    explore,
    toy_context,
    toy_history,
    toy_metrics,
    toy_space,
)

__all__ = [
    "ACCURACY",
    "LATENCY",
    "PARAMETERS",
    "TOY_REFERENCE",
    "MakeStrategy",
    "NothingKnown",
    "SearchStrategySuite",
    "ToyKnown",
    "explore",
    "toy_context",
    "toy_history",
    "toy_metrics",
    "toy_space",
]

# Loads the test's file in a fresh interpreter, takes the fixture's function from the class, and prints proposals.
_SECOND_PROCESS = """
import importlib.util, sys
specification = importlib.util.spec_from_file_location("tested", sys.argv[1])
module = importlib.util.module_from_spec(specification)
sys.modules["tested"] = module
specification.loader.exec_module(module)
from autodistill.testing.search import print_proposals
print_proposals(getattr(module, sys.argv[2]))
"""


class SearchStrategySuite:
    """What every search strategy must do; subclass it and supply the fixture ``make_strategy``.

    A second process loads the file of the subclass by itself and calls the fixture: the file has no relative imports,
    the fixture no arguments.

    Set ``UNIT_FREE = True`` to also require that a metric in another unit (1024 times as large) changes nothing, and
    ``LARGE_SPACES = False`` for a strategy that goes through the whole space and says so in its documentation.
    """

    UNIT_FREE = False
    LARGE_SPACES = True

    @pytest.fixture
    def make_strategy(self) -> MakeStrategy:
        """Builds the strategy from a `SearchContext`; override it."""
        raise NotImplementedError("Override the fixture make_strategy: a callable that takes a SearchContext.")

    def test_proposals_are_feasible_new_and_distinct_throughout_a_search(self, make_strategy: MakeStrategy) -> None:
        """Twelve trials, two at a time."""
        _search(make_strategy, toy_context(), 12)

    def test_the_first_proposal_needs_no_history(self, make_strategy: MakeStrategy) -> None:
        """At least one, at most as many as asked for."""
        assert len(make_strategy(toy_context()).propose(History(), 1)) == 1
        assert 1 <= len(make_strategy(toy_context()).propose(History(), 5)) <= 5

    def test_no_trial_is_proposed_again_whatever_its_state(self, make_strategy: MakeStrategy) -> None:
        """Pending, stopped, infeasible and failed trials count as proposed; a replicate must be asked for as such."""
        context = toy_context(space=_tiny_space())
        everything = list(context.space.enumerate())
        states = ["complete", "pending", "stopped", "infeasible", "failed"]
        tried = everything[:-2]
        history = toy_history(context, tried, states=[states[row % len(states)] for row in range(len(tried))])
        _allowed(make_strategy(context), context, history, 4)

    def test_replicates_in_the_history_are_understood(self, make_strategy: MakeStrategy) -> None:
        """Several rows of one architecture, some of them pending or failed, are one architecture that was tried."""
        context = toy_context(space=_tiny_space())
        everything = list(context.space.enumerate())
        tried = [*everything[:5], everything[0], everything[0], everything[3], everything[1]]
        states = ["complete"] * 7 + ["pending", "failed"]
        history = toy_history(context, tried, states=states, noise=0.01, variances=True)
        assert history.replicates == (0, 0, 0, 0, 0, 1, 2, 1, 1)
        strategy = make_strategy(context)
        _allowed(strategy, context, history, 2)
        _assert_repeatable(make_strategy, context, history)

    def test_the_same_history_gives_the_same_proposals(self, make_strategy: MakeStrategy) -> None:
        """From the same instance, and from a fresh one: there is no hidden state."""
        history = _some_history(toy_context())
        strategy = make_strategy(toy_context())
        first = _choices(strategy.propose(history, 2))
        strategy.propose(History(), 1)
        assert _choices(strategy.propose(history, 2)) == first, "the instance remembers something"
        assert _choices(make_strategy(toy_context()).propose(history, 2)) == first, "a fresh instance differs"

    def test_a_second_process_proposes_the_same(self, make_strategy: MakeStrategy) -> None:
        """In another interpreter, in which texts have other hashes."""
        command = [sys.executable, "-c", _SECOND_PROCESS, inspect.getfile(type(self)), type(self).__qualname__]
        seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
        path = os.pathsep.join([str(Path.cwd()), *filter(None, sys.path)])
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == 0, f"the second process failed:\n{run.stderr}"
        assert json.loads(run.stdout.splitlines()[-1]) == _all_choices(make_strategy)

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
        _allowed(make_strategy(context), context, history, 1)
        bare = toy_history(context, [larger])
        _allowed(make_strategy(context), context, bare, 1)

    def test_missing_metrics_are_tolerated(self, make_strategy: MakeStrategy) -> None:
        """Trials that failed, were infeasible or lack one metric; a history without any metric."""
        context = toy_context()
        history = _some_history(context, states=("failed", "infeasible", "complete", "stopped", "pending"))
        history.metrics[ACCURACY.metric][2] = math.nan
        _allowed(make_strategy(context), context, history, 1)
        bare = replace(history, metrics={}, variances={})
        _allowed(make_strategy(context), context, bare, 1)

    @pytest.mark.parametrize("value", [0.7, math.nan, math.inf, -math.inf], ids=["equal", "nan", "inf", "minus inf"])
    def test_results_that_teach_nothing_are_tolerated(self, make_strategy: MakeStrategy, value: float) -> None:
        """Every trial scored the same, or nothing that is a number."""
        context = toy_context()
        history = _some_history(context)
        flat = replace(history, metrics={name: np.full(len(history), value) for name in history.metrics})
        _allowed(make_strategy(context), context, flat, 2)
        single = {**history.metrics, ACCURACY.metric: np.where(np.arange(len(history)) == 2, value, 0.7)}
        mixed = replace(history, metrics=single)
        _allowed(make_strategy(context), context, mixed, 1)

    def test_stopped_trials_and_their_curves_are_tolerated(self, make_strategy: MakeStrategy) -> None:
        """Scores at a rung, of which some trials went no further; two latencies are no numbers."""
        context = toy_context()
        history = _some_history(context, states=("complete",) * 7 + ("stopped",))
        ends = [toy_metrics(item)[ACCURACY.metric] for item in history.architectures]
        curves = tuple((RungReport(0, 0.5, {ACCURACY.metric: 0.4 + 0.2 * end}),) for end in ends)
        history.metrics[LATENCY.metric][2:4] = math.nan, math.inf
        history = replace(history, curves=curves)
        _allowed(make_strategy(context), context, history, 2)

    def test_a_history_of_failed_trials_is_tolerated(self, make_strategy: MakeStrategy) -> None:
        """Nothing but failures: go on elsewhere."""
        context = toy_context()
        history = _some_history(context, states=("failed",) * 8)
        _allowed(make_strategy(context), context, history, 2)

    def test_known_constraints_are_honoured(self, make_strategy: MakeStrategy) -> None:
        """What is known to break a bound before training is not proposed."""
        limit = Constraint("small", PARAMETERS.metric, "<=", 1e6)
        tried = _search(make_strategy, toy_context(constraints=[limit]), 8)
        sizes = ToyKnown()(tried)[PARAMETERS.metric][0]
        assert (sizes <= limit.bound).all(), "an architecture that is known to break a constraint was proposed"

    def test_constraints_on_measured_metrics_are_tolerated(self, make_strategy: MakeStrategy) -> None:
        """Bounds on what only a trial tells, whether some, all or none of the trials satisfy them."""
        for bound in (0.0, 4.0, 1000.0):
            limits = [Constraint("fast", LATENCY.metric, "<=", bound), Constraint("good", ACCURACY.metric, ">=", 0.6)]
            context = toy_context(constraints=limits)
            history = _some_history(context)
            _allowed(make_strategy(context), context, history, 2)

    def test_conditions_and_derived_values_are_honoured(self, make_strategy: MakeStrategy) -> None:
        """Parameters that do not matter have their defaults; what is worked out from others is worked out."""
        tried = _search(make_strategy, toy_context(space=_conditional_space()), 10)
        for item in tried:
            assert item.choices["num_layers"] == 2 * float(item.choices["blocks"])
            assert item.choices["factorised"] or item.choices["embedding_size"] == 128

    def test_the_end_of_the_space_is_told(self, make_strategy: MakeStrategy) -> None:
        """The last architectures are still proposed; then `SpaceExhaustedError` is raised."""
        context = toy_context(space=_tiny_space())
        everything = list(context.space.enumerate())
        history = toy_history(context, everything[:-1])
        last = _allowed(make_strategy(context), context, history, 3)
        assert everything[-1] in [item.architecture for item in last]
        _assert_exhausted(make_strategy, context, everything)

    def test_a_space_of_one_architecture_is_searched(self, make_strategy: MakeStrategy) -> None:
        """It is proposed once, and then the space is at its end."""
        space = build_space(
            "toy", {"num_layers": [2], "hidden_size": [96], "num_heads": [2], "activation": ["gelu"]}, {}
        )
        context = toy_context(space=space)
        proposals = make_strategy(context).propose(History(), 3)
        assert _choices(proposals) == [space.enumerate()[0].canonical]
        _assert_exhausted(make_strategy, context, [proposals[0].architecture])

    def test_a_space_that_is_too_large_to_count_is_searched(self, make_strategy: MakeStrategy) -> None:
        """Seventeen parameters, of which few combinations are feasible; checked unless ``LARGE_SPACES`` is false."""
        if not self.LARGE_SPACES:
            pytest.skip("this strategy is for spaces that can be enumerated")
        extra: dict[str, Any] = {f"extra{index}": list(range(12)) for index in range(12)}
        rules = {f"rising{index}": f"extra{index} < extra{index + 1}" for index in range(3)}
        base = {"num_layers": [1, 2, 4, 8], "hidden_size": [96, 192, 384], "num_heads": [2, 4]}
        space = build_space("toy", {**base, "activation": ["gelu", "relu"], **extra}, rules)
        assert space.size is None
        _search(make_strategy, toy_context(space=space), 8)

    @pytest.mark.parametrize("count", [1, 3])
    def test_one_and_three_objectives_are_served(self, make_strategy: MakeStrategy, count: int) -> None:
        """Accuracy alone; accuracy, latency and the number of parameters, which is known before training."""
        context = toy_context(objectives=[ACCURACY, LATENCY, PARAMETERS][:count])
        history = _some_history(context)
        _allowed(make_strategy(context), context, history, 2)

    def test_the_unit_of_a_metric_changes_nothing(self, make_strategy: MakeStrategy) -> None:
        """Checked when ``UNIT_FREE`` is set: each metric, measured and known, 1024 times as large."""
        if not self.UNIT_FREE:
            pytest.skip("this strategy does not promise to be free of units")
        first = _choices(_proposed_in_units(make_strategy))
        for metric in (ACCURACY.metric, LATENCY.metric, PARAMETERS.metric):
            assert _choices(_proposed_in_units(make_strategy, {metric: 1024.0})) == first, metric


def print_proposals(suite: type[SearchStrategySuite]) -> None:
    """Print as JSON what the strategy of a suite proposes; run in a second process."""
    fixture = inspect.getattr_static(suite, "make_strategy")  # perhaps of a suite that this one inherits from
    print(json.dumps(_all_choices(getattr(fixture, "__wrapped__", fixture)(suite()))))


def _all_choices(make_strategy: MakeStrategy) -> list[str]:
    """Proposals without, and with a history."""
    context = toy_context()
    histories = (History(), _some_history(context))
    return [text for history in histories for text in _choices(make_strategy(context).propose(history, 2))]


def _search(make_strategy: MakeStrategy, context: SearchContext, trials: int) -> list[Architecture]:
    """Search the toy two trials at a time; every proposal must be allowed."""
    tried: list[Architecture] = []
    while len(tried) < trials:
        history = toy_history(context, tried, noise=0.01)
        proposals = _allowed(make_strategy(context), context, history, 2)
        tried += [item.architecture for item in proposals]
    return tried


def _proposed_in_units(make_strategy: MakeStrategy, factors: dict[str, float] | None = None) -> list[Proposal]:
    """Proposals with metrics, what is known and bounds multiplied by ``factors``."""
    factors = factors or {}
    limits = [("small", PARAMETERS.metric, 4e6), ("fast", LATENCY.metric, 6.0)]
    context = toy_context(
        constraints=[
            Constraint(label, metric, "<=", factors.get(metric, 1.0) * bound) for label, metric, bound in limits
        ],
        known=ToyKnown(factors.get(PARAMETERS.metric, 1.0)),
    )
    history = _some_history(toy_context())
    scaled = {metric: factors.get(metric, 1.0) * values for metric, values in history.metrics.items()}
    return make_strategy(context).propose(replace(history, metrics=scaled), 2)


def _tiny_space() -> SearchSpace:
    """Twelve architectures."""
    return build_space(
        "toy",
        {"num_layers": [1, 2, 4], "hidden_size": [96, 192], "num_heads": [2], "activation": ["gelu", "relu"]},
        {},
    )


def _conditional_space() -> SearchSpace:
    """The depth is derived from blocks, and the width of the embedding matters only where it is factorised."""
    space = {
        "blocks": [1, 2, 3, 4],
        "num_layers": {"type": "derived", "value": "2 * blocks"},
        "hidden_size": {"type": "integer", "low": 96, "high": 384, "step": 96},
        "num_heads": [2, 4, 6],
        "activation": {"type": "categorical", "values": ["gelu", "relu", "silu"]},
        "factorised": {"type": "categorical", "values": [False, True]},
        "embedding_size": {"values": [32, 64, 128], "when": "factorised and num_layers > 2", "default": 128},
    }
    return build_space("toy", space, {"wide": "num_layers * 48 <= hidden_size + 96"})


def _some_history(context: SearchContext, states: Sequence[str] = ("complete",) * 7 + ("pending",)) -> History:
    """A history of as many spread architectures as there are states."""
    everything = context.space.enumerate()
    step = len(everything) // len(states)
    return toy_history(context, [everything[row * step] for row in range(len(states))], states=states, noise=0.01)


def _choices(proposals: Sequence[Proposal]) -> list[str]:
    return [f"{item.architecture.canonical}{' again' if item.replicate else ''}" for item in proposals]


def _allowed(strategy: SearchStrategy, context: SearchContext, history: History, n: int) -> list[Proposal]:
    """Proposals: one to ``n``, in the space, and each new and distinct or a replicate of what was tried."""
    proposals = strategy.propose(history, n)
    assert proposals, "nothing was proposed"
    assert len(proposals) <= n, f"{len(proposals)} architectures were proposed, {n} were asked for"
    fresh = [item.architecture for item in proposals if not item.replicate]
    assert len(set(fresh)) == len(fresh), "an architecture was proposed twice at once"
    for proposal in proposals:
        assert proposal.architecture in context.space, f"{proposal.architecture} lies outside the space"
        tried = proposal.architecture in history.architectures
        assert tried == proposal.replicate, f"{proposal.architecture} is {'tried' if tried else 'new'}"
        json.dumps(proposal.note)
    return proposals


def _assert_repeatable(make_strategy: MakeStrategy, context: SearchContext, history: History) -> None:
    first, second = (_choices(make_strategy(context).propose(history, 2)) for _ in range(2))
    assert first == second, "a fresh instance differs"


def _assert_exhausted(make_strategy: MakeStrategy, context: SearchContext, tried: Sequence[Architecture]) -> None:
    """With every architecture tried, a strategy says that nothing is left."""
    with pytest.raises(SpaceExhaustedError, match=r"\w"):
        make_strategy(context).propose(toy_history(context, tried), 1)


def _torch_state() -> tuple[Any, ...]:
    """Torch's global state, where torch is loaded at all."""
    torch = sys.modules.get("torch")
    if torch is None:
        return ()
    return torch.get_rng_state().numpy().tobytes(), torch.get_default_dtype()
