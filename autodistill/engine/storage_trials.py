"""Studies, trials and steps in the storage: rows to records, counters, and which changes of state there are.

Functions that work inside a transaction of `autodistill.engine.storage`, which is where to call them from.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, and_, select

from autodistill.components.architecture import Architecture
from autodistill.engine.records import (
    FINAL_TRIAL_STATES,
    ORIGINS,
    STORED_TRIAL_STATES,
    StudyRecord,
    TrialRecord,
    TrialState,
)
from autodistill.engine.storage_json import loads
from autodistill.engine.storage_schema import runs, steps, studies, trials
from autodistill.errors import AskedMeanwhileError, StudyError

#: Parsed architectures that are kept: as many as a history may have trials.
parse_architecture = lru_cache(maxsize=100_000)(Architecture.from_canonical)


def clean(text: str | None) -> str | None:
    """``text`` without what a database cannot hold (NUL, lone surrogates)."""
    return None if text is None else text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def next_count(connection: Connection, study_id: int, counter: str) -> int:
    """Count ``asks`` or ``tells`` up and return the value before; locks the study until the transaction ends.

    Raises:
        StudyError: no such study.
    """
    column = studies.c[counter]
    change = studies.update().where(studies.c.id == study_id).values({counter: column + 1})
    if connection.execute(change).rowcount != 1:
        raise StudyError(_no_study(study_id))
    return int(connection.execute(select(column).where(studies.c.id == study_id)).scalar_one()) - 1


def lock_study(connection: Connection, study_id: int) -> None:
    """Let nobody else change the study until the transaction ends.

    Raises:
        StudyError: no such study.
    """
    if connection.execute(select(studies.c.id).where(studies.c.id == study_id).with_for_update()).first() is None:
        raise StudyError(_no_study(study_id))


def _no_study(study_id: int) -> str:
    return f"The storage has no study with id {study_id}."


def get_trial(connection: Connection, study_id: int, number: int, *, lock: bool = False) -> TrialRecord:
    """One trial, if asked for locked until the transaction ends.

    Raises:
        StudyError: no such trial.
    """
    query = select(trials).where(trials.c.study_id == study_id, trials.c.number == number)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise StudyError(f"The study with id {study_id} has no trial {number}.")
    return as_trial(row)


def insert_trial(
    connection: Connection,
    study_id: int,
    architecture: Architecture,
    values: Mapping[str, Any],
    after: int | None = None,
) -> TrialRecord:
    """Add a pending trial with the next number; ``values``: the columns that `Storage.add_trial` is given."""
    _check_new(values)
    number = next_count(connection, study_id, "asks")
    if after is not None and number != after:
        raise AskedMeanwhileError(f"The study with id {study_id} has {number} trials by now, not {after}.")
    existing = find_trial(connection, study_id, architecture.digest, values["replicate"], values["origin"])
    if existing is not None:
        raise StudyError(
            f"Trial {existing.number} is already replicate {existing.replicate} of {architecture} "
            f"({existing.origin}); a study has each of them once."
        )
    key = {"study_id": study_id, "number": number, "asked": number}
    named = {"architecture": architecture.canonical, "digest": architecture.digest}
    fresh = {"state": "pending", "known": "{}", "latencies": "{}", "began_training": False}
    connection.execute(trials.insert().values(**key, **named, **fresh, **values))
    return get_trial(connection, study_id, number)


def _check_new(values: Mapping[str, Any]) -> None:
    if values["origin"] not in ORIGINS:
        raise ValueError(f"The origin of a trial must be one of {', '.join(ORIGINS)}, got {values['origin']!r}.")
    if not 0 <= values["seed"] < 2**63:  # databases have signed integers of 64 bits
        raise ValueError(f"The seed of a trial must be in 0 <= seed < 2**63, got {values['seed']}.")


def find_trial(connection: Connection, study_id: int, digest: str, replicate: int, origin: str) -> TrialRecord | None:
    """The trial with this unique key, or None."""
    query = select(trials).filter_by(study_id=study_id, digest=digest, replicate=replicate, origin=origin)
    row = connection.execute(query).one_or_none()
    return None if row is None else as_trial(row)


def read_trials(connection: Connection, study_id: int, **wanted: str | None) -> list[TrialRecord]:
    """The trials of a study whose columns are as wanted (None: whatever they are), in the order of asks."""
    chosen = {name: value for name, value in wanted.items() if value is not None}
    query = select(trials).filter_by(study_id=study_id, **chosen).order_by(trials.c.asked)
    return [as_trial(row) for row in connection.execute(query)]


def read_states(connection: Connection, study_id: int, now: float) -> dict[int, str]:
    """Number -> what people are told of the state of each trial of the search, in the order of asks."""
    flash = and_(
        runs.c.study_id == trials.c.study_id,
        runs.c.trial == trials.c.number,
        runs.c.kind == "flash",
        runs.c.state == "leased",
    )
    columns = trials.c.number, trials.c.state, trials.c.began_training, runs.c.expires
    query = select(*columns).select_from(trials.outerjoin(runs, flash)).order_by(trials.c.asked)
    rows = connection.execute(query.where(trials.c.study_id == study_id, trials.c.origin == "search"))
    return {number: _shown_state(state, began, expires, now) for number, state, began, expires in rows}


def _shown_state(state: str, began_training: bool, expires: float | None, now: float) -> str:
    if state in FINAL_TRIAL_STATES:
        return state
    if expires is not None and expires > now:
        return "running"
    return "interrupted" if began_training else "pending"


def change_trial(
    connection: Connection, study_id: int, number: int, state: TrialState | None, values: Mapping[str, Any]
) -> TrialRecord:
    """Change columns (None leaves one as it is) and the state; the first final state sets ``told``.

    Raises:
        StudyError: no such trial, or a final state would change (only a failed trial may run again).
        ValueError: an unknown state.
    """
    # The study is locked before the trial, always in this order: two writers can then not wait for each other.
    lock_study(connection, study_id)
    trial = get_trial(connection, study_id, number, lock=True)
    change = {name: value for name, value in values.items() if value is not None}
    if state is not None:
        _check_change(trial, state)
        if state != trial.state:
            change = {"state": state, "error": None, **change}  # the old error belonged to the old state
        if state in FINAL_TRIAL_STATES and trial.told is None:
            change["told"] = next_count(connection, study_id, "tells")
    if change:
        key = (trials.c.study_id == study_id, trials.c.number == number)
        connection.execute(trials.update().where(*key).values(**change))
    return get_trial(connection, study_id, number)


def _check_change(trial: TrialRecord, state: TrialState) -> None:
    if state not in STORED_TRIAL_STATES:
        raise ValueError(f"The state of a trial must be one of {', '.join(STORED_TRIAL_STATES)}, got {state!r}.")
    if trial.state in FINAL_TRIAL_STATES and trial.state not in (state, "failed"):
        raise StudyError(f"Trial {trial.number} is {trial.state} already and cannot become {state}.")


def read_step(connection: Connection, study_id: int, name: str) -> str | None:
    """The JSON text of a step, or None."""
    return connection.execute(select(steps.c.payload).filter_by(study_id=study_id, name=name)).scalar_one_or_none()


def as_study(row: Row[Any]) -> StudyRecord:
    """A row as a record."""
    texts = {name: loads(getattr(row, name)) for name in ("identity", "config", "components", "environment")}
    return StudyRecord(id=row.id, name=row.name, created=row.created, **texts)


def as_trial(row: Row[Any]) -> TrialRecord:
    """A row as a record."""
    return TrialRecord(
        number=row.number,
        study_id=row.study_id,
        architecture=parse_architecture(row.architecture),
        replicate=row.replicate,
        origin=row.origin,
        label=row.label,
        in_space=row.in_space,
        state=row.state,
        note=None if row.note is None else loads(row.note),
        asked=row.asked,
        told=row.told,
        seed=row.seed,
        error=row.error,
        known=loads(row.known),
        latencies=loads(row.latencies),
        began_training=row.began_training,
    )
