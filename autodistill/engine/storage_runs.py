"""Runs in the storage: leases with fencing tokens, results, and what was done twice.

Functions that work inside a transaction of `autodistill.engine.storage`, which is where to call them from. A lease
makes one process the only one to work on a run for some seconds; its holder renews it. When the lease runs out
(the process was killed, or its machine froze) the next one that asks takes the run over with a new token. The old
holder, should it wake up, can then write nothing any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Row, and_, select

from autodistill.engine.records import (
    FINAL_RUN_STATES,
    RUN_KINDS,
    RunKind,
    RunRecord,
    RunState,
    TrialState,
    WasteRecord,
)
from autodistill.engine.storage_json import dumps, loads
from autodistill.engine.storage_schema import runs, waste
from autodistill.engine.storage_trials import change_trial, clean, get_trial, lock_study

#: Columns that hold JSON.
_JSON = ("metrics", "seconds", "cost", "initialisation", "artifacts")

#: What a fresh attempt starts with.
_EMPTY: dict[str, Any] = {**dict.fromkeys(_JSON, "{}"), "error": None}


def check_kind(kind: str) -> None:
    """Raise ValueError unless ``kind`` is one of `RUN_KINDS`."""
    if kind not in RUN_KINDS:
        raise ValueError(f"The kind of a run must be one of {', '.join(RUN_KINDS)}, got {kind!r}.")


def lease(
    connection: Connection,
    study_id: int,
    number: int,
    kind: RunKind,
    owner: str,
    now: float,
    seconds: float,
    retry: bool,
) -> RunRecord | None:
    """Take a run, or None when it is held or has ended; see `Storage.lease_run`."""
    check_kind(kind)
    if not owner:
        raise ValueError("The owner of a lease must not be empty.")
    get_trial(connection, study_id, number, lock=True)
    # Locked, lest its holder renews it after we have found it expired.
    query = select(runs).where(*_of(study_id, number, kind))
    current = connection.execute(query.with_for_update()).one_or_none()
    values = {"token": uuid4().hex, "owner": owner, "leased": now, "seen": now, "expires": now + seconds}
    if current is None:
        key = {"study_id": study_id, "trial": number, "kind": kind, "attempt": 1}
        connection.execute(runs.insert().values(**key, state="leased", **values))
    elif _can_be_taken(current, now, retry):
        if current.owner:
            _record_waste(connection, current)
        change = {**_EMPTY, **values, "state": "leased", "attempt": current.attempt + 1}
        connection.execute(runs.update().where(runs.c.id == current.id).values(**change))
    else:
        return None
    return as_record(connection.execute(query).one())


def _of(study_id: int, number: int, kind: str) -> tuple[ColumnElement[bool], ...]:
    return runs.c.study_id == study_id, runs.c.trial == number, runs.c.kind == kind


def _can_be_taken(current: Row[Any], now: float, retry: bool) -> bool:
    if current.state == "leased":
        return bool(current.expires <= now)
    return retry and current.state == "failed"


def _record_waste(connection: Connection, old: Row[Any]) -> None:
    connection.execute(
        waste.insert().values(
            study_id=old.study_id,
            trial=old.trial,
            kind=old.kind,
            attempt=old.attempt,
            owner=old.owner,
            reason="expired" if old.state == "leased" else "failed",
            seconds=old.seen - old.leased,
        )
    )


def _held(run: RunRecord) -> ColumnElement[bool]:
    return and_(runs.c.token == run.token, runs.c.state == "leased")


def renew(connection: Connection, run: RunRecord, now: float, seconds: float) -> bool:
    """Prolong a lease; false when it is no longer held."""
    change = runs.update().where(_held(run)).values(seen=now, expires=now + seconds)
    return connection.execute(change).rowcount == 1


def release(connection: Connection, run: RunRecord, now: float) -> bool:
    """Give a lease back: the next one that asks gets the run at once, and nothing counts as waste."""
    change = runs.update().where(_held(run)).values(seen=now, expires=0.0, owner="", token=uuid4().hex)
    return connection.execute(change).rowcount == 1


def withdraw(connection: Connection, run: RunRecord, now: float) -> bool:
    """Give a lease back; a run that has no earlier attempt is as if it had never been leased."""
    if run.attempt > 1:
        return release(connection, run, now)
    return connection.execute(runs.delete().where(_held(run))).rowcount == 1


def finish(
    connection: Connection,
    run: RunRecord,
    state: RunState,
    trial_state: TrialState | None,
    now: float,
    result: Mapping[str, Any],
) -> bool:
    """Write a result, and the trial's state with it; false (and nothing is written) when the lease is lost."""
    if state not in FINAL_RUN_STATES:
        raise ValueError(f"A run ends in one of the states {', '.join(sorted(FINAL_RUN_STATES))}, got {state!r}.")
    study_id = connection.execute(select(runs.c.study_id).where(_held(run))).scalar_one_or_none()
    if study_id is None:
        return False
    # Everybody locks study, trial and run in this order, so two writers cannot wait for each other.
    lock_study(connection, study_id)
    get_trial(connection, study_id, run.trial, lock=True)
    values = {name: dumps(result[name] or {}) for name in _JSON}
    change = runs.update().where(_held(run)).values(state=state, seen=now, error=clean(result["error"]), **values)
    if connection.execute(change).rowcount != 1:
        return False
    if trial_state is not None:
        change_trial(connection, study_id, run.trial, trial_state, {"error": clean(result["error"])})
    return True


def read_runs(connection: Connection, study_id: int) -> list[RunRecord]:
    """Latest attempt of every run of a study, by trial and kind."""
    query = select(runs).where(runs.c.study_id == study_id).order_by(runs.c.trial, runs.c.kind)
    return [as_record(row) for row in connection.execute(query)]


def read_waste(connection: Connection, study_id: int) -> list[WasteRecord]:
    """Attempts that were superseded, in the order in which that was noticed."""
    query = select(waste).where(waste.c.study_id == study_id).order_by(waste.c.id)
    return [
        WasteRecord(row.trial, row.kind, row.attempt, row.owner, row.reason, row.seconds)
        for row in connection.execute(query)
    ]


def as_record(row: Row[Any]) -> RunRecord:
    """A row as a record."""
    return RunRecord(
        trial=row.trial,
        kind=row.kind,
        state=row.state,
        attempt=row.attempt,
        token=row.token,
        owner=row.owner,
        expires=row.expires,
        error=row.error,
        **{name: loads(getattr(row, name)) for name in _JSON},
    )
