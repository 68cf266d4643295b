"""SQLite in WAL mode: one machine, several processes, no server."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    FromClause,
    Insert,
    Select,
    Table,
    bindparam,
    cast,
    create_engine,
    event,
    func,
    literal_column,
    select,
    type_coerce,
    update,
)
from sqlalchemy.dialects.sqlite import insert as dialect_insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import Float, TypeEngine

from nbcluster.errors import ConfigError, DatabaseError, DatabaseUnreachable, SchemaMissing
from nbcluster.records import Rights
from nbcluster.rows import encoding, making
from nbcluster.rows.target import TableName
from nbcluster.statements import Statement, loose, rendered
from nbcluster.store.columns import Moment
from nbcluster.store.dialects.base import Dialect
from nbcluster.store.tables import sequences

_OLDEST = (3, 35, 0)  # UPDATE ... FROM and RETURNING
_PATIENCE_MS = 10_000


class SQLite(Dialect):
    """The embedded default: what SQLite answers."""

    name = "sqlite"

    def __init__(self, url: URL) -> None:
        if not url.database or url.database == ":memory:":
            raise ConfigError(
                "an SQLite database in memory cannot be shared with nodes; write sqlite:///path/to/cluster.db"
            )
        if url.get_driver_name() != "pysqlite":
            raise ConfigError(f"the driver {url.drivername!r} is not supported; write sqlite:///path/to/cluster.db")
        if sqlite3.sqlite_version_info < _OLDEST:
            raise ConfigError(
                f"this Python has SQLite {sqlite3.sqlite_version}; nbcluster needs 3.35 or newer (or PostgreSQL)"
            )
        super().__init__(url)
        self._file = Path(str(url.database)).absolute()
        self._opened: tuple[int, int] | None = None

    @property
    def file(self) -> Path:
        return self._file

    def make_engine(self, pool_size: int) -> Engine:
        engine = create_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=30,
            # No implicit BEGIN by the driver: begin_write says when and how.
            connect_args={"check_same_thread": False, "timeout": _PATIENCE_MS / 1000, "isolation_level": None},
        )
        event.listen(engine, "connect", _prepare)
        return engine

    def check_place(self) -> None:
        """A file that was deleted can be written to for ever, and nobody would see it.

        One that took its place would be mixed up with the old one's log, so it is not used either.
        """
        try:
            found = os.stat(self.file)
        except FileNotFoundError:
            if self._opened is None:
                return  # not made yet
            raise DatabaseUnreachable(f"{self.file} is gone: it was moved or deleted while it was in use") from None
        except OSError:
            return  # what is wrong with it SQLite says best
        self._opened = self._opened or (found.st_dev, found.st_ino)
        if self._opened != (found.st_dev, found.st_ino):
            raise DatabaseUnreachable(f"{self.file} is another file now: it was replaced while it was in use")

    def make_file(self) -> None:
        """Create an empty file that only its owner can read, before SQLite makes one that all can.

        The file itself is never opened here: closing it would drop the locks that this
        process's other connections hold on it (POSIX), and other processes would take
        away the log that they write to.
        """
        try:
            if self.file.exists():
                return
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft = self.file.with_name(f"{self.file.name}.{secrets.token_hex(8)}")
            os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            try:
                with contextlib.suppress(FileExistsError):
                    os.link(draft, self.file)
            finally:
                os.unlink(draft)
        except OSError as error:
            raise DatabaseUnreachable(f"{self.file} cannot be made: {error.strerror}") from error

    def server(self, connection: Connection) -> str:
        return f"SQLite {sqlite3.sqlite_version}"

    def driver(self) -> str:
        return "sqlite3 of this Python"

    def rights(self, connection: Connection, tables: Iterable[Table]) -> Rights:
        # Beside the file SQLite makes others, and nbcluster a folder: the folder must be writable too.
        closed = [path for path in (self.file, self.file.parent) if not _may_write(path)]
        if closed:
            named = " ".join(f"'{path}'" for path in closed)
            lacking = tuple(f"writing {path}" for path in closed)
            return Rights(lacking, "as the owner, on this machine", f"chmod u+w {named}")
        return super().rights(connection, tables)

    def now(self) -> ColumnElement[Any]:
        # julianday is exact to the millisecond, and so is the clock behind it.
        millis = func.round((func.julianday("now") - 2440587.5) * 86400000.0)
        return type_coerce(cast(millis, BigInteger) * 1000, Moment)

    def ahead(self, seconds: ColumnElement[Any]) -> ColumnElement[Any]:
        moved = type_coerce(self.now(), BigInteger) + cast(seconds * 1_000_000, BigInteger)
        return type_coerce(moved, Moment)

    def age(self, moment: ColumnElement[Any]) -> ColumnElement[float]:
        return self.between(moment, self.now())

    def between(self, start: ColumnElement[Any], end: ColumnElement[Any]) -> ColumnElement[float]:
        return type_coerce((type_coerce(end, BigInteger) - type_coerce(start, BigInteger)) / 1e6, Float)

    def uptime(self) -> ColumnElement[float]:
        return literal_column("9e999", Float)

    def begin_write(self, connection: Connection) -> None:
        # A deferred transaction that reads and then writes fails at once, whatever the time-out.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def is_transient(self, error: DBAPIError) -> bool:
        said = str(error.orig)
        return "locked" in said or "busy" in said

    def translate(self, error: DBAPIError) -> DatabaseError:
        said = str(error.orig)
        if "no such table" in said:
            return SchemaMissing(
                f"{self.file} has no nbcluster tables; run: nbcluster init --url 'sqlite:///{self.file}'"
            )
        if "unable to open" in said or "readonly" in said or "disk I/O" in said or self.is_transient(error):
            return DatabaseUnreachable(f"{self.file} cannot be used ({said}); check the path, its rights and the disk")
        if "not a database" in said:
            return DatabaseUnreachable(f"{self.file} is not an SQLite database; choose another file")
        return DatabaseError(f"{self.file} refused a statement: {said}")

    def lock_and_skip(self, statement: Select[Any]) -> Select[Any]:
        return statement  # the one writer that BEGIN IMMEDIATE admits needs no row locks

    def chosen(self, column: ColumnElement[Any], picked: Select[Any]) -> ColumnElement[bool]:
        return column.in_(picked)

    def among(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        listed = func.json_each(bindparam(name)).table_valued("value")
        return column.in_(select(listed.c.value))

    def narrowed(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        # With the bare column the list is walked first, and the whole batch once for each of its entries.
        return self.among(column + 0, name)

    def listed(self, values: Sequence[int]) -> Any:
        return json.dumps(list(values))

    def batch(self, columns: dict[str, TypeEngine[Any]]) -> FromClause:
        rows = func.json_each(bindparam("batch_rows")).table_valued("value").alias("rows")
        picked = [
            type_coerce(func.json_extract(rows.c.value, f"$[{place}]"), kind).label(name)
            for place, (name, kind) in enumerate(columns.items())
        ]
        return select(*picked).subquery("batch")

    def batch_values(self, columns: dict[str, TypeEngine[Any]], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
        return {"batch_rows": json.dumps([list(row) for row in rows])}

    def insert_missing(self, table: Table) -> Insert:
        return dialect_insert(table).on_conflict_do_nothing()

    def insert_rows(
        self,
        connection: Connection,
        name: TableName,
        columns: making.Columns,
        names: Sequence[str],
        bodies: Sequence[encoding.Body],
    ) -> None:
        for body in bodies:
            making.insert_values(connection, name, columns, names, body)

    def execute(self, connection: Connection, statement: Statement) -> None:
        sql, names = rendered(statement.sql, lambda _name: "?")
        connection.exec_driver_sql(sql, [tuple(loose(row[name]) for name in names) for row in statement.rows])

    def reserve_ids(self, connection: Connection, sequence: str, count: int) -> Iterable[int]:
        last = connection.scalar(
            update(sequences)
            .where(sequences.c.name == sequence)
            .values(last_value=sequences.c.last_value + count)
            .returning(sequences.c.last_value)
        )
        if last is None:
            raise DatabaseError(f"the sequence {sequence} is missing from batch_sequences")
        return range(int(last) - count + 1, int(last) + 1)


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _prepare(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {_PATIENCE_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "temp_store = MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
