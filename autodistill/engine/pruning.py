"""What a pruner is shown and what it decided: from the storage to learning curves, and back to the storage.

A decision to stop is written down before the run ends, so that a process that is killed in between finds it again.
What pruning saved is worked out from the runs by `savings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from autodistill.components.pruning import Pruner, TrialCurve
from autodistill.components.training import RungReport
from autodistill.engine.records import RunRecord, TrialRecord
from autodistill.engine.storage import Storage
from autodistill.engine.trial_latency import metrics_of

#: Shares of a run that are the same rung; they come from the configuration and may have gone through JSON.
_SAME_SHARE = 1e-9

_STATES: dict[str, Literal["running", "complete", "stopped"]] = {
    "pending": "running",
    "complete": "complete",
    "stopped": "stopped",
}


def judge(pruner: Pruner, storage: Storage, study_id: int, number: int, rung: int) -> bool:
    """Whether the trial stops at the rung it has just reached; the reason is kept as the step ``stopped:NUMBER``.

    Further replicates of an architecture always go on.

    Args:
        pruner: decides.
        storage: has the rung's report already.
        study_id: key of the study.
        number: of the trial, one of the search.
        rung: index among the pruner's rungs.
    """
    step = f"stopped:{number}"
    decided = storage.step(study_id, step)
    if decided is not None:  # the process was killed in between; at an earlier rung it had been to go on
        return pruner.rungs[rung] >= float(decided["share"]) - _SAME_SHARE
    curves = read_curves(storage, study_id, pruner.rungs)
    own = next(curve for curve in curves if curve.trial == number)
    # It was asked for to learn the noise: were the unlucky ones stopped, by their own sibling too, luck would count.
    if own.replicate:
        return False
    reached = tuple(report for report in own.rungs if report.rung <= rung)  # a run that began anew left later ones
    asked = TrialCurve(own.trial, own.architecture, own.replicate, "running", own.known, reached)
    reason = pruner.stop_reason(asked, tuple(curve for curve in curves if curve.trial != number))
    if reason is not None:
        storage.set_step(study_id, step, {"rung": rung, "share": pruner.rungs[rung], "reason": reason})
    return reason is not None


def read_curves(storage: Storage, study_id: int, rungs: Sequence[float]) -> list[TrialCurve]:
    """Every trial of the search that began training, in the order of asks.

    Args:
        storage: of the study.
        study_id: its key.
        rungs: the pruner's; what was recorded elsewhere along a run, by another pruner, cannot be compared.
    """
    runs = {run.trial: run for run in storage.runs(study_id) if run.kind == "flash"}
    reports: dict[int, list[RungReport]] = {}
    for index, share in enumerate(rungs):
        for number, report in storage.rungs(study_id, "flash", index):
            if abs(report.share - share) <= _SAME_SHARE:
                reports.setdefault(number, []).append(report)
    return [
        _curve(trial, runs.get(trial.number), reports.get(trial.number, ()))
        for trial in storage.trials(study_id)
        if trial.origin == "search" and trial.began_training and trial.state in _STATES
    ]


def _curve(trial: TrialRecord, run: RunRecord | None, reports: Iterable[RungReport]) -> TrialCurve:
    complete = trial.state == "complete" and run is not None and run.state == "complete"
    return TrialCurve(
        trial=trial.number,
        architecture=trial.architecture,
        replicate=trial.replicate,
        state=_STATES[trial.state],
        known={**trial.known, **metrics_of(trial.latencies)},
        rungs=tuple(reports),
        final=_finals(run) if complete and run is not None else {},
    )


def _finals(run: RunRecord) -> dict[str, float]:
    values = {name: item["value"] for name, item in run.metrics.items()}
    return {name: float("nan") if value is None else float(value) for name, value in values.items()}


def savings(runs: Iterable[RunRecord]) -> dict[str, Any]:
    """What stopping flash runs saved.

    Every flash run of a study that is not stopped reads the same number of examples; of a stopped one, operations
    and seconds of training would have grown with its examples. The scorings at rungs are part of what was spent.

    Args:
        runs: of the study, of any kind.

    Returns:
        ``stopped`` (runs), ``examples``, ``flops`` and ``device_seconds`` that were not spent, and
        ``share_of_examples``: of what all flash runs would have taken to their ends. All but ``stopped`` are None
        while no run is complete, for then the length of one is not known.
    """
    flash = [run for run in runs if run.kind == "flash" and run.cost.get("examples")]
    stopped = [run for run in flash if run.state == "stopped"]
    whole = max((float(run.cost["examples"]) for run in flash if run.state == "complete"), default=None)
    if whole is None:
        return {"stopped": len(stopped), **dict.fromkeys(("examples", "flops", "device_seconds", "share_of_examples"))}
    left = [(run, whole / float(run.cost["examples"]) - 1.0) for run in stopped]
    saved = sum(float(run.cost["examples"]) * more for run, more in left)
    spent = sum(float(run.cost["examples"]) for run in flash)
    return {
        "stopped": len(stopped),
        "examples": saved,
        "flops": sum(float(run.cost.get("flops", 0.0)) * more for run, more in left),
        "device_seconds": sum(_training_seconds(run) * more for run, more in left),
        "share_of_examples": saved / (saved + spent),
    }


def _training_seconds(run: RunRecord) -> float:
    """Device seconds of a run's training; preparing and scoring do not grow with its examples."""
    others = sum(float(run.seconds.get(stage, 0.0)) for stage in ("prepare", "evaluate"))
    return float(run.cost.get("device_seconds", 0.0)) - others
