"""Tables of the storage, and the check that this version can read them.

Names begin with ``autodistill_``, so that a PostgreSQL database may be shared with other programs (Optuna, too, has
``studies`` and ``trials``). What may grow is JSON text written by `autodistill.engine.storage_json`. Reading and
writing is in `autodistill.engine.storage`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    select,
)

from autodistill.errors import StudyError

#: Version of the tables below; raised by every change that an older autodistill cannot read.
SCHEMA_VERSION = 1

metadata = MetaData()

schema = Table("autodistill_schema", metadata, Column("version", Integer, primary_key=True))

studies = Table(
    "autodistill_studies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("created", String(32), nullable=False),
    Column("identity", Text, nullable=False),
    Column("config", Text, nullable=False),
    Column("components", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("asks", Integer, nullable=False, default=0),
    Column("tells", Integer, nullable=False, default=0),
)

trials = Table(
    "autodistill_trials",
    metadata,
    Column("study_id", ForeignKey(studies.c.id), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("architecture", Text, nullable=False),
    Column("digest", String(16), nullable=False),
    Column("replicate", Integer, nullable=False),
    Column("origin", String(16), nullable=False),
    Column("label", String(255)),
    Column("in_space", Boolean, nullable=False),
    Column("state", String(16), nullable=False),
    Column("note", Text),
    Column("asked", Integer, nullable=False),
    Column("told", Integer),
    Column("seed", BigInteger, nullable=False),
    Column("error", Text),
    Column("known", Text, nullable=False),
    Column("latencies", Text, nullable=False),
    Column("began_training", Boolean, nullable=False),
    UniqueConstraint("study_id", "digest", "replicate", "origin"),
)


def _trial_key() -> tuple[Column[int], Column[int], ForeignKeyConstraint]:
    return (
        Column("study_id", Integer, nullable=False),
        Column("trial", Integer, nullable=False),
        ForeignKeyConstraint(["study_id", "trial"], [trials.c.study_id, trials.c.number]),
    )


runs = Table(
    "autodistill_runs",
    metadata,
    Column("id", Integer, primary_key=True),
    *_trial_key(),
    Column("kind", String(8), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("token", String(32), nullable=False, unique=True),
    Column("owner", String(255), nullable=False),
    Column("leased", Float, nullable=False),
    Column("seen", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("metrics", Text, nullable=False, default="{}"),
    Column("seconds", Text, nullable=False, default="{}"),
    Column("cost", Text, nullable=False, default="{}"),
    Column("initialisation", Text, nullable=False, default="{}"),
    Column("error", Text),
    Column("artifacts", Text, nullable=False, default="{}"),
    UniqueConstraint("study_id", "trial", "kind"),
)

waste = Table(
    "autodistill_waste",
    metadata,
    Column("id", Integer, primary_key=True),
    *_trial_key(),
    Column("kind", String(8), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("owner", String(255), nullable=False),
    Column("reason", String(16), nullable=False),
    Column("seconds", Float, nullable=False),
)

rungs = Table(
    "autodistill_rungs",
    metadata,
    Column("id", Integer, primary_key=True),
    *_trial_key(),
    Column("kind", String(8), nullable=False),
    Column("rung", Integer, nullable=False),
    Column("share", Float, nullable=False),
    Column("metrics", Text, nullable=False),
    UniqueConstraint("study_id", "trial", "kind", "rung"),
    Index("autodistill_rungs_of_study", "study_id", "kind", "rung"),
)

steps = Table(
    "autodistill_steps",
    metadata,
    Column("study_id", ForeignKey(studies.c.id), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("payload", Text, nullable=False),
)

seconds = Table(
    "autodistill_seconds",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", ForeignKey(studies.c.id), nullable=False, index=True),
    Column("stage", String(255), nullable=False),
    Column("seconds", Float, nullable=False),
)


def stored_version(connection: Connection) -> int | None:
    """Schema version of the database, or None when it has no tables of ours."""
    if not inspect(connection).has_table(schema.name):
        return None
    return int(connection.execute(select(schema.c.version)).scalar_one())


def create_tables(connection: Connection) -> None:
    """Create the tables and write their version, unless another process was faster."""
    if connection.dialect.name == "postgresql":
        # Two processes that start together must not both create; any constant will do, it only has to be ours.
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(2201085390)")
    if stored_version(connection) is None:
        metadata.create_all(connection)
        connection.execute(schema.insert().values(version=SCHEMA_VERSION))


def check_version(version: int, where: str) -> None:
    """Refuse a storage that a newer autodistill wrote.

    Raises:
        StudyError: the version is newer than `SCHEMA_VERSION`.
    """
    if version > SCHEMA_VERSION:
        raise StudyError(
            f"storage {where} has schema version {version}, this autodistill reads up to {SCHEMA_VERSION}: "
            "upgrade autodistill."
        )
