from __future__ import annotations

import json

import pytest
from golden_cases import FOLDER, STRATEGIES, cases, proposals

from autodistill.registry import Registry


@pytest.mark.parametrize("name", STRATEGIES)
def test_proposals_are_those_of_the_golden_file(name: str) -> None:
    kept = json.loads((FOLDER / f"{name}.json").read_text())
    assert set(kept) == set(cases())
    assert all(kept.values()), "a case without a proposal proves nothing"
    assert json.loads(json.dumps(proposals(name))) == kept


def test_every_file_belongs_to_a_strategy_and_every_strategy_is_known(fresh_registry: Registry) -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(STRATEGIES)
    assert set(STRATEGIES) <= set(fresh_registry.names("search"))
