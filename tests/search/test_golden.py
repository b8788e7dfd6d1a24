from __future__ import annotations

import json

import numpy as np
import pytest
from golden_cases import FOLDER, STRATEGIES, cases, make, proposals

from autodistill.components.architecture import Architecture
from autodistill.registry import Registry
from autodistill.testing.toy import ACCURACY, LATENCY, toy_context, toy_history


@pytest.mark.parametrize("name", STRATEGIES)
def test_proposals_are_those_of_the_golden_file(name: str) -> None:
    kept = json.loads((FOLDER / f"{name}.json").read_text())
    assert set(kept) == set(cases())
    assert all(kept.values()), "a case without a proposal proves nothing"
    assert json.loads(json.dumps(proposals(name))) == kept


def test_every_file_belongs_to_a_strategy_and_every_strategy_is_known(fresh_registry: Registry) -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(STRATEGIES)
    assert set(STRATEGIES) <= set(fresh_registry.names("search"))


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_baseline_outside_the_space_that_was_timed_in_between_changes_no_proposal(name: str) -> None:
    context = toy_context(measured=[LATENCY.metric])
    tried = list(dict.fromkeys(context.space.sample(40, seed=3)))[:16]
    outside = Architecture("toy", {**tried[0].choices, "hidden_size": 100})
    history = toy_history(context, [*tried, outside])
    history.metrics[ACCURACY.metric][-1] = np.nan
    assert make(name, context).propose(history, 2) == make(name, context).propose(history.take(range(16)), 2)
