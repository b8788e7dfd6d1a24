from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy

from autodistill.engine.storage import Storage

sys.path.insert(0, str(Path(__file__).parent))  # helper modules beside the tests

#: Names a PostgreSQL database in which the storage's tests may make schemas of their own.
POSTGRESQL_VARIABLE = "AUTODISTILL_TEST_POSTGRESQL"

needs_postgresql = pytest.mark.skipif(
    POSTGRESQL_VARIABLE not in os.environ, reason=f"{POSTGRESQL_VARIABLE} names no PostgreSQL database"
)


class Clock:
    """A clock that tests set."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgresql)])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty storage, of every kind that can be had here."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/studies.db"
        return
    server = sqlalchemy.make_url(os.environ[POSTGRESQL_VARIABLE]).set(drivername="postgresql+psycopg")
    schema = f"test_{uuid4().hex}"
    engine = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
        own = server.update_query_dict({"options": f"-csearch_path={schema}"})
        yield own.render_as_string(hide_password=False)
        connection.exec_driver_sql(f"DROP SCHEMA {schema} CASCADE")
    engine.dispose()


@pytest.fixture
def open_storage(storage_url: str) -> Iterator[Callable[..., Storage]]:
    """Opens the storage once more, as another process would; closed at the end of the test."""
    opened: list[Storage] = []

    def open_it(**options: object) -> Storage:
        opened.append(Storage(storage_url, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_it
    for storage in opened:
        storage.close()
