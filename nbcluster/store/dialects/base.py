"""The questions, with the answers that most databases share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    FromClause,
    Insert,
    Select,
    Table,
    delete,
    false,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from nbcluster.errors import DatabaseError
from nbcluster.records import Rights
from nbcluster.rows import encoding, making
from nbcluster.rows.target import TableName
from nbcluster.statements import Statement, rendered
from nbcluster.store import bulk


class Dialect(ABC):
    """One database's answers.  Knows no status word and no rule of nbcluster."""

    name: str
    port: ClassVar[int | None] = None
    """The port of a URL that names none."""
    reading: ClassVar[dict[str, Any]] = {}
    """Execution options of a connection that only reads."""

    rows_form: ClassVar[str] = encoding.AS_JSON
    """How rows for tables of the user's travel: see ``rows.encoding``."""

    def __init__(self, url: URL) -> None:
        self.url = url

    @abstractmethod
    def make_engine(self, pool_size: int) -> Engine:
        """An engine whose connections are ready for use, with room for ``pool_size`` of them."""

    @property
    def file(self) -> Path | None:
        """The file of an embedded database; None for a server."""
        return None

    # --- what it is, and what one may do there --------------------------------

    @abstractmethod
    def server(self, connection: Connection) -> str:
        """The system and its version: ``PostgreSQL 16.2``."""

    @abstractmethod
    def driver(self) -> str:
        """The driver and its version: ``psycopg 3.2.1``."""

    def rights(self, connection: Connection, tables: Iterable[Table]) -> Rights:
        """What this login may not do with the tables: found by statements that touch no row."""
        lacking = []
        for table in tables:
            first = table.columns[0]
            tried = {
                "SELECT": select(first).where(false()),
                "INSERT": insert(table).from_select([first], select(first).where(false())),
                "UPDATE": update(table).where(false()).values({first: first}),
                "DELETE": delete(table).where(false()),
            }
            for right, statement in tried.items():
                try:
                    connection.execute(statement)
                except DBAPIError as error:
                    if self.is_transient(error):
                        raise
                    lacking.append(f"{right} on {table.name}")
                finally:
                    connection.rollback()
        return Rights(tuple(lacking), "ask whoever made the tables for these rights" if lacking else "")

    # --- time ---------------------------------------------------------------

    @abstractmethod
    def now(self) -> ColumnElement[Any]:
        """The database's clock, now (not at the start of the transaction)."""

    @abstractmethod
    def ahead(self, seconds: ColumnElement[Any]) -> ColumnElement[Any]:
        """The database's clock, ``seconds`` from now; NULL for NULL, before now when negative."""

    @abstractmethod
    def age(self, moment: ColumnElement[Any]) -> ColumnElement[float]:
        """Seconds from ``moment`` until now, by the database's clock."""

    @abstractmethod
    def between(self, start: ColumnElement[Any], end: ColumnElement[Any]) -> ColumnElement[float]:
        """Seconds from ``start`` to ``end``."""

    @abstractmethod
    def uptime(self) -> ColumnElement[float]:
        """Seconds since the database was started; infinite for one that is only a file."""

    # --- transactions -------------------------------------------------------

    def begin_write(self, connection: Connection) -> None:  # noqa: B027 -- most databases need nothing here
        """Start a transaction that will write, before its first statement."""

    def limit(self, connection: Connection, patience: float | None) -> None:  # noqa: B027 -- a file answers
        """Give up a call on this connection after so many seconds of silence; ``None``: after the usual ones."""

    def check_place(self) -> None:  # noqa: B027 -- a server is not moved without its connections noticing
        """Raises DatabaseUnreachable when open connections lead to what is no longer at the URL."""

    @abstractmethod
    def is_transient(self, error: DBAPIError) -> bool:
        """Whether the same transaction may well succeed when simply run again."""

    def leads_nowhere(self, error: DBAPIError) -> bool:
        """Whether the connections that are open are of no use any more: new ones must be made."""
        return error.connection_invalidated

    @abstractmethod
    def translate(self, error: DBAPIError) -> DatabaseError:
        """The error of ours that says what the user can do about it; never with a password."""

    # --- statements ---------------------------------------------------------

    def lock_and_skip(self, statement: Select[Any]) -> Select[Any]:
        """Lock the rows that a claim picks and pass over those that others lock.

        An optimisation: the guarded update is the guarantee.
        """
        return statement.with_for_update(skip_locked=True)

    @abstractmethod
    def chosen(self, column: ColumnElement[Any], picked: Select[Any]) -> ColumnElement[bool]:
        """``column`` is among the rows that the sub-select picks, in the shape that is planned well."""

    @abstractmethod
    def among(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """``column`` is one of the whole numbers bound to ``name`` by ``listed``."""

    def narrowed(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """``among`` again, for a key that a ``batch`` is joined to: keeps a misinformed planner on that key."""
        return self.among(column, name)

    @abstractmethod
    def listed(self, values: Sequence[int]) -> Any:
        """The bound value for ``among``."""

    @abstractmethod
    def batch(self, columns: dict[str, TypeEngine[Any]]) -> FromClause:
        """A source of rows with these columns, bound by ``batch_values``; reusable, so that it compiles once."""

    @abstractmethod
    def batch_values(self, columns: dict[str, TypeEngine[Any]], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """The bound parameters that fill a ``batch``."""

    def insert_many(self, connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        """Insert many rows of equal columns the fastest safe way."""
        if rows:
            connection.execute(insert(table), list(rows))

    @abstractmethod
    def insert_missing(self, table: Table) -> Insert:
        """The insert that changes nothing, and returns nothing, when a row of the same key is there."""

    def columns(self, connection: Connection, source: bulk.Source, fields: Sequence[bulk.Field]) -> Iterator[list[Any]]:
        """Many rows as arrays, one for each field, in as many portions as it takes (see bulk.py).  Only reads."""
        return bulk.row_by_row(connection, source, fields)

    def reserve_ids(self, connection: Connection, sequence: str, count: int) -> Iterable[int] | None:
        """Ids for rows that are about to be inserted; None where the table fills them by itself."""
        return None

    # --- large values -------------------------------------------------------

    def write_chunks(self, connection: Connection, table: Table, rows: Sequence[tuple[str, int, bytes]]) -> None:
        """Insert chunks (name, number, bytes) the fastest way for much in few rows."""
        connection.execute(
            insert(table), [{"payload_id": name, "chunk": number, "body": body} for name, number, body in rows]
        )

    def read_chunks(self, connection: Connection, table: Table, name: str, first: int, count: int) -> list[bytes]:
        """The chunks of that name from number ``first`` on, ``count`` of them at most."""
        statement = (
            select(table.c.body)
            .where(table.c.payload_id == name, table.c.chunk >= first, table.c.chunk < first + count)
            .order_by(table.c.chunk)
        )
        return [bytes(body) for body in connection.execute(statement).scalars()]

    # --- tables of the user's -------------------------------------------------

    def insert_rows(
        self,
        connection: Connection,
        name: TableName,
        columns: making.Columns,
        names: Sequence[str],
        bodies: Sequence[encoding.Body],
    ) -> None:
        """Insert rows that travelled in ``rows_form`` into the columns ``names`` the fastest safe way."""
        for body in bodies:
            making.insert_json(connection, name, columns, names, body)

    def limit_statements(self, connection: Connection) -> None:  # noqa: B027 -- a file has one writer, who is at work
        """Have statements of the user's fail before a connection that is silent for long is given up."""

    def execute(self, connection: Connection, statement: Statement) -> None:
        """Execute a statement of the user's."""
        sql, _ = rendered(statement.sql.replace("%", "%%"), lambda name: f"%({name})s")
        connection.exec_driver_sql(sql, [dict(row) for row in statement.rows])

    def lock_name(self, connection: Connection, name: str) -> None:  # noqa: B027 -- one writer at a time needs none
        """Until the transaction ends nobody else makes or drops the table of that name."""

    def said(self, error: DBAPIError) -> str:
        """The database's own words, in one line."""
        return " ".join(str(error.orig).split())[:1000]

    # --- waking others ------------------------------------------------------

    def announce(self, connection: Connection, topics: Iterable[str]) -> bool:
        """Tell listeners of ``topics`` when the transaction commits; False when the database cannot."""
        return False
