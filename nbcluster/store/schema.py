"""The schema: create it, check its version, print its DDL."""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, delete, insert, inspect, select
from sqlalchemy.dialects import registry
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable

from nbcluster.errors import SchemaError, SchemaMissing, SchemaTooNew, SchemaTooOld
from nbcluster.store.dialects.sqlite import SQLite
from nbcluster.store.engine import Database
from nbcluster.store.tables import DROP_SEQUENCE, POSTGRESQL_EXTRAS, SCHEMA_VERSION, cluster, metadata, sequences
from nbcluster.store.upgrade import SCHEMA_LOCK


def exists(database: Database) -> bool:
    """Whether the database has our tables."""
    file = database.dialect.file
    if file is not None and not file.exists():
        return False  # only to look would make an empty one
    return database.read(lambda connection: inspect(connection).has_table(cluster.name))


def create(database: Database) -> bool:
    """Make the tables if they are missing; False when they were there.  Safe to run twice at once."""
    if isinstance(database.dialect, SQLite):
        database.dialect.make_file()
    if exists(database):
        return False

    def work(connection: Connection) -> bool:
        if database.dialect.name == "postgresql":
            connection.exec_driver_sql(SCHEMA_LOCK)  # two first users at once
        if inspect(connection).has_table(cluster.name):
            return False
        metadata.create_all(connection)
        connection.execute(
            insert(cluster),
            [
                {"name": "schema_version", "value": str(SCHEMA_VERSION)},
                {"name": "cluster_id", "value": secrets.token_hex(16)},
            ],
        )
        connection.execute(insert(sequences).values(name="step_execution", last_value=0))
        return True

    return database.write(work)


def check(database: Database) -> str:
    """The cluster's id, if the tables are there and fit this version.

    Raises SchemaMissing, SchemaTooOld or SchemaTooNew with what to do.
    """
    if not exists(database):
        raise SchemaMissing(f"{database.url} has no nbcluster tables; run: nbcluster init --url '{database.url}'")
    rows = database.read(lambda connection: connection.execute(select(cluster.c.name, cluster.c.value)).all())
    facts = {row.name: row.value for row in rows}
    try:
        version, cluster_id = int(facts["schema_version"]), str(facts["cluster_id"])
    except (KeyError, ValueError) as error:
        raise SchemaError(f"{database.url}: the table batch_cluster is damaged; restore it from a backup") from error
    if version > SCHEMA_VERSION:
        raise SchemaTooNew(
            f"{database.url} has schema version {version}, made by a newer nbcluster; this one knows up to "
            f"{SCHEMA_VERSION}: upgrade nbcluster here (pip install -U nbcluster)"
        )
    if version < SCHEMA_VERSION:
        raise SchemaTooOld(
            f"{database.url} has schema version {version}, made by an older nbcluster, and this one needs "
            f"{SCHEMA_VERSION}; stop what runs on it, then run: nbcluster init --url '{database.url}'"
        )
    return cluster_id


def key_mark(database: Database) -> str | None:
    """The mark of the key that this cluster's machines share; None when nobody has made one."""
    return database.read(lambda c: c.scalar(select(cluster.c.value).where(cluster.c.name == "key_mark")))


def record_key(database: Database, mark: str, *, replace: bool = False) -> str:
    """Note the mark of the shared key; gives the one that holds: of two that are made at once, one."""

    def work(connection: Connection) -> str:
        if database.dialect.name == "postgresql":
            connection.exec_driver_sql(SCHEMA_LOCK)
        there = connection.scalar(select(cluster.c.value).where(cluster.c.name == "key_mark"))
        if there is not None and not replace:
            return str(there)
        connection.execute(delete(cluster).where(cluster.c.name == "key_mark"))
        connection.execute(insert(cluster).values(name="key_mark", value=mark))
        return mark

    return database.write(work)


def drop(database: Database) -> None:
    """Remove every table of ours with all that is in them."""
    database.write(metadata.drop_all)


def ddl(dialect_name: str, *, dropping: bool = False) -> str:
    """The script that creates (or drops) the tables on ``postgresql`` or ``sqlite``."""
    dialect = registry.load(dialect_name)()
    server = dialect_name == "postgresql"
    if dropping:
        drops = [DropTable(table, if_exists=True) for table in reversed(metadata.sorted_tables)]
        return _script([*(str(drop.compile(dialect=dialect)) for drop in drops), *([DROP_SEQUENCE] if server else [])])
    statements: list[str] = []
    for table in metadata.sorted_tables:
        statements.append(str(CreateTable(table).compile(dialect=dialect)))
        statements += [str(CreateIndex(index).compile(dialect=dialect)) for index in sorted(table.indexes, key=str)]
    return _script([*statements, *(POSTGRESQL_EXTRAS if server else []), *_first_rows()])


def _first_rows() -> list[str]:
    """What ``create`` inserts: the version, and an id that no other cluster has."""
    identity = f"INSERT INTO {cluster.name} (name, value) VALUES "
    return [
        f"{identity}('schema_version', '{SCHEMA_VERSION}')",
        f"{identity}('cluster_id', '{secrets.token_hex(16)}')",
        f"INSERT INTO {sequences.name} (name, last_value) VALUES ('step_execution', 0)",
    ]


def _script(statements: list[str]) -> str:
    return ";\n".join(statement.strip() for statement in statements) + ";\n"
