"""Rows for another database than the cluster's: written where the function ran, before the partition is recorded.

So they are there at least once: of a partition whose node is lost in between they are written again.
"""

from __future__ import annotations

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from nbcluster.errors import InputError
from nbcluster.rows import making
from nbcluster.rows.encoding import AS_JSON, COPY, Encoded
from nbcluster.rows.target import Table, hidden, split_name

_PATIENCE = 30
"""Seconds that an SQLite file may be written by somebody else."""


class Refused(InputError):
    """The other database did not take the rows; ``__cause__`` has its error."""


def form_of(into: Table) -> str:
    """How rows for that database travel."""
    return COPY if _url(into).drivername == "postgresql+psycopg" else AS_JSON


def write(into: Table, rows: Encoded) -> None:
    """Append the rows in one transaction; a table that is not there is made.  Raises InputError."""
    if not rows.columns:
        return
    try:
        engine = _engine(_url(into))
        _make_missing(engine, into, rows)
        with engine.begin() as connection:
            _append(connection, into, rows)
    except (SQLAlchemyError, ImportError) as error:
        said = " ".join(str(getattr(error, "orig", None) or error).split())[:1000]
        raise Refused(f"table {into.name} at {hidden(str(into.url))} did not take the rows: {said}") from error


def _append(connection: Connection, into: Table, rows: Encoded) -> None:
    name = split_name(into.name)
    loosely = connection.dialect.name in making.LOOSE
    there = making.columns_of(connection, name)
    names = making.check(into.name, there, rows.columns, loosely=loosely, empty=not rows.count)
    if form_of(into) == COPY:
        making.insert_copy(connection, name, names, [rows.body])
    elif connection.dialect.name == "sqlite":
        making.insert_values(connection, name, rows.columns, names, rows.body)
    else:
        making.insert_json(connection, name, rows.columns, names, rows.body)


def _make_missing(engine: Engine, into: Table, rows: Encoded) -> None:
    """Make the table unless it is there, or somebody else makes it at this very moment."""
    name = split_name(into.name)
    try:
        with engine.begin() as connection:
            if not making.exists(connection, name):
                making.make(connection, name, rows.columns)
    except DBAPIError:
        with engine.connect() as connection:
            if not making.exists(connection, name):
                raise


def _url(into: Table) -> URL:
    url = make_url(str(into.url))
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def _engine(url: URL) -> Engine:
    waiting = {"timeout": _PATIENCE} if url.get_backend_name() == "sqlite" else {}
    return create_engine(url, poolclass=NullPool, connect_args=waiting, hide_parameters=True)
