"""The storage: studies, trials, runs and steps in SQLite or PostgreSQL.

Every method is one transaction: what it returns from is committed, and a process killed at any moment loses nothing
that was acknowledged. Several processes and threads may use one storage. Records are in
`autodistill.engine.records`, tables in `storage_schema`, leases in `storage_runs`, the history in `storage_history`.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from autodistill.components.architecture import Architecture
from autodistill.components.search import History
from autodistill.components.training import RungReport
from autodistill.engine import storage_runs
from autodistill.engine.records import (
    Origin,
    RunKind,
    RunRecord,
    RunState,
    StudyRecord,
    TrialRecord,
    TrialState,
    WasteRecord,
)
from autodistill.engine.storage_connection import Database
from autodistill.engine.storage_history import read_history
from autodistill.engine.storage_json import dumps, loads
from autodistill.engine.storage_schema import rungs, steps, studies
from autodistill.engine.storage_schema import seconds as seconds_table
from autodistill.engine.storage_trials import (
    as_study,
    change_trial,
    clean,
    find_trial,
    get_trial,
    insert_trial,
    lock_study,
    read_states,
    read_step,
    read_trials,
)
from autodistill.errors import StudyError, StudyExistsError, did_you_mean

JsonObject = Mapping[str, Any]

#: How many names of studies a message lists; a longer list helps nobody.
_LISTED = 20


class Storage:
    """Everything that is remembered.

    Args:
        url: ``sqlite:///FILE`` (made readable by this user alone, in folders made so too) or
            ``postgresql+psycopg://USER:PASSWORD@HOST/DATABASE``.
        clock: seconds since the epoch, by which leases expire; None for the server's clock with PostgreSQL and this
            machine's with SQLite.

    Raises:
        ConfigError: the URL is none, of another database, or needs a driver that is not installed.
        StudyError: it cannot be opened, or a newer autodistill wrote it.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] | None = None) -> None:
        self._database = Database(url, clock)
        self._lock = threading.Lock()
        self._added: defaultdict[tuple[int, str], float] = defaultdict(float)

    @property
    def where(self) -> str:
        """The URL without its password, for messages."""
        return self._database.where

    def now(self) -> float:
        """The clock by which leases expire, in seconds since the epoch."""
        with self._database.read() as connection:
            return self._database.now(connection)

    def close(self) -> None:
        """Close every connection; may be called twice."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Studies

    def create_study(
        self,
        name: str,
        identity: JsonObject,
        config: JsonObject,
        components: JsonObject,
        environment: JsonObject,
    ) -> StudyRecord:
        """Create a study.

        Raises:
            StudyExistsError: there is one of this name.
        """
        texts = {"identity": identity, "config": config, "components": components, "environment": environment}
        values = {key: dumps(value) for key, value in texts.items()}
        created = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            with self._database.write() as connection:
                connection.execute(studies.insert().values(name=name, created=created, **values))
        except IntegrityError as error:
            raise StudyExistsError(
                f"The study {name!r} exists already in storage {self.where}. "
                "Choose another study.name, or go on with that study."
            ) from error
        return self.get_study(name)

    def get_study(self, name: str) -> StudyRecord:
        """Look a study up.

        Raises:
            StudyError: there is none; lists those that exist.
        """
        found = self.find_study(name)
        if found is None:
            raise StudyError(self._no_study(name))
        return found

    def _no_study(self, name: str) -> str:
        with self._database.read() as connection:
            names = list(connection.execute(select(studies.c.name).order_by(studies.c.id)).scalars())
        listed = ", ".join(names[-_LISTED:]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
        hint = f"{did_you_mean(name, names)} Studies there: {listed}." if names else " It has no studies yet."
        return f"There is no study {name!r} in storage {self.where}.{hint}"

    def find_study(self, name: str) -> StudyRecord | None:
        """Look a study up; None when there is none."""
        with self._database.read() as connection:
            row = connection.execute(select(studies).where(studies.c.name == name)).one_or_none()
        return None if row is None else as_study(row)

    def studies(self) -> list[StudyRecord]:
        """Every study, in the order of creation."""
        with self._database.read() as connection:
            return [as_study(row) for row in connection.execute(select(studies).order_by(studies.c.id))]

    def update_study(
        self,
        study_id: int,
        *,
        config: JsonObject | None = None,
        components: JsonObject | None = None,
        environment: JsonObject | None = None,
    ) -> None:
        """Replace what may change when a study goes on; None leaves a part as it is."""
        texts = {"config": config, "components": components, "environment": environment}
        values = {key: dumps(value) for key, value in texts.items() if value is not None}
        with self._database.write() as connection:
            lock_study(connection, study_id)
            if values:
                connection.execute(studies.update().where(studies.c.id == study_id).values(**values))

    # Trials

    def add_trial(
        self,
        study_id: int,
        architecture: Architecture,
        *,
        replicate: int,
        origin: Origin,
        label: str | None,
        in_space: bool,
        note: JsonObject | None,
        seed: int,
        after: int | None = None,
    ) -> TrialRecord:
        """Ask: add a pending trial with the next number.

        With ``after`` it is added only while the study has just so many trials: those that it was proposed from.

        Raises:
            AskedMeanwhileError: the study has more trials than ``after``.
            StudyError: the study has a trial of this (architecture, replicate, origin); names it.
            ValueError: an unknown origin, or a seed outside 0 <= seed < 2**63.
        """
        values = {
            "replicate": replicate,
            "origin": origin,
            "label": label,
            "in_space": in_space,
            "note": None if note is None else dumps(note),
            "seed": seed,
        }
        with self._database.write() as connection:
            return insert_trial(connection, study_id, architecture, values, after)

    def find_trial(
        self, study_id: int, architecture: Architecture, *, replicate: int = 0, origin: Origin = "search"
    ) -> TrialRecord | None:
        """The trial of this (architecture, replicate, origin), or None."""
        with self._database.read() as connection:
            return find_trial(connection, study_id, architecture.digest, replicate, origin)

    def update_trial(
        self,
        study_id: int,
        number: int,
        *,
        state: TrialState | None = None,
        known: Mapping[str, float] | None = None,
        latencies: Mapping[str, JsonObject] | None = None,
        error: str | None = None,
        began_training: bool | None = None,
    ) -> TrialRecord:
        """Change what is given (a mapping replaces the stored one); the first final state sets ``told``.

        A change of state takes an earlier error away, unless a new one is given.

        Raises:
            StudyError: no such trial, or its final state would change (only a failed trial may run again).
        """
        values: dict[str, Any] = {
            "known": None if known is None else dumps(known),
            "latencies": None if latencies is None else dumps(latencies),
            "error": clean(error),
            "began_training": began_training,
        }
        with self._database.write() as connection:
            return change_trial(connection, study_id, number, state, values)

    def trials(
        self, study_id: int, *, architecture: Architecture | None = None, state: TrialState | None = None
    ) -> list[TrialRecord]:
        """The trials of a study, in the order of asks.

        Args:
            study_id: key of the study.
            architecture: only those of this one.
            state: only those in this state.
        """
        digest = None if architecture is None else architecture.digest
        with self._database.read() as connection:
            return read_trials(connection, study_id, digest=digest, state=state)

    def trial(self, study_id: int, number: int) -> TrialRecord:
        """One trial.

        Raises:
            StudyError: no such trial.
        """
        with self._database.read() as connection:
            return get_trial(connection, study_id, number)

    def trial_states(self, study_id: int) -> dict[int, str]:
        """Number -> what people are told of the state of each trial of the search, one of `SHOWN_TRIAL_STATES`."""
        with self._database.read() as connection:
            return read_states(connection, study_id, self._database.now(connection))

    def history(self, study_id: int) -> History:
        """What search strategies read: every trial, whatever its origin; see `storage_history`."""
        with self._database.read() as connection:
            return read_history(connection, study_id)

    def seen(self, study_id: int) -> tuple[list[TrialRecord], History]:
        """Every trial, and what search strategies read of just these, row for row."""
        with self._database.read() as connection:
            trials = read_trials(connection, study_id)
            history = read_history(connection, study_id)
        # Trials are only ever added, so that the first rows of what is read later are those of the trials.
        return trials, history if len(history) == len(trials) else history.take(range(len(trials)))

    # Runs

    def lease_run(
        self, study_id: int, number: int, kind: RunKind, owner: str, seconds: float, *, retry_failed: bool = False
    ) -> RunRecord | None:
        """Become the only one to work on a run for ``seconds``.

        A lease that has expired is taken over: new token, attempt + 1, the old attempt recorded as waste. A failed
        run is tried again only with ``retry_failed``.

        Returns:
            The run, or None when an unexpired lease is held (by whomever) or the run has ended.

        Raises:
            StudyError: no such trial.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            return storage_runs.lease(connection, study_id, number, kind, owner, now, seconds, retry_failed)

    def renew(self, run: RunRecord, seconds: float) -> bool:
        """Prolong a lease to ``seconds`` from now; false when somebody took the run over: stop working on it."""
        with self._database.write() as connection:
            return storage_runs.renew(connection, run, self._database.now(connection), seconds)

    def release_run(self, run: RunRecord) -> bool:
        """Give a lease back, so that the run can go on at once; false when it is no longer held."""
        with self._database.write() as connection:
            return storage_runs.release(connection, run, self._database.now(connection))

    def withdraw_run(self, run: RunRecord) -> bool:
        """Give a lease back under which nothing of the run was done, as if it had never been taken."""
        with self._database.write() as connection:
            return storage_runs.withdraw(connection, run, self._database.now(connection))

    def finish_run(
        self,
        run: RunRecord,
        *,
        state: RunState,
        metrics: Mapping[str, JsonObject] | None = None,
        seconds: Mapping[str, float] | None = None,
        cost: Mapping[str, float] | None = None,
        initialisation: JsonObject | None = None,
        artifacts: JsonObject | None = None,
        error: str | None = None,
        trial_state: TrialState | None = None,
    ) -> bool:
        """Write a run's result.

        Args:
            run: what `lease_run` returned.
            state: complete, stopped or failed.
            metrics: as in `RunRecord`; likewise the rest.
            seconds: stage -> seconds.
            cost: examples, flops, device_seconds and so on.
            initialisation: how the weights started.
            artifacts: name -> path.
            error: one paragraph when failed.
            trial_state: the trial's state, changed in the same transaction (with ``error``); None leaves it.

        Returns:
            False, and nothing is written, when the lease is no longer held.
        """
        result = {
            "metrics": metrics,
            "seconds": seconds,
            "cost": cost,
            "initialisation": initialisation,
            "artifacts": artifacts,
            "error": error,
        }
        with self._database.write() as connection:
            now = self._database.now(connection)
            return storage_runs.finish(connection, run, state, trial_state, now, result)

    def runs(self, study_id: int) -> list[RunRecord]:
        """Latest attempt of every run, by trial and kind."""
        with self._database.read() as connection:
            return storage_runs.read_runs(connection, study_id)

    def waste(self, study_id: int) -> list[WasteRecord]:
        """Attempts that were taken over or tried again."""
        with self._database.read() as connection:
            return storage_runs.read_waste(connection, study_id)

    # Rungs, steps and seconds

    def report_rung(
        self, study_id: int, number: int, kind: RunKind, rung: int, share: float, metrics: Mapping[str, float]
    ) -> None:
        """Write the score at a rung; a run that goes on from before it writes the same again."""
        storage_runs.check_kind(kind)
        key = {"study_id": study_id, "trial": number, "kind": kind, "rung": rung}
        with self._database.write() as connection:
            get_trial(connection, study_id, number, lock=True)
            connection.execute(rungs.delete().filter_by(**key))
            connection.execute(rungs.insert().values(**key, share=share, metrics=dumps(metrics)))

    def rungs(self, study_id: int, kind: RunKind, rung: int) -> list[tuple[int, RungReport]]:
        """(trial, report) of every trial that reached the rung, by trial."""
        query = select(rungs).filter_by(study_id=study_id, kind=kind, rung=rung).order_by(rungs.c.trial)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [(row.trial, RungReport(row.rung, row.share, loads(row.metrics))) for row in rows]

    def set_step(self, study_id: int, name: str, payload: Any) -> Any:
        """Write a step's outcome unless it is there, and return the one that is stored: the first write wins."""
        with self._database.write() as connection:
            lock_study(connection, study_id)
            stored = read_step(connection, study_id, name)
            if stored is None:
                stored = dumps(payload)
                connection.execute(steps.insert().values(study_id=study_id, name=name, payload=stored))
        return loads(stored)

    def step(self, study_id: int, name: str) -> Any | None:
        """A step's outcome, or None when it is not done."""
        with self._database.read() as connection:
            stored = read_step(connection, study_id, name)
        return None if stored is None else loads(stored)

    def steps(self, study_id: int, prefix: str) -> dict[str, Any]:
        """Name -> outcome of every step that is done and whose name begins with ``prefix``."""
        query = select(steps.c.name, steps.c.payload).filter_by(study_id=study_id)
        with self._database.read() as connection:
            found = connection.execute(query.where(steps.c.name.startswith(prefix, autoescape=True)))
            return {name: loads(payload) for name, payload in found}

    def replace_step(self, study_id: int, name: str, payload: Any) -> None:
        """Write a step's outcome over what is there."""
        with self._database.write() as connection:
            lock_study(connection, study_id)
            connection.execute(steps.delete().filter_by(study_id=study_id, name=name))
            connection.execute(steps.insert().values(study_id=study_id, name=name, payload=dumps(payload)))

    def drop_step(self, study_id: int, name: str) -> None:
        """Forget a step's outcome: it is as if it had not been done."""
        with self._database.write() as connection:
            lock_study(connection, study_id)
            connection.execute(steps.delete().filter_by(study_id=study_id, name=name))

    def add_seconds(self, study_id: int, stage: str, seconds: float) -> None:
        """Add wall-clock seconds to a stage."""
        with self._database.write() as connection:
            connection.execute(seconds_table.insert().values(study_id=study_id, stage=stage, seconds=seconds))
        with self._lock:
            self._added[study_id, stage] += seconds

    def added_here(self, study_id: int, stages: Iterable[str]) -> float:
        """Sum of the seconds that were added to some stages by way of this object, and so by this process."""
        with self._lock:
            return sum(self._added[study_id, stage] for stage in stages)

    def seconds(self, study_id: int) -> dict[str, float]:
        """Stage -> sum of its wall-clock seconds."""
        total = func.sum(seconds_table.c.seconds)
        query = select(seconds_table.c.stage, total).filter_by(study_id=study_id).group_by(seconds_table.c.stage)
        with self._database.read() as connection:
            return {stage: float(value) for stage, value in connection.execute(query.order_by("stage"))}
