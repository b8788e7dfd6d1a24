"""Repeats: further full runs of picks and baselines from other seeds, which say what another training run changes.

A repeat is a trial of its own, with a full run only: the architecture of a pick or a baseline, another replicate of it.
Picks are chosen, exported and timed by their first run; the comparison is of the means over all runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count, islice
from typing import TYPE_CHECKING

from autodistill.engine.explore import add_beside_search
from autodistill.engine.places import final_name
from autodistill.engine.records import TrialRecord

if TYPE_CHECKING:
    from autodistill.engine.session import Session


def add_repeats(session: Session, trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The repeats of some picks and baselines, as many as ``picks.seeds`` asks for; added when they are new."""
    found: dict[int, TrialRecord] = {}
    for trial in trials:
        for position, replicate in enumerate(_other_replicates(trial, session.settings.picks_seeds), start=2):
            repeat = _repeat(session, trial, replicate, position)
            found[repeat.number] = repeat  # a pick and a baseline of one architecture share theirs
    return list(found.values())


def repeats_of(trial: TrialRecord, trials: Iterable[TrialRecord], seeds: int) -> list[TrialRecord]:
    """The repeats of a pick or baseline among the trials of its study.

    Args:
        trial: the pick or baseline.
        trials: of the study.
        seeds: runs of it that count, its own among them.
    """
    replicates = _other_replicates(trial, seeds)
    return [
        other
        for other in trials
        if other.origin == "repeat" and other.architecture == trial.architecture and other.replicate in replicates
    ]


def _other_replicates(trial: TrialRecord, seeds: int) -> Sequence[int]:
    """Replicates of the architecture beside the trial's own: the first ones."""
    return list(islice((number for number in count() if number != trial.replicate), seeds - 1))


def _repeat(session: Session, trial: TrialRecord, replicate: int, position: int) -> TrialRecord:
    """The repeat that is a trial's run at a position among all of its runs, of which its own is the first."""
    storage, study = session.storage, session.study
    known = storage.find_trial(study.id, trial.architecture, replicate=replicate, origin="repeat")
    if known is not None:
        return known
    label = f"{final_name(storage, study, trial)}, run {position}"
    return add_beside_search(session, trial.architecture, "repeat", label=label, replicate=replicate)
