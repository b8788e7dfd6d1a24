"""What every strategy proposes for fixed histories; `test_golden` compares it with ``golden/NAME.json``, to the letter.

A change of these files is a change of what studies do. Regenerate them on purpose only, and say why in the changelog:

    python tests/search/golden_cases.py                 # all strategies
    python tests/search/golden_cases.py evolution grid  # some
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from autodistill.components.search import (
    Constraint,
    EarlierStudy,
    History,
    SearchContext,
    SearchSpace,
    SearchStrategy,
)
from autodistill.engine.space import build_space
from autodistill.plugin_manager import PluginManager
from autodistill.registry import Registry
from autodistill.testing.toy import ACCURACY, LATENCY, PARAMETERS, ToyKnown, toy_context, toy_history

FOLDER = Path(__file__).parent / "golden"

#: Strategies whose proposals are kept.
STRATEGIES = ("botorch", "evolution", "grid", "nevergrad", "random", "sobol")

STATES = ("complete", "complete", "stopped", "failed", "complete", "infeasible", "complete", "complete", "pending")


def make(name: str, context: SearchContext) -> SearchStrategy:
    """The built-in strategy ``name`` with its default parameters."""
    manager = PluginManager()
    manager.load_builtins()
    registry = Registry(manager)
    parameters = vars(registry.get("search", name).spec.config())
    strategy: SearchStrategy = registry.create("search", name, parameters, context)
    return strategy


def conditional_space() -> SearchSpace:
    """A depth that is derived, a width of the embedding that matters only where it is factorised."""
    space = {
        "blocks": [1, 2, 3, 4],
        "num_layers": {"type": "derived", "value": "2 * blocks"},
        "hidden_size": {"type": "integer", "low": 96, "high": 384, "step": 48},
        "num_heads": [2, 4, 6],
        "activation": {"type": "categorical", "values": ["gelu", "relu", "silu"]},
        "factorised": {"type": "categorical", "values": [False, True]},
        "embedding_size": {"values": [32, 64, 128], "when": "factorised", "default": 128},
    }
    return build_space("toy", space, {"heads_divide_width": "hidden_size % num_heads == 0"})


def large_space() -> SearchSpace:
    """Too many architectures to enumerate."""
    extra: dict[str, Any] = {f"extra{index}": list(range(9)) for index in range(6)}
    base = {"num_layers": [1, 2, 4, 8], "hidden_size": [96, 192, 384], "num_heads": [2, 4]}
    return build_space("toy", {**base, "activation": ["gelu", "relu"], **extra}, {"rising": "extra0 < extra1"})


def cases() -> dict[str, tuple[SearchContext, History, int]]:
    """Case -> context, history and number of proposals."""
    plain = toy_context()
    limits = [Constraint("small", PARAMETERS.metric, "<=", 4e6), Constraint("fast", LATENCY.metric, "<=", 5.0)]
    conditional = toy_context(space=conditional_space(), constraints=limits, seed=1)
    large = toy_context(space=large_space(), seed=2)
    mixed = toy_context(seed=2)
    alone = toy_context(objectives=[ACCURACY], seed=3)
    repeated = [*alone.space.sample(12, seed=5)]
    # Of each case the best candidates are far enough apart that another processor's rounding changes none of them.
    known = toy_context(known=ToyKnown(latency=True), seed=5)
    measured = toy_context(measured=[LATENCY.metric], constraints=limits[1:], seed=4)
    before = EarlierStudy("before", plain.space, toy_history(plain, plain.space.sample(40, seed=9), noise=0.01))
    warm = replace(known, seed=4, earlier=(before,))
    return {
        "nothing yet": (plain, History(), 3),
        "mixed states": (mixed, _history(mixed, 18), 2),
        "conditions, derived values and constraints": (conditional, _history(conditional, 24), 2),
        "too large to enumerate": (large, _history(large, 18), 2),
        "known latency": (known, _history(known, 18), 2),
        "measured latency": (measured, _history(measured, 18), 2),
        "known latency, with an earlier study": (warm, _history(known, 18), 2),
        "one objective, with replicates": (alone, toy_history(alone, [*repeated, *repeated[:3]], noise=0.02), 1),
    }


def _history(context: SearchContext, trials: int) -> History:
    tried = list(dict.fromkeys(context.space.sample(2 * trials, seed=7)))[:trials]
    states = [STATES[index % len(STATES)] for index in range(trials)]
    return toy_history(context, tried, states=states, noise=0.01, variances=True)


def proposals(name: str) -> dict[str, list[Mapping[str, Any]]]:
    """Case -> what the strategy proposes, as it stands in the file."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for case, (context, history, n) in cases().items():
        proposed = make(name, context).propose(history, n)
        found[case] = [
            {
                "choices": dict(item.architecture.choices),
                "replicate": item.replicate,
                "note": dict(item.note) if item.note else None,
            }
            for item in proposed
        ]
    return found


def main(names: list[str]) -> None:
    """Write the files of ``names``."""
    FOLDER.mkdir(exist_ok=True)
    for name in names or STRATEGIES:
        path = FOLDER / f"{name}.json"
        path.write_text(json.dumps(proposals(name), indent=1) + "\n")
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
