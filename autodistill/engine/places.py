"""Where a model that got the full recipe lies, and what it is called: a pick, a baseline, a repeat of one, or one that
was trained by hand.
"""

from __future__ import annotations

from pathlib import Path

from autodistill.engine.records import StudyRecord, TrialRecord
from autodistill.engine.storage import Storage


def frozen_picks(storage: Storage, study: StudyRecord) -> list[int] | None:
    """Trial numbers of the picks; None until they have been frozen."""
    step = storage.step(study.id, "picks_frozen")
    return None if step is None else [int(number) for number in step["trials"]]


def chosen_picks(storage: Storage, study: StudyRecord) -> list[int]:
    """Trial numbers of the picks that were chosen so far, in that order; frozen when the last has been trained."""
    found: list[int] = []
    while (step := storage.step(study.id, f"pick:{len(found)}")) is not None:
        found.append(int(step["trial"]))
    return found


def picks_of(storage: Storage, study: StudyRecord) -> list[int]:
    """Trial numbers of the picks, the frozen ones in their order first, then those that are being trained or failed."""
    frozen = frozen_picks(storage, study) or []
    return [*frozen, *(number for number in chosen_picks(storage, study) if number not in frozen)]


def is_pick(storage: Storage, study: StudyRecord, trial: TrialRecord) -> bool:
    """Whether a trial is a pick, frozen or about to be."""
    return trial.number in picks_of(storage, study)


def final_folder(storage: Storage, study: StudyRecord, trial: TrialRecord) -> Path:
    """Folder of a trial's trained model, relative to the study's.

    It is ``baselines/NAME``, ``picks/N``, ``repeats/N`` or ``manual/N``.
    """
    if trial.origin == "baseline":
        return Path("baselines", str(trial.label))
    if trial.origin == "repeat":
        return Path("repeats", str(trial.number))
    return Path("picks" if is_pick(storage, study, trial) else "manual", str(trial.number))


def final_name(storage: Storage, study: StudyRecord, trial: TrialRecord) -> str:
    """What people are told that a trained model is: its label, ``pick N`` or ``trial N``."""
    return trial.label or f"{'pick' if is_pick(storage, study, trial) else 'trial'} {trial.number}"


def is_compared(storage: Storage, study: StudyRecord, trial: TrialRecord) -> bool:
    """Whether a trained model may be scored on the test split: the frozen picks, and then baselines and repeats.

    A model trained by hand never is, or the choice of what to train by hand would be a choice by the test split.
    """
    frozen = frozen_picks(storage, study)
    return frozen is not None and (trial.origin in ("baseline", "repeat") or trial.number in frozen)
