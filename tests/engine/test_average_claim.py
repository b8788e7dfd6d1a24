"""What is claimed on GLUE's average; how it is said is tested in `tests.report.test_tasks`."""

from __future__ import annotations

from typing import Any

import pytest

from autodistill.engine.average_claim import average_claim
from autodistill.engine.verdict import void_in_words

LEARNT, UNLEARNT = {"check": {"alarm": None}}, {"check": {"alarm": "no better"}}


def model(name: str, role: str, rte: dict[str, Any], value: float, **more: Any) -> dict[str, Any]:
    average = {"value": value, "low": value - 0.02, "high": value + 0.02, "tasks": ["rte"], "missing": []}
    return {"name": name, "role": role, "tasks": {"rte": rte}, "averages": {"paper": average}, **more}


def claimed(gain: float, low: float | None, *, split: str = "test", small: Any = LEARNT, ours: Any = LEARNT) -> Any:
    versus = {"small": {"averages": {"paper": {"value": gain, "low": low, "high": None if low is None else 0.2}}}}
    models = [model("small", "baseline", small, 0.6), model("pick 3", "pick", ours, 0.6 + gain, versus=versus)]
    return average_claim({"rte": {"benchmark": "glue/rte", "split": split}}, models, ["lost"])


@pytest.mark.parametrize(("low", "holds"), [(0.01, True), (-0.01, False), (None, None)])
def test_a_gain_holds_where_its_lower_bound_is_above_zero(low: float | None, holds: bool | None) -> None:
    found = claimed(0.1, low)
    assert (found["pick"], found["baseline"], found["holds"], found["unclaimed"]) == ("pick 3", "small", holds, None)
    assert (found["gain"]["value"], found["gain"]["low"]) == (0.1, low)


def test_void_baselines_are_named_as_they_are_beside_the_verdict() -> None:
    found = claimed(0.1, 0.05, small=UNLEARNT)
    assert found["voided"] == ["small", "lost"]
    reasons = {"small": "no better than the trivial answer on rte", "lost": "its training failed"}
    assert found["limits"] == [void_in_words(reasons)]
    assert (found["baseline"], found["gain"], found["holds"]) == (None, None, None)
    assert found["unclaimed"] == "no baseline has learnt all of its tasks"


def test_what_the_pick_has_not_learnt_is_told_and_counts() -> None:
    found = claimed(0.1, 0.05, ours=UNLEARNT)
    assert found["holds"] is True
    assert (
        found["limits"][-1] == "pick 3 itself is no better than the trivial answer on rte, which count in its average."
    )


def test_nothing_is_claimed_without_a_test_split_or_of_nothing() -> None:
    assert claimed(0.1, 0.05, split="select")["unclaimed"] == "rte without a test split"
    assert claimed(0.1, 0.05, split="select")["holds"] is None
    tasks = {"rte": {"benchmark": "glue/rte", "split": "test"}}
    assert average_claim(tasks, [model("small", "baseline", LEARNT, 0.6)]) is None
    assert average_claim(tasks, [model("pick 3", "pick", LEARNT, 0.6)]) is None
    assert average_claim({"mine": {"benchmark": "", "split": "test"}}, []) is None
