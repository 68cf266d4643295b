"""A table of the user's in its database: made from the kinds of its columns, or checked against them, and filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Double,
    Inspector,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    Time,
    Uuid,
    inspect,
    types,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable, DropTable
from sqlalchemy.types import JSON, TypeEngine

from nbcluster.errors import InputError
from nbcluster.rows import kinds
from nbcluster.rows.encoding import Body, json_blocks, opened
from nbcluster.rows.target import TableName

LOOSE = {"sqlite"}
"""Databases that keep times as text."""

Columns = Sequence[tuple[str, str]]
"""(name, kind) of each."""

_TYPES: dict[str, TypeEngine[Any]] = {
    kinds.NULL: Text(),
    kinds.NAN: Double(),
    kinds.NAT: DateTime(),
    kinds.BOOL: Boolean(),
    kinds.INT: BigInteger(),
    kinds.WHOLE: Double(),
    kinds.FLOAT: Double(),
    kinds.DECIMAL: Numeric(),
    kinds.TEXT: Text(),
    kinds.BYTES: LargeBinary(),
    kinds.UUID: Uuid().with_variant(Text(), "sqlite"),
    kinds.JSON: JSON(),
    kinds.DATE: Date(),
    kinds.DAY: DateTime(),
    kinds.MOMENT: DateTime(),
    kinds.ZONED: DateTime(timezone=True),
    kinds.TIME: Time(),
    kinds.SPAN: Interval().with_variant(Double(), "sqlite"),
}

_KINDS: tuple[tuple[type[TypeEngine[Any]], str], ...] = (
    (types.Boolean, kinds.BOOL),
    (types.Integer, kinds.INT),
    (types.Float, kinds.FLOAT),
    (types.Numeric, kinds.DECIMAL),
    (types.Uuid, kinds.UUID),
    (types.Enum, kinds.OTHER),
    (types.String, kinds.TEXT),
    (types.LargeBinary, kinds.BYTES),
    (types.JSON, kinds.JSON),
    (types.DateTime, kinds.MOMENT),
    (types.Date, kinds.DATE),
    (types.Time, kinds.TIME),
    (types.Interval, kinds.SPAN),
)


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column that is there; ``required``: a row without it is refused."""

    name: str
    kind: str
    required: bool


def looking(connection: Connection) -> Inspector:
    """What asks the database about its tables."""
    found = inspect(connection)
    assert isinstance(found, Inspector)
    return found


def exists(connection: Connection, name: TableName) -> bool:
    """Whether there is a table, or a view, of that name."""
    seen = looking(connection)
    return seen.has_table(name.name, name.schema) or name.name in seen.get_view_names(name.schema)


def make(connection: Connection, name: TableName, columns: Columns) -> None:
    """Create a table that takes these columns."""
    wanted = [Column(label, _type_of(kind, connection)) for label, kind in columns]
    connection.execute(CreateTable(Table(name.name, MetaData(), *wanted, schema=name.schema)))


def _type_of(kind: str, connection: Connection) -> TypeEngine[Any]:
    if kind == kinds.JSON and connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import JSONB

        return JSONB()
    return _TYPES[kind]


def drop(connection: Connection, name: TableName) -> None:
    """Drop a table with its rows."""
    connection.execute(DropTable(Table(name.name, MetaData(), schema=name.schema)))


def columns_of(connection: Connection, name: TableName) -> list[TableColumn]:
    """The columns of a table that is there."""
    found = looking(connection).get_columns(name.name, name.schema)
    return [TableColumn(one["name"], _kind_of(one["type"]), _is_required(one)) for one in found]


def _kind_of(kind: TypeEngine[Any]) -> str:
    for types_of_it, name in _KINDS:
        if isinstance(kind, types_of_it):
            return kinds.ZONED if name == kinds.MOMENT and getattr(kind, "timezone", False) else name
    return kinds.OTHER


def _is_required(column: Any) -> bool:
    filled = column.get("default") is not None or "identity" in column or "computed" in column
    # A whole number that is SQLite's primary key is filled by itself, and it is not told as such.
    counted = bool(column.get("primary_key")) and isinstance(column["type"], types.Integer)
    return not column["nullable"] and not filled and not counted


