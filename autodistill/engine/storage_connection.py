"""Connections of the storage: private SQLite files, PostgreSQL, transactions, and the clock of leases.

What is written is in `autodistill.engine.storage`. A `Database` may be used by several threads; a process that was
forked opens its own.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from autodistill.engine.storage_schema import check_version, create_tables, stored_version
from autodistill.errors import ConfigError, MachineError, StudyError
from autodistill.folders import private_directory
from autodistill.report.formats import without_secrets

#: How long a process waits for another one's write, in seconds; writes take milliseconds, a busy disk a few seconds.
BUSY_SECONDS = 60.0

#: Execution option that carries the statement which begins a SQLite transaction.
_BEGIN = "autodistill_begin"


class Database:
    """An opened storage with its tables.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql+psycopg://USER:PASSWORD@HOST/DATABASE``.
        clock: seconds since the epoch; None for the server's clock with PostgreSQL, this machine's with SQLite.

    Raises:
        ConfigError: a URL that is none, or of another database.
        StudyError: the file is no SQLite database, the server does not answer, or the tables are too new.
    """

    def __init__(self, url: str, clock: Callable[[], float] | None = None) -> None:
        parsed = _parse(url)
        self.where = _shown(parsed)
        self._clock = clock
        try:
            self._engine = _sqlite_engine(parsed) if parsed.get_backend_name() == "sqlite" else _server_engine(parsed)
            self._open()
        except (DatabaseError, sqlite3.Error, OSError) as error:
            reason = getattr(error, "orig", None) or error
            raise StudyError(_cannot_open(self.where, str(reason).strip())) from error

    def _open(self) -> None:
        try:
            with self._read() as connection:
                version = stored_version(connection)
            if version is None:
                with self._write() as connection:
                    create_tables(connection)
                    version = stored_version(connection)
            check_version(version or 0, self.where)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads; in SQLite all its statements see one state.

        Raises:
            MachineError: the database does not answer, or cannot be read.
            StudyError: the tables are gone.
        """
        with self._telling(), self._read() as connection:
            yield connection

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes, committed when the block ends and undone when it raises.

        In SQLite it holds the only write lock from its first moment, so what it reads stays true until it commits.

        Raises:
            MachineError: the database does not answer, or cannot be written.
            StudyError: the tables are gone.
        """
        with self._telling(), self._write() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            connection = connection.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
            with connection.begin():
                yield connection

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:  # of the statement, not the file
                raise StudyError(
                    f"storage {self.where} is not as it was when it was opened: {str(error.orig).strip()}. Was the "
                    "file replaced or removed meanwhile? Put it back, or give another storage.url."
                ) from error
            raise MachineError(
                f"storage {self.where} cannot be read or written just now: {str(error.orig).strip()}. When that is "
                "mended (a full disk, a server that is down, another program that holds the file), the same "
                "command goes on."
            ) from error

    def now(self, connection: Connection) -> float:
        """The clock by which leases expire, in seconds since the epoch."""
        if self._clock is not None:
            return self._clock()
        if connection.dialect.name == "postgresql":
            return float(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar_one())
        return time.time()

    def close(self) -> None:
        """Close every connection; may be called twice."""
        self._engine.dispose()


def missing_file(url: str) -> Path | None:
    """The SQLite file of a URL that does not exist yet; None where opening makes no file.

    Raises:
        ConfigError: no such kind of storage.
    """
    parsed = _parse(url)
    file = Path(str(parsed.database))
    return file if parsed.get_backend_name() == "sqlite" and not file.exists() else None


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        shown = re.sub("^.*@", "***@", without_secrets(url))  # what stands before the host may be a password
        raise ConfigError(f"storage.url must be a database URL, got {shown!r}: {_POSSIBLE}") from error
    backend = parsed.get_backend_name()
    if backend == "sqlite" and not parsed.database:
        raise ConfigError(f"storage.url must name a file, got {url!r}: {_POSSIBLE}")
    if backend not in ("sqlite", "postgresql"):
        raise ConfigError(f"storage.url must be of SQLite or PostgreSQL, got {backend!r}: {_POSSIBLE}")
    if backend == "sqlite":
        return parsed.set(drivername="sqlite", database=str(Path(str(parsed.database)).expanduser().absolute()))
    return parsed.set(drivername="postgresql+psycopg") if "+" not in parsed.drivername else parsed


def _shown(url: URL) -> str:
    """For messages: passwords may stand before the host or among the parameters."""
    return str(without_secrets(url.render_as_string(hide_password=True)))


_POSSIBLE = "use sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE."


def _cannot_open(where: str, reason: str) -> str:
    if "not a database" in reason:
        return f"storage {where} is not an SQLite database. Give another storage.url, or move that file away."
    return f"storage {where} cannot be opened: {reason}. Check storage.url and that it can be read and written."


def _make_private(file: Path) -> None:
    """Create an empty file that only this user can read, and the folders above it that are missing."""
    private_directory(file.parent)
    if not file.exists():
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))


def _sqlite_engine(url: URL) -> Engine:
    _make_private(Path(str(url.database)))
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # `_begin_sqlite` begins transactions, not the driver
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = FULL")  # a committed result outlives a power cut, not only a killed process
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        _set_wal(cursor)
    cursor.close()


def _set_wal(cursor: Any) -> None:
    # Changing the journal mode does not wait for locks as other statements do, so two first openers may collide.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


def _server_engine(url: URL) -> Engine:
    try:
        # A study writes every few minutes; a connection that was dropped meanwhile is noticed before it is used.
        return create_engine(url, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"storage.url {_shown(url)} needs the package {error.name!r}. Try: pip install 'psycopg[binary]'"
        ) from error
