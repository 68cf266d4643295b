"""PostgreSQL 13 and newer, through psycopg 3."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

from sqlalchemy import (
    ARRAY,
    URL,
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Float,
    FromClause,
    Insert,
    Select,
    Table,
    any_,
    bindparam,
    cast,
    column,
    create_engine,
    event,
    extract,
    func,
    text,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import insert as dialect_insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from nbcluster.errors import (
    ConfigError,
    DatabaseError,
    DatabaseUnreachable,
    LoginRefused,
    SchemaMissing,
)
from nbcluster.records import Rights
from nbcluster.rows import encoding, making
from nbcluster.rows.target import TableName
from nbcluster.store import bulk
from nbcluster.store.columns import Moment
from nbcluster.store.dialects.base import Dialect

# Serialization failure, deadlock, lock not available, and a server that is starting or stopping.
_TRANSIENT = {"40001", "40P01", "55P03", "57P01", "57P02", "57P03", "53300"}
_READ_ONLY = "25006"  # a replica after a fail-over: reconnecting finds the new primary
_COPY_FROM = 20  # rows from which COPY's three extra messages pay

# One statement for all tables, and the sequences that fill their keys.
_LACKING = text(
    "SELECT named.name, wanted.word AS right FROM unnest(CAST(:tables AS text[])) AS named(name) "
    "CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) AS wanted(word) "
    "WHERE NOT has_table_privilege(named.name, wanted.word) "
    "UNION ALL SELECT relname, 'USAGE' FROM pg_class WHERE relkind = 'S' AND relname LIKE 'batch\\_%' "
    "AND pg_table_is_visible(oid) AND CASE relkind WHEN 'S' THEN NOT has_sequence_privilege(oid, 'USAGE') END "
    "ORDER BY 1, 2"
)


class PostgreSQL(Dialect):
    """The lab's server: what PostgreSQL answers."""

    name = "postgresql"
    port: ClassVar[int | None] = 5432
    # A read needs no transaction: without BEGIN and COMMIT it costs one round trip instead of three.
    reading: ClassVar[dict[str, Any]] = {"isolation_level": "AUTOCOMMIT"}
    rows_form: ClassVar[str] = encoding.COPY

    def __init__(self, url: URL) -> None:
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        if url.get_driver_name() != "psycopg":
            raise ConfigError(
                f"the driver {url.drivername!r} is not supported; write postgresql+psycopg://user@host/database"
            )
        if "password" in url.query:
            raise ConfigError(
                "write the password as user:password@host, or better in ~/.pgpass; ?password= would be shown in logs"
            )
        super().__init__(url)

    def make_engine(self, pool_size: int) -> Engine:
        engine = create_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=30,
            pool_recycle=1800,
            pool_use_lifo=True,  # one connection that is hot serves better than two that are cold
            isolation_level="READ COMMITTED",
            connect_args={
                "connect_timeout": 5,
                "application_name": "nbcluster",
                "keepalives_idle": 10,
                "keepalives_interval": 3,
                "keepalives_count": 3,
                "tcp_user_timeout": 15_000,
            },
        )
        from nbcluster.store.dialects import limited  # the driver costs an embedded user's start nothing

        @event.listens_for(engine, "do_connect")
        def connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
            made = limited.LimitedConnection.connect(*arguments, **options)
            limited.prepare(made)
            return made

        return engine

    def server(self, connection: Connection) -> str:
        return f"PostgreSQL {connection.exec_driver_sql('SHOW server_version').scalar_one()}"

    def driver(self) -> str:
        import psycopg

        return f"psycopg {psycopg.__version__}"

    def rights(self, connection: Connection, tables: Iterable[Table]) -> Rights:
        listed = {"tables": [table.name for table in tables]}
        found = connection.execute(_LACKING, listed).all()
        if not found:
            return Rights()
        user, schema = connection.exec_driver_sql("SELECT current_user, current_schema()").one()
        return Rights(
            tuple(f"{row.right} on {row.name}" for row in found),
            "as the owner of the tables, in psql",
            f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO "{user}"; '
            f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO "{user}"',
        )

    def now(self) -> ColumnElement[Any]:
        return func.clock_timestamp(type_=Moment)

    def ahead(self, seconds: ColumnElement[Any]) -> ColumnElement[Any]:
        return type_coerce(self.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds), Moment)

    def age(self, moment: ColumnElement[Any]) -> ColumnElement[float]:
        return self.between(moment, self.now())

    def between(self, start: ColumnElement[Any], end: ColumnElement[Any]) -> ColumnElement[float]:
        return cast(extract("epoch", end - start), Float)

    def uptime(self) -> ColumnElement[float]:
        return self.age(func.pg_postmaster_start_time(type_=Moment))

    def limit(self, connection: Connection, patience: float | None) -> None:
        from nbcluster.store.dialects import limited

        driver: Any = connection.connection.driver_connection
        driver.patience = limited.PATIENCE if patience is None else patience

    def is_transient(self, error: DBAPIError) -> bool:
        state = getattr(error.orig, "sqlstate", None)
        return state in _TRANSIENT or self.leads_nowhere(error)

    def leads_nowhere(self, error: DBAPIError) -> bool:
        return super().leads_nowhere(error) or getattr(error.orig, "sqlstate", None) == _READ_ONLY

    def translate(self, error: DBAPIError) -> DatabaseError:
        state = getattr(error.orig, "sqlstate", None) or ""
        said = " ".join(str(error.orig).split())
        where = self.url.render_as_string(hide_password=True)
        if state in ("28P01", "28000") or "password authentication failed" in said or "no password supplied" in said:
            return LoginRefused(f"{where} refused the user or the password; check the URL, or the entry in ~/.pgpass")
        if state == "3D000" or ("does not exist" in said and "database" in said and not state.startswith("42")):
            return DatabaseUnreachable(f"{where}: there is no such database; create it, then run 'nbcluster init'")
        if state == "42P01":
            return SchemaMissing(f"{where} has no nbcluster tables; run: nbcluster init --url '{where}'")
        if not state or state.startswith("08") or error.connection_invalidated or state in _TRANSIENT:
            return DatabaseUnreachable(f"{where} cannot be reached ({said[:300]}); is the server running?")
        return DatabaseError(f"{where} refused a statement ({state}): {said[:500]}")

    def chosen(self, column: ColumnElement[Any], picked: Select[Any]) -> ColumnElement[bool]:
        # A plain IN was planned as a join over the whole table once statistics lagged behind.
        return column == any_(func.array(picked.scalar_subquery()))

    def among(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        return column == any_(bindparam(name, type_=ARRAY(BigInteger)))

    def listed(self, values: Sequence[int]) -> Any:
        return list(values)

    def batch(self, columns: dict[str, TypeEngine[Any]]) -> FromClause:
        arrays = [bindparam(f"batch_{name}", type_=ARRAY(kind)) for name, kind in columns.items()]
        source = func.unnest(*arrays).table_valued(*(column(name, kind) for name, kind in columns.items()))
        return source.render_derived(name="batch")

    def batch_values(self, columns: dict[str, TypeEngine[Any]], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
        by_column = zip(*rows, strict=True) if rows else ((),) * len(columns)
        return {f"batch_{name}": list(values) for name, values in zip(columns, by_column, strict=True)}

    def insert_missing(self, table: Table) -> Insert:
        return dialect_insert(table).on_conflict_do_nothing()

    def insert_many(self, connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        if len(rows) < _COPY_FROM:
            super().insert_many(connection, table, rows)
            return
        names = list(rows[0])
        listed = ", ".join(names)
        moments = [name for name in names if isinstance(table.c[name].type, Moment)]
        assert not moments or all(rows[0][name] is not None for name in moments)
        statement = f"COPY {table.name} ({listed}) FROM STDIN"
        with _past_sqlalchemy(connection, statement) as driver, driver.cursor().copy(statement) as copy:
            for row in rows:
                copy.write_row([row[name] for name in names])

    def write_chunks(self, connection: Connection, table: Table, rows: Sequence[tuple[str, int, bytes]]) -> None:
        statement = f"COPY {table.name} (payload_id, chunk, body) FROM STDIN (FORMAT BINARY)"
        with _past_sqlalchemy(connection, statement) as driver, driver.cursor().copy(statement) as copy:
            copy.set_types(["text", "int4", "bytea"])
            for row in rows:
                copy.write_row(row)

    def read_chunks(self, connection: Connection, table: Table, name: str, first: int, count: int) -> list[bytes]:
        # As text each byte would come as two characters.
        statement = f"SELECT body FROM {table.name} WHERE payload_id = %s AND chunk >= %s AND chunk < %s ORDER BY chunk"
        with _past_sqlalchemy(connection, statement) as driver, driver.cursor(binary=True) as cursor:
            return [row[0] for row in cursor.execute(statement, (name, first, first + count)).fetchall()]

    def insert_rows(
        self,
        connection: Connection,
        name: TableName,
        columns: making.Columns,
        names: Sequence[str],
        bodies: Sequence[encoding.Body],
    ) -> None:
        if bodies:
            making.insert_copy(connection, name, names, bodies)

    def limit_statements(self, connection: Connection) -> None:
        connection.exec_driver_sql("SET LOCAL statement_timeout = '100s'")

    def lock_name(self, connection: Connection, name: str) -> None:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"nbcluster table {name}"})

    def columns(self, connection: Connection, source: bulk.Source, fields: Sequence[bulk.Field]) -> Iterator[list[Any]]:
        from nbcluster.store.dialects import packed

        return packed.columns(connection, source, fields)

    def announce(self, connection: Connection, topics: Iterable[str]) -> bool:
        names = list(topics)
        if names:
            connection.execute(
                text("SELECT pg_notify(topic, '') FROM unnest(CAST(:topics AS text[])) AS topic"), {"topics": names}
            )
        return True


@contextlib.contextmanager
def _past_sqlalchemy(connection: Connection, statement: str) -> Iterator[Any]:
    """The driver's own connection; its errors as SQLAlchemy would have wrapped them."""
    import psycopg  # costs an embedded user's start nothing

    driver: Any = connection.connection.driver_connection
    try:
        yield driver
    except psycopg.Error as error:
        lost = bool(driver.closed)
        raise DBAPIError.instance(statement, None, error, psycopg.Error, connection_invalidated=lost) from error
