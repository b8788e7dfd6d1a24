from __future__ import annotations

from typing import Any

import numpy as np

from autodistill.components.outcome import Score
from autodistill.engine.equal_compute import Spending, equal_compute
from autodistill.engine.verdict import NO_TEST_SPLIT, Contender, Judge, verdict
from autodistill.evaluators.scoring import proportion

METRIC = "classification.accuracy"
JUDGE = Judge(METRIC, "maximize", 0.5, None, "test")


def contender(name: str, right: int, n: int = 400) -> Contender:
    return Contender(name, {METRIC: proportion(np.arange(n) < right)}, {}, 10)


STRONG, MIDDLE, WEAK, LOST = (contender(f"model {right}", right) for right in (380, 340, 300, 200))


def test_the_search_gets_what_the_baselines_cost() -> None:
    # Six flash runs of 10 each and one full run of 40; two baselines of 40 pay for four flash runs.
    spent = Spending([(number, 10.0) for number in range(6)], 40.0, 80.0)
    assert spent.proposed_within(40.0) == [0, 1, 2, 3]
    found = equal_compute(JUDGE, [(5, STRONG), (3, MIDDLE)], [WEAK], spent)
    assert found["pick"] == 3  # the better one was proposed too late
    assert found["trials"] == 4
    assert found["budget_flops"] == 80.0
    assert found["spent_flops"] == 100.0
    assert found["holds"] is True
    assert found["gain"]["value"] == 0.1
    assert "the search has 4 trials: model 340 beats the strongest baseline, model 300 (+0.1000" in found["claim"]


def test_nothing_is_claimed_for_what_could_not_have_been_paid() -> None:
    spent = Spending([(0, 10.0)], 40.0, 40.0)
    found = equal_compute(JUDGE, [(0, STRONG)], [WEAK], spent)
    assert found["holds"] is None
    assert "nothing can be claimed" in found["claim"]
    assert equal_compute(JUDGE, [], [WEAK], spent)["holds"] is None
    assert "a pick or a baseline is missing" in equal_compute(JUDGE, [(0, STRONG)], [], spent)["claim"]


def test_a_baseline_that_has_learnt_nothing_is_no_rival() -> None:
    spent = Spending([(0, 1.0)], 1.0, 80.0)
    assert equal_compute(JUDGE, [(0, STRONG)], [LOST], spent)["holds"] is None
    found = verdict(JUDGE, [STRONG], [LOST], STRONG)
    assert found["holds"] is None
    assert found["voided"] == ["model 200"]
    assert "No baseline has learnt the task (model 200)" in found["claim"]
    found = verdict(JUDGE, [STRONG], [LOST, WEAK], STRONG)
    assert found["holds"] is True
    assert found["baseline"] == "model 300"
    assert found["voided"] == ["model 200"]
    assert "the strongest baseline but model 200 (void), model 300" in found["claim"]


def test_a_baseline_whose_training_failed_is_named_and_void() -> None:
    found = verdict(JUDGE, [STRONG], [LOST, WEAK], STRONG, ["mobilebert"])
    assert found["voided"] == ["mobilebert", "model 200"]
    assert "the strongest baseline but mobilebert, model 200 (void), model 300" in found["claim"]
    void, one_run = found["limits"]
    assert "mobilebert (its training failed), model 200 (no better than the trivial answer)" in void
    assert "trained once each" in one_run
    nothing = verdict(JUDGE, [STRONG], [], STRONG, ["mobilebert"])
    assert nothing["holds"] is None
    assert "No baseline has learnt the task (mobilebert)" in nothing["claim"]
    assert len(nothing["limits"]) == 1


def test_the_verdict_follows_the_direction_of_the_metric() -> None:
    generator = np.random.default_rng(0)

    def loss(mean: float) -> Any:
        values = mean + 0.1 * generator.normal(size=300)
        score = Score(float(values.mean()), float(values.var() / 300), values)
        return Contender(f"loss {mean}", {"mlm.loss": score}, {}, 10)

    low, high, lost = loss(1.0), loss(2.0), loss(6.0)
    judge = Judge("mlm.loss", "minimize", 5.0, None, "test")
    assert verdict(judge, [low], [high, lost], low)["holds"] is True
    assert verdict(judge, [low], [high, lost], low)["baseline"] == "loss 2.0"
    assert verdict(judge, [high], [low], low)["holds"] is False


def test_without_an_interval_nothing_holds() -> None:
    plain = [Contender(f"model {value}", {METRIC: Score(value)}, {}, 1) for value in (0.9, 0.8)]
    found = verdict(JUDGE, plain[:1], plain[1:], plain[0])
    assert found["holds"] is None
    assert "has no interval against" in found["claim"]


def test_without_a_test_split_nothing_is_claimed() -> None:
    judge = Judge(METRIC, "maximize", 0.5, None, "select")
    found = verdict(judge, [STRONG], [WEAK], STRONG)
    assert found["holds"] is None
    assert "is compared without a test split with the strongest baseline, model 300 (+0.2000" in found["claim"]
    assert found["limits"] == [NO_TEST_SPLIT]
    equal = equal_compute(judge, [(0, STRONG)], [WEAK], Spending([(0, 1.0)], 1.0, 80.0))
    assert equal["holds"] is None
    assert "is compared without a test split" in equal["claim"]
