"""A table of some database, looked into by the kernel and read by nodes; the home of SQLAlchemy among partitioners."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    URL,
    ClauseElement,
    ColumnClause,
    ColumnElement,
    Connection,
    Engine,
    Select,
    TableClause,
    and_,
    bindparam,
    cast,
    column,
    create_engine,
    func,
    inspect,
    literal_column,
    make_url,
    quoted_name,
    select,
    table,
    true,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.types import ARRAY, JSON, Double, Float, LargeBinary, NullType

from nbcluster.errors import FileNotSeen, InputError
from nbcluster.partitioners.sight import here, unseen

if TYPE_CHECKING:
    import pandas

_UNORDERED = (JSON, LargeBinary, ARRAY)
_SHOWN = 20


@dataclass(frozen=True)
class Source:
    """A table and one of its columns.  ``full`` is the URL with its password, which nothing shows.

    ``real`` says that its values are floats, of which some databases tell less than they hold.
    """

    who: str
    url: str
    full: str = field(repr=False)
    schema: str | None = None
    table: str = ""
    column: str = ""
    real: bool = False

    @classmethod
    def of(cls, who: str, given: Any, table_name: Any, column_name: Any) -> Source:
        """Checked as far as that can be done without asking the database.  Raises InputError."""
        for name, value in (("table", table_name), ("column", column_name)):
            if not isinstance(value, str) or not value:
                raise InputError(f"{who}: {name} is {value!r:.60}; it must be the name of a {name}")
        url = _url(who, given)
        # What stands behind a question mark may be a password too.
        return cls(who, url.set(query={}).render_as_string(hide_password=True),
                   url.render_as_string(hide_password=False), None, table_name, column_name)  # fmt: skip

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """A connection for a moment.  What the database complains of becomes InputError, in one line."""
        url = make_url(self.full)
        if url.get_backend_name() == "sqlite" and not os.path.exists(str(url.database)):
            raise FileNotSeen(unseen(str(url.database)))
        try:
            engine = create_engine(url, poolclass=NullPool)
            with engine.connect() as connection:
                yield connection
        except ModuleNotFoundError as error:
            raise InputError(f"{self.who}: {here()} has no driver for {self.url}: pip install {error.name}") from error
        except DBAPIError as error:
            said = str(error.orig).strip().split("\n", 1)[0]
            raise InputError(f"{self.who}: {here()} cannot read {self._named()}: {said}") from error
        except SQLAlchemyError as error:
            raise InputError(f"{self.who}: {here()} cannot read {self._named()}: {error}") from error

    def found(self, connection: Connection) -> Source:
        """The same with its schema; the table and the column are there, and the column has an order.

        Raises InputError naming what there is.
        """
        inspector = inspect(connection)
        schema, name = None, self.table
        if not inspector.has_table(name) and "." in name:
            schema, _, name = name.rpartition(".")
        if not inspector.has_table(name, schema=schema):
            known = sorted([*inspector.get_table_names(schema), *inspector.get_view_names(schema)])
            raise InputError(f"{self.who}: {self.url} has no table {self.table!r}; {_listed(known)}")
        columns = {one["name"]: one["type"] for one in inspector.get_columns(name, schema=schema)}
        if self.column not in columns:
            raise InputError(f"{self.who}: table {self.table!r} has no column {self.column!r}; {_listed(columns)}")
        kind = columns[self.column]
        if isinstance(kind, _UNORDERED):
            able = [one for one, other in columns.items() if not isinstance(other, (*_UNORDERED, NullType))]
            raise InputError(
                f"{self.who}: column {self.column!r} is {kind}, which has no order; others have: {_listed(able)}"
            )
        return replace(self, schema=schema, table=name, real=isinstance(kind, Float))

    def of_table(self, columns: Sequence[str] = ()) -> tuple[TableClause, ColumnClause[Any]]:
        """Table, with these columns too, and column as statements name them: quoted, whatever the name."""
        names = dict.fromkeys([self.column, *columns])
        known: list[ColumnClause[Any]] = [column(quoted_name(name, True)) for name in names]
        schema = None if self.schema is None else quoted_name(self.schema, True)
        return table(quoted_name(self.table, True), *known, schema=schema), known[0]

    def text_of(self, statement: ClauseElement) -> str:
        """A statement or condition as this database writes it, with ``:name`` for each parameter."""
        make: Any = make_url(self.full).get_dialect()
        dialect = make(paramstyle="named")
        return " ".join(str(statement.compile(dialect=dialect)).split())

    def _named(self) -> str:
        return f"{self.table!r} of {self.url}"


@dataclass(frozen=True)
class Range:
    """Which values of a column are meant: from ``lower`` on, below ``upper``, each in a tuple of one; or NULL.

    Without either end ``null`` says whether it is NULL, is not, or (None) may be.
    """

    lower: tuple[Any] | None = None
    upper: tuple[Any] | None = None
    null: bool | None = None

    def condition(self, key: ColumnClause[Any]) -> ColumnElement[bool]:
        """The condition for a statement, its values without a type of ours: they are compared as the column's."""
        found: list[ColumnElement[bool]] = []
        if self.null is not None:
            found.append(key.is_(None) if self.null else key.is_not(None))
        if self.lower is not None:
            found.append(key >= bindparam("lower", self.lower[0], type_=NullType()))
        if self.upper is not None:
            found.append(key < bindparam("upper", self.upper[0], type_=NullType()))
        return and_(true(), *found)

    @property
    def parameters(self) -> dict[str, Any]:
        """The values of the condition, by name."""
        ends = (("lower", self.lower), ("upper", self.upper))
        return {name: end[0] for name, end in ends if end is not None}


