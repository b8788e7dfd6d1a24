"""The comparison at equal total compute: what if the search might spend no more than trying the baselines costs?

With the same recipe for all (`autodistill.engine.verdict`), a search has also paid for its flash runs. Here both sides
get one budget, the training cost of all baselines: one side trains each of them in full and takes the strongest; the
other stops the search when what is left only just pays for the full runs that the picks were chosen from, and has only
the picks that it had proposed by then. Both rest on what was really trained; nothing is extrapolated. Where the
teacher's features were not cached it ran in the steps, which is part of their cost. Fine-tuning the teacher is part of
both and left out, and so are repeats, which tell how sure a score is and find no model.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from autodistill.engine.records import RunRecord, TrialRecord
from autodistill.engine.verdict import (
    Contender,
    Judge,
    gain,
    gain_in_words,
    strongest_in_words,
    void_in_words,
    void_reasons,
)

#: What compute is counted in: arithmetic does not depend on what else the machine did.
UNIT = "flops"


@dataclass(frozen=True)
class Spending:
    """What was spent on training, in floating-point operations.

    Args:
        flash: (trial, cost) of every flash run of the search, in the order of the trials.
        full: full runs of the picks, of those too that failed or were not kept. A model that was trained by hand is no
            part of the search.
        baselines: cost of the full runs of all baselines together.
        without_teacher: whether the teacher ran in steps of theirs and is of no known family: what it cost is missing.
    """

    flash: Sequence[tuple[int, float]] = ()
    full: float = 0.0
    baselines: float = 0.0
    without_teacher: bool = False

    def proposed_within(self, budget: float) -> list[int]:
        """Trials of the search whose flash runs, with all before them, cost no more than ``budget``."""
        found, spent = [], 0.0
        for number, cost in self.flash:
            spent += cost
            if spent > budget:
                break
            found.append(number)
        return found


def spending(runs: Iterable[RunRecord], trials: Iterable[TrialRecord], picks: Collection[int]) -> Spending:
    """The accounted cost of a study's runs, failed and stopped ones included.

    Args:
        runs: of the study.
        trials: of the study.
        picks: numbers of the trials that were chosen to be trained in full.
    """
    origins = {trial.number: trial.origin for trial in trials}
    flash: list[tuple[int, float]] = []
    full, baselines, without_teacher = 0.0, 0.0, False
    for run in sorted(runs, key=lambda item: item.trial):
        cost, origin = float(run.cost.get(UNIT, 0.0)), origins.get(run.trial)
        exploring, baseline = run.kind == "flash" and origin == "search", run.kind == "full" and origin == "baseline"
        picked = run.kind == "full" and run.trial in picks
        if exploring:
            flash.append((run.trial, cost))
        full += cost if picked else 0.0
        baselines += cost if baseline else 0.0
        if exploring or baseline or picked:
            without_teacher |= bool(run.cost.get("teacher_examples")) and not run.cost.get("teacher_flops")
    return Spending(flash, full, baselines, without_teacher)


def equal_compute(
    judge: Judge,
    picks: Sequence[tuple[int, Contender]],
    baselines: Sequence[Contender],
    spent: Spending,
    failed: Sequence[str] = (),
) -> dict[str, Any]:
    """The comparison at the budget of all baselines.

    Args:
        judge: what it is judged by.
        picks: (trial, contender), the best on the select split first.
        baselines: all that were trained.
        spent: accounted cost.
        failed: names of the baselines whose training failed; the claim names void ones as the verdict does.

    Returns:
        ``budget_flops``, ``spent_flops`` (of the whole search), ``trials`` (of the search within the
        budget), ``pick``, ``baseline``, ``gain``, ``holds`` and ``claim``.
    """
    total = sum(cost for _, cost in spent.flash) + spent.full
    result: dict[str, Any] = {"budget_flops": spent.baselines, "spent_flops": total, "trials": 0}
    nothing = {"pick": None, "baseline": None, "gain": None, "holds": None}
    reasons = void_reasons(judge, baselines, failed)
    voided, void = list(reasons), f" {void_in_words(reasons)}" if reasons else ""
    if not picks or not baselines or spent.baselines <= 0:
        claim = "At equal total compute nothing is compared: a pick or a baseline is missing."
        return {**result, **nothing, "claim": claim + void}
    trials = spent.proposed_within(spent.baselines - spent.full)
    for number, pick in picks:
        rival = judge.strongest(baselines, pick)
        if number in trials and rival is not None:
            ahead = gain(pick, rival, judge.metric, judge.role)
            holds = judge.holds(ahead)
            compared = {"pick": number, "baseline": rival.name, "gain": ahead, "holds": holds}
            rivals = f"{strongest_in_words(voided)}, {rival.name}"
            claim = (
                f"At equal total compute, what training all baselines cost, the search has {len(trials)} trials: "
                f"{pick.name} {judge.verb(holds)} {rivals} ({gain_in_words(ahead)})."
            )
            return {**result, **compared, "trials": len(trials), "claim": claim + _missing(spent)}
    claim = (
        "At equal total compute nothing can be claimed: for what training the baselines cost, the search would not "
        "have proposed and trained any of the picks, or no baseline has learnt the task."
    )
    return {**result, **nothing, "claim": claim + void + _missing(spent)}


def _missing(spent: Spending) -> str:
    """What the arithmetic does not contain, as a sentence to add."""
    if not spent.without_teacher:
        return ""
    return (
        " The teacher ran in the steps, as its features were not cached; its arithmetic is not counted, since no "
        "student family knows it."
    )
