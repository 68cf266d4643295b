"""Tables of an older nbcluster become those of this one, in place, with everything that is in them.

What is missing is found by comparing the database with the tables as they should be, so
one way leads here from every earlier version.  It is one transaction: whoever is
interrupted leaves the old version, and of two who upgrade at once the second finds
nothing to do.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, inspect, select, update
from sqlalchemy.engine.reflection import Inspector
from sqlalchemy.schema import AddConstraint, CheckConstraint, CreateColumn, CreateIndex, CreateTable

from nbcluster.store.engine import Database
from nbcluster.store.tables import POSTGRESQL_EXTRAS, SCHEMA_VERSION, cluster, metadata

SCHEMA_LOCK = "SELECT pg_advisory_xact_lock(7116923)"
"""Held on PostgreSQL by whoever makes or changes tables."""

_PATIENCE = 3600.0
_SET_ASIDE = "_before_upgrade"


def version(connection: Connection) -> int:
    """The version of the tables that are there; this one when it cannot be told, which ``check`` complains of."""
    noted = connection.scalar(select(cluster.c.value).where(cluster.c.name == "schema_version"))
    return int(noted) if noted and noted.isdecimal() else SCHEMA_VERSION


def upgrade(database: Database) -> int | None:
    """Bring older tables to this version; gives the version that they had, None when they were not older."""
    was = database.read(version)
    if was >= SCHEMA_VERSION:
        return None
    return _on_sqlite(database) if database.dialect.file is not None else _on_server(database)


def _stamp(connection: Connection) -> None:
    connection.execute(update(cluster).where(cluster.c.name == "schema_version").values(value=str(SCHEMA_VERSION)))


# --- a server: tables are altered ----------------------------------------------------------------


def _on_server(database: Database) -> int | None:
    def work(connection: Connection) -> int | None:
        connection.exec_driver_sql(SCHEMA_LOCK)
        was = version(connection)
        if was >= SCHEMA_VERSION:
            return None
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        there = inspect(connection)
        tables = set(there.get_table_names())
        for table in metadata.sorted_tables:
            if table.name in tables:
                _alter(connection, there, table)
            else:
                connection.execute(CreateTable(table))
            _add_indexes(connection, there, table)
        for statement in POSTGRESQL_EXTRAS:
            connection.exec_driver_sql(statement)
        _stamp(connection)
        return was

    return database.write(work, patience=_PATIENCE)


def _alter(connection: Connection, there: Inspector, table: Table) -> None:
    """Add columns, and make every check anew: what a column may hold has grown."""
    known = {column["name"] for column in there.get_columns(table.name)}
    for column in table.columns:
        if column.name not in known:
            described = CreateColumn(column).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {described}")
    for check in there.get_check_constraints(table.name):
        connection.exec_driver_sql(f'ALTER TABLE {table.name} DROP CONSTRAINT "{check["name"]}"')
    for constraint in sorted(table.constraints, key=str):
        if isinstance(constraint, CheckConstraint):
            connection.execute(AddConstraint(constraint, isolate_from_table=False))


def _add_indexes(connection: Connection, there: Inspector, table: Table) -> None:
    known = {index["name"] for index in there.get_indexes(table.name)} if there.has_table(table.name) else set()
    for index in table.indexes:
        if index.name not in known:
            connection.execute(CreateIndex(index, if_not_exists=True))


# --- SQLite: tables are written anew --------------------------------------------------------------


def _on_sqlite(database: Database) -> int | None:
    with database.engine.connect() as connection:
        # Neither can be set inside a transaction.  Tables are set aside under another name for a moment, and
        # what refers to them shall go on referring to the name.
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        connection.exec_driver_sql("PRAGMA legacy_alter_table = ON")
        try:
            database.dialect.begin_write(connection)
            was = version(connection)
            if was < SCHEMA_VERSION:
                _rewrite(connection)
            connection.commit()
        finally:
            connection.rollback()
            connection.exec_driver_sql("PRAGMA legacy_alter_table = OFF")
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
    return was if was < SCHEMA_VERSION else None


def _rewrite(connection: Connection) -> None:
    there = inspect(connection)
    tables = set(there.get_table_names())
    for table in metadata.sorted_tables:
        if table.name not in tables:
            connection.execute(CreateTable(table))
            _create_indexes(connection, table)
        elif _differs(connection, there, table):
            _rewrite_one(connection, there, table)
    _stamp(connection)


def _differs(connection: Connection, there: Inspector, table: Table) -> bool:
    columns = {column["name"] for column in there.get_columns(table.name)} != {column.name for column in table.columns}
    return columns or _checks_there(there, table) != _checks_wanted(connection, table)


def _checks_there(there: Inspector, table: Table) -> set[str]:
    return {" ".join(str(check["sqltext"]).split()) for check in there.get_check_constraints(table.name)}


def _checks_wanted(connection: Connection, table: Table) -> set[str]:
    checks: list[Any] = [one for one in table.constraints if isinstance(one, CheckConstraint)]
    return {" ".join(str(check.sqltext.compile(dialect=connection.dialect)).split()) for check in checks}


def _rewrite_one(connection: Connection, there: Inspector, table: Table) -> None:
    aside = table.name + _SET_ASIDE
    kept = [column["name"] for column in there.get_columns(table.name) if column["name"] in table.columns]
    for index in there.get_indexes(table.name):
        connection.exec_driver_sql(f'DROP INDEX "{index["name"]}"')
    connection.exec_driver_sql(f"ALTER TABLE {table.name} RENAME TO {aside}")
    connection.execute(CreateTable(table))
    listed = ", ".join(kept)
    connection.exec_driver_sql(f"INSERT INTO {table.name} ({listed}) SELECT {listed} FROM {aside}")
    connection.exec_driver_sql(f"DROP TABLE {aside}")
    _create_indexes(connection, table)


def _create_indexes(connection: Connection, table: Table) -> None:
    for index in sorted(table.indexes, key=str):
        connection.execute(CreateIndex(index))
