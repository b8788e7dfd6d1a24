"""What is claimed on GLUE's average, after teacher, baselines and picks of a task-agnostic study were fine-tuned.

As in `autodistill.engine.verdict`, "better" is a gain on test splits whose lower bound is above zero, and a baseline
that failed, or has not learnt what it was to learn, is void. Pure functions of the stored step ``tasks``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autodistill.engine.verdict import TEST, TRAINING_FAILED, UNLEARNT, surely_ahead, void_in_words
from autodistill.evaluators.glue_tasks import task_of


def average_claim(
    tasks: Mapping[str, Mapping[str, Any]], models: Sequence[Mapping[str, Any]], untrained: Iterable[str] = ()
) -> dict[str, Any] | None:
    """The first pick's gain on the GLUE average of papers over the baseline that is best there.

    A baseline that failed on a task of the average, or has not learnt one, is void. Void baselines alone are no rivals.
    One that is the best all the same stays the rival, or the claim would be against a weaker one.

    Args:
        tasks: label -> facts, as in the stored step.
        models: as there.
        untrained: names of the baselines that there is nothing to fine-tune of.

    Returns:
        ``pick``, ``baseline`` (the rival), ``voided`` (names) and ``limits`` as in the verdict, ``gain``, ``holds``,
        and ``unclaimed``: why nothing is claimed, with None for rival, gain and ``holds``. None without a pick,
        baselines, or an average.
    """
    baselines = [model for model in models if model["role"] == "baseline"]
    pick = next((model for model in models if model["role"] == "pick"), None)
    labels = _averaged_labels(tasks, models)
    lost = dict.fromkeys(untrained, TRAINING_FAILED)
    if pick is None or not (baselines or lost) or not labels:
        return None
    reasons = {str(model["name"]): _void_reason(model, labels) for model in baselines} | lost
    void = {name: reason for name, reason in reasons.items() if reason}
    found = {
        "pick": pick["name"],
        "baseline": None,
        "voided": list(void),
        "limits": [*([void_in_words(void)] if void else []), *_unlearnt_by_pick(pick, labels)],
        "gain": None,
        "holds": None,
        "unclaimed": None,
    }
    untested = ", ".join(label for label in labels if tasks[label]["split"] != TEST)
    if not _average_of(pick):
        return {**found, "unclaimed": f"{pick['name']} ({_void_reason(pick, labels)})"}
    if untested:
        return {**found, "unclaimed": f"{untested} without a test split"}
    if all(reasons[str(model["name"])] for model in baselines):
        return {**found, "unclaimed": "no baseline has learnt all of its tasks"}
    averaged = [model for model in baselines if _average_of(model)]
    best = max(averaged, key=lambda model: float(_average_of(model)["value"]))["name"]
    gain = _average_of(pick["versus"][best])
    return {**found, "baseline": best, "gain": gain, "holds": surely_ahead(gain)}


def _average_of(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """The average over GLUE as papers have it, of a model or of a gain; empty without one."""
    average: Mapping[str, Any] = model["averages"].get("paper", {})
    return average


def _averaged_labels(tasks: Mapping[str, Mapping[str, Any]], models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Labels of the tasks that the GLUE average covers; none where no model has one."""
    covered = next((average["tasks"] for model in models if (average := _average_of(model))), ())
    return [label for label, facts in tasks.items() if task_of(str(facts["benchmark"])) in covered]


def _void_reason(model: Mapping[str, Any], labels: Sequence[str]) -> str:
    """Why comparisons on the average with a model mean nothing; empty where they do not."""
    failed = ", ".join(label for label in labels if "error" in model["tasks"][label])
    if failed:
        return f"fine-tuning failed on {failed}"
    if unlearnt := _unlearnt(model, labels):
        return f"{UNLEARNT} on {unlearnt}"
    return "" if _average_of(model) else "it has no average"


def _unlearnt(model: Mapping[str, Any], labels: Sequence[str]) -> str:
    """Tasks that a model was fine-tuned on and has not surely learnt, with commas; empty without any."""
    outcomes = {label: model["tasks"][label] for label in labels}
    return ", ".join(label for label, one in outcomes.items() if "error" not in one and one["check"]["alarm"])


def _unlearnt_by_pick(pick: Mapping[str, Any], labels: Sequence[str]) -> list[str]:
    """That a part of the pick's own average is chance, as a sentence; it is counted all the same."""
    unlearnt = _unlearnt(pick, labels)
    return [f"{pick['name']} itself is {UNLEARNT} on {unlearnt}, which count in its average."] if unlearnt else []