def counting(source: Source) -> Select[Any]:
    """The statement that counts all rows, and those whose column is not NULL."""
    whole, key = source.of_table()
    counts: list[Any] = [func.count(), func.count(key)]
    return select(*counts).select_from(whole)


def looking(source: Source, rows: int) -> Select[Any]:
    """The statement that finds a value for each ``rows`` rows, with how many rows are less than it plus one."""
    whole, key = source.of_table()
    number, place = func.row_number().over(order_by=key), func.rank().over(order_by=key)
    value = cast(key, Double) if source.real else key  # a single one is told exactly as a double only
    ranked = select(value.label("value"), number.label("number"), place.label("place")).where(key.is_not(None))
    of = ranked.select_from(whole).subquery("ranked")
    return (
        select(of.c.value, of.c.place)
        .where((of.c.number - literal_column("1")) % literal_column(f"{rows:d}") == literal_column("0"))
        .order_by(of.c.number)
    )


def reading(source: Source, which: Range, columns: Sequence[str] | None = None) -> Select[Any]:
    """The statement that reads some rows in the column's order."""
    whole, key = source.of_table(columns or ())
    names: list[Any] = [literal_column("*")] if columns is None else [whole.c[one] for one in columns]
    return select(*names).select_from(whole).where(which.condition(key)).order_by(key)


def counted(source: Source, connection: Connection) -> tuple[int, int]:
    """All rows, and those whose column is not NULL."""
    row = connection.execute(counting(source)).one()
    return int(row[0]), int(row[1])


def quantiles(source: Source, connection: Connection, rows: int) -> list[tuple[Any, int]]:
    """Values of the column in its order, one for each ``rows`` rows, each with the number of rows below it.

    No two are the same to the database, whatever it takes for the same.
    """
    found: list[tuple[Any, int]] = []
    for value, place in connection.execute(looking(source, rows)):
        if not found or found[-1][1] != place - 1:
            found.append((value, int(place) - 1))
    return found


def frame_of(
    source: Source, which: Range, columns: Sequence[str] | None, options: Mapping[str, Any]
) -> pandas.DataFrame:
    """The rows in a range, as a DataFrame."""
    import pandas

    with source.connected() as connection:
        try:
            found: pandas.DataFrame = pandas.read_sql_query(reading(source, which, columns), connection, **options)
        except pandas.errors.DatabaseError as error:
            raise error.__cause__ or error from None
    return found


def _url(who: str, given: Any) -> URL:
    try:
        url = given.url if isinstance(given, Engine) else make_url(given)
        url.get_dialect()
    except (ArgumentError, NoSuchModuleError, AttributeError):
        raise InputError(
            f"{who} needs the URL of a database or an SQLAlchemy engine, for example 'postgresql://labdb/sales'"
        ) from None
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            raise InputError(f"{who}: an SQLite database in memory is seen by this process only; keep it in a file")
        url = url.set(database=os.path.abspath(url.database))
        if not os.path.exists(str(url.database)):
            raise InputError(f"{who}: there is no file {url.database}")
    return url


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    if not names:
        return "there are none"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"there are {', '.join(names[:_SHOWN])}{more}"
