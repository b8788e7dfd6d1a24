from __future__ import annotations

import sqlite3
import stat
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy

from autodistill.engine import storage_connection
from autodistill.engine.storage import Storage
from autodistill.engine.storage_schema import SCHEMA_VERSION, schema
from autodistill.errors import ConfigError, MachineError, StudyError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_and_its_new_folders_are_private(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "studies.db"
    with Storage(f"sqlite:///{file}") as storage:
        storage.create_study("demo", {}, {}, {}, {})
        files = list(file.parent.iterdir())
        assert len(files) > 1  # the write-ahead log is there, too
        assert {mode(path) for path in files} == {0o600}
    assert (mode(file.parent), mode(file.parent.parent)) == (0o700, 0o700)


def test_the_mode_of_a_folder_that_was_there_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    Storage(f"sqlite:///{tmp_path}/studies.db").close()
    assert mode(tmp_path) == 0o755


def test_sqlite_is_set_up_for_several_processes(tmp_path: Path) -> None:
    with Storage(f"sqlite:///{tmp_path}/studies.db") as storage, storage._database.read() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "busy_timeout", "foreign_keys", "synchronous")
        }
    assert settings == {"journal_mode": "wal", "busy_timeout": 60_000, "foreign_keys": 1, "synchronous": 2}


def test_a_database_that_cannot_be_written_for_now_is_told_with_the_way_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_connection, "BUSY_SECONDS", 0.01)
    file = tmp_path / "studies.db"
    with Storage(f"sqlite:///{file}") as storage, sqlite3.connect(file, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(
            MachineError, match=r"studies.db cannot be .*: database is locked.*the same command goes on"
        ):
            storage.create_study("demo", {}, {}, {}, {})
        other.execute("ROLLBACK")
        assert storage.create_study("demo", {}, {}, {}, {}).name == "demo"


def test_a_file_that_was_replaced_under_a_study_is_told(tmp_path: Path) -> None:
    file = tmp_path / "studies.db"
    with Storage(f"sqlite:///{file}") as storage:
        storage._database.close()  # the pooled connection, which still has the old file
        file.unlink()
        with pytest.raises(StudyError, match=r"is not as it was .*: no such table: .*Was the file replaced or removed"):
            storage.studies()


def test_a_relative_path_is_resolved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Storage("sqlite:///studies.db") as storage:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir("elsewhere")
        storage.create_study("demo", {}, {}, {}, {})
    with Storage(f"sqlite:///{tmp_path}/studies.db") as storage:
        assert [study.name for study in storage.studies()] == ["demo"]


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("these are notes, not a database\n" * 100)
    with pytest.raises(StudyError, match=r"notes.txt is not an SQLite database\. Give another storage.url"):
        Storage(f"sqlite:///{file}")
    assert file.read_text().startswith("these are notes")


def test_a_folder_is_no_storage(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"cannot be opened: .*Check storage.url"):
        Storage(f"sqlite:///{tmp_path}")


def test_a_file_where_a_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match=r"cannot be opened: .*Not a directory"):
        Storage(f"sqlite:///{tmp_path}/file/studies.db")


def test_a_newer_schema_asks_for_an_upgrade(storage_url: str) -> None:
    Storage(storage_url).close()
    engine = sqlalchemy.create_engine(storage_url)
    with engine.begin() as connection:
        connection.execute(schema.update().values(version=SCHEMA_VERSION + 1))
    engine.dispose()
    with pytest.raises(StudyError, match="has schema version 2, this autodistill reads up to 1: upgrade autodistill"):
        Storage(storage_url)


def test_other_tables_of_the_database_are_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "shared.db"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE studies (study_name TEXT)")
        other.execute("INSERT INTO studies VALUES ('of optuna')")
    with Storage(f"sqlite:///{file}") as storage:
        assert storage.studies() == []
    with sqlite3.connect(file) as other:
        assert other.execute("SELECT * FROM studies").fetchall() == [("of optuna",)]


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("studies.db", "must be a database URL, got 'studies.db'"),
        ("sqlite://", "must name a file"),
        ("mysql://host/name", "must be of SQLite or PostgreSQL, got 'mysql'"),
    ],
)
def test_a_url_that_cannot_work_says_which_can(url: str, match: str) -> None:
    with pytest.raises(ConfigError, match=f"storage.url {match}.*use sqlite:///FILE or postgresql"):
        Storage(url)


def test_a_missing_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"\*\*\*@.* needs the package 'psycopg'.*pip install 'psycopg\[binary\]'"):
        Storage("postgresql+psycopg://me:secret@127.0.0.1/studies")


def test_a_server_that_does_not_answer_is_told_without_the_password() -> None:
    pytest.importorskip("psycopg", reason="needs the PostgreSQL driver")
    with pytest.raises(StudyError, match="cannot be opened: ") as caught:
        Storage("postgresql://me:secret@127.0.0.1:1/studies")  # nothing listens on port 1
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://127.0.0.1:1/studies?password=secret", "postgres//me:secret@host"])
def test_a_password_elsewhere_in_the_url_is_not_told_either(url: str) -> None:
    pytest.importorskip("psycopg", reason="needs the PostgreSQL driver")
    with pytest.raises((StudyError, ConfigError)) as caught:
        Storage(url)
    assert "secret" not in str(caught.value)
    assert "***" in str(caught.value)


def test_closing_twice_is_fine(tmp_path: Path) -> None:
    storage = Storage(f"sqlite:///{tmp_path}/studies.db")
    storage.close()
    storage.close()


def test_opening_waits_while_another_process_sets_the_file_up(tmp_path: Path) -> None:
    file = tmp_path / "studies.db"
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    other.execute("CREATE TABLE theirs (number INTEGER)")
    release = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    release.start()
    with Storage(f"sqlite:///{file}") as storage:
        assert storage.studies() == []
    release.join()
    other.close()


def test_opening_and_reading_wait_for_no_writer(tmp_path: Path) -> None:
    file = tmp_path / "studies.db"
    with Storage(f"sqlite:///{file}") as storage:
        storage.create_study("demo", {}, {}, {}, {})
        writer = sqlite3.connect(file, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        with Storage(f"sqlite:///{file}") as reader:
            assert reader.get_study("demo").name == "demo"
        writer.execute("ROLLBACK")
        writer.close()