def check(
    name: str, there: Sequence[TableColumn], columns: Columns, *, loosely: bool, empty: bool = False
) -> list[str]:
    """The names of the table's columns that these go into, in their order.  Raises InputError naming a column.

    Of columns without values (``empty``) only the names are looked at.
    """
    known = {column.name: column for column in there}
    if loosely:  # names of SQLite's columns know no case
        known = {column.name.lower(): column for column in there} | known
    targets = []
    for label, kind in columns:
        column = known.get(label) or (known.get(label.lower()) if loosely else None)
        if column is None:
            raise InputError(f"table {name} has no column {label!r}; it has {_listed(there)}")
        if not empty and not kinds.fits(kind, column.kind, loosely=loosely):
            takes, given = kinds.SPOKEN[column.kind], kinds.SPOKEN[kind]
            raise InputError(f"column {label!r} of table {name} takes {takes}, and these are {given}; give it one type")
        targets.append(column.name)
    lacking = [column.name for column in there if column.required and column.name not in targets]
    if lacking:
        raise InputError(f"table {name} needs a column {lacking[0]!r} in every row, and these rows have none")
    return targets


def _listed(there: Sequence[TableColumn]) -> str:
    names = ", ".join(column.name for column in there[:20])
    return f"{names}, ..." if len(there) > 20 else names or "none"


# --- filling ---------------------------------------------------------------------------


_PIECE = 1 << 18
_ROWS_AT_ONCE, _VALUES_AT_ONCE = 200, 30_000
"""Rows of one statement; SQLite takes 32,766 values in one."""


def insert_json(connection: Connection, name: TableName, columns: Columns, targets: Sequence[str], body: Body) -> None:
    """Insert rows that travelled as JSON, many at a time."""
    mark = {"qmark": "?", "format": "%s", "pyformat": "%s"}[connection.dialect.paramstyle]
    marks = ", ".join([mark] * len(targets))
    statement = f"INSERT INTO {quoted(connection, name)} ({_names(connection, targets)}) VALUES ({marks})"
    for rows in filter(None, json_blocks(body, columns)):
        connection.exec_driver_sql(statement, rows)


def insert_values(
    connection: Connection, name: TableName, columns: Columns, targets: Sequence[str], body: Body
) -> None:
    """The same into SQLite, a few hundred rows a statement: half again as fast as one by one."""
    import sqlite3

    each = max(1, min(_ROWS_AT_ONCE, _VALUES_AT_ONCE // len(targets)))
    start = f"INSERT INTO {quoted(connection, name)} ({_names(connection, targets)}) VALUES "
    row = f"({', '.join('?' * len(targets))})"
    many = start + ", ".join([row] * each)
    driver: Any = connection.connection.driver_connection
    cursor = driver.cursor()
    try:
        for rows in json_blocks(body, columns):
            whole = len(rows) - len(rows) % each
            for first in range(0, whole, each):
                cursor.execute(many, list(chain.from_iterable(rows[first : first + each])))
            cursor.executemany(start + row, rows[whole:])
    except sqlite3.Error as error:  # past SQLAlchemy, so nobody has wrapped it yet
        raise DBAPIError.instance(start, None, error, sqlite3.Error) from error
    finally:
        cursor.close()


def insert_copy(connection: Connection, name: TableName, targets: Sequence[str], bodies: Sequence[Body]) -> None:
    """Hand rows to PostgreSQL as they travelled, by COPY in the connection's transaction."""
    import psycopg

    driver: Any = connection.connection.driver_connection
    statement = f"COPY {quoted(connection, name)} ({_names(connection, targets)}) FROM STDIN (ENCODING 'UTF8')"
    statement = statement.replace("%%", "%")  # doubled for statements with parameters, which this is not
    try:
        with driver.cursor().copy(statement) as copy:
            for body in bodies:
                with opened(body) as file:
                    while piece := file.read(_PIECE):
                        copy.write(piece)
    except psycopg.Error as error:  # past SQLAlchemy, so nobody has wrapped it yet
        lost = bool(driver.closed)
        raise DBAPIError.instance(statement, None, error, psycopg.Error, connection_invalidated=lost) from error


def quoted(connection: Connection, name: TableName) -> str:
    """The name as it stands in a statement."""
    prepare = connection.dialect.identifier_preparer
    parts = [part for part in (name.schema, name.name) if part is not None]
    return ".".join(prepare.quote_identifier(part) for part in parts)


def _names(connection: Connection, names: Sequence[str]) -> str:
    return ", ".join(map(connection.dialect.identifier_preparer.quote_identifier, names))
