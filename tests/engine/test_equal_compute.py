from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tiny_studies import architecture

from autodistill.components.outcome import Score
from autodistill.engine.comparison import failed_baselines
from autodistill.engine.equal_compute import Spending, equal_compute, spending
from autodistill.engine.records import Origin
from autodistill.engine.storage import Storage
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


def add(storage: Storage, study: int, width: int, origin: Origin, **ended: Any) -> int:
    """A trial whose full run has ended, or has not begun."""
    label = "small" if origin == "baseline" else None
    given: dict[str, Any] = {"replicate": 0, "label": label, "in_space": True, "note": None, "seed": 1}
    trial = storage.add_trial(study, architecture(1, width), origin=origin, **given)
    if ended:
        run = storage.lease_run(study, trial.number, "full", "me", 60.0)
        assert run is not None
        assert storage.finish_run(run, **{"cost": {"flops": 10.0}, **ended})
    return trial.number


def test_the_search_does_not_pay_for_models_that_were_trained_by_hand(open_storage: Callable[..., Storage]) -> None:
    storage = open_storage()
    study = storage.create_study("study", {}, {}, {}, {}).id
    pick, failed = (add(storage, study, 16 * i, "search", state=s) for i, s in ((1, "complete"), (2, "failed")))
    add(storage, study, 48, "search", state="complete")
    add(storage, study, 64, "manual", state="complete")
    add(storage, study, 80, "baseline", state="complete")
    spent = spending(storage.runs(study), storage.trials(study), [pick, failed])
    assert (spent.full, spent.baselines) == (20.0, 10.0)


def test_a_teacher_whose_arithmetic_is_not_known_is_told_of_where_it_ran_in_the_steps(
    open_storage: Callable[..., Storage],
) -> None:
    storage = open_storage()
    study = storage.create_study("study", {}, {}, {}, {}).id
    known = {"flops": 10.0, "teacher_examples": 64.0, "teacher_flops": 4.0}
    pick = add(storage, study, 16, "search", state="complete", cost=known)
    add(storage, study, 32, "manual", state="complete", cost={**known, "teacher_flops": 0.0})
    found = spending(storage.runs(study), storage.trials(study), [pick])
    assert (found.full, found.without_teacher) == (10.0, False)
    assert "no student family knows it" not in equal_compute(JUDGE, [(0, STRONG)], [WEAK], found)["claim"]
    add(storage, study, 48, "baseline", state="complete", cost={**known, "teacher_flops": 0.0})
    found = spending(storage.runs(study), storage.trials(study), [pick])
    assert found.without_teacher
    for spent in (found, Spending([(0, 1.0)], 1.0, 80.0, True)):  # whether something can be claimed or not
        claim = equal_compute(JUDGE, [(0, STRONG)], [WEAK], spent)["claim"]
        assert "its arithmetic is not counted, since no student family knows it." in claim


def test_a_baseline_that_was_never_trained_has_not_failed(open_storage: Callable[..., Storage]) -> None:
    storage = open_storage()
    study = storage.create_study("study", {}, {}, {}, {}).id
    waiting = add(storage, study, 16, "baseline")
    assert storage.lease_run(study, add(storage, study, 32, "baseline"), "full", "another process", 60.0)
    trials = {trial.number: trial for trial in storage.trials(study)}
    assert failed_baselines(trials, storage.runs(study)) == []
    run = storage.lease_run(study, waiting, "full", "me", 60.0)
    assert run is not None
    assert storage.finish_run(run, state="failed", error="no memory")
    assert failed_baselines(trials, storage.runs(study)) == ["small"]


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


def test_the_claim_at_equal_compute_names_void_baselines_as_the_verdict_does() -> None:
    spent = Spending([(0, 1.0)], 1.0, 80.0)
    claim = equal_compute(JUDGE, [(0, STRONG)], [LOST, WEAK], spent, ["mobilebert"])["claim"]
    named = "the strongest baseline but mobilebert, model 200 (void), model 300 (+0.2000"
    assert f"model 380 beats {named}" in claim
    assert named in verdict(JUDGE, [STRONG], [LOST, WEAK], STRONG, ["mobilebert"])["claim"]
    too_late = equal_compute(JUDGE, [(9, STRONG)], [LOST, WEAK], spent, ["mobilebert"])["claim"]
    reasons = "mobilebert (its training failed), model 200 (no better than the trivial answer)"
    assert f"has learnt the task. Void: {reasons}." in too_late
    alone = equal_compute(JUDGE, [(0, STRONG)], [], spent, ["mobilebert"])["claim"]
    assert "is missing. Void: mobilebert (its training failed)." in alone
    assert "oid" not in equal_compute(JUDGE, [(0, STRONG)], [WEAK], spent)["claim"]


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
