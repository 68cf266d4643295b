"""Tables of databases, by ranges of a column's values; read where the parts arrive."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from nbcluster.errors import InputError
from nbcluster.partitioners.base import Nodes, Part, Partitioner, positive, several
from nbcluster.partitioners.handle import Handle

if TYPE_CHECKING:
    import pandas

    from nbcluster.partitioners.database import Range, Source

WHO = "nb.keys"


@dataclass(frozen=True)
class KeysPart(Handle):
    """The rows of a table whose column is in a range, or NULL; ``read()`` gives them.

    ``rows`` is how many there were when it was split.
    """

    settled: ClassVar[bool] = False

    source: Source
    which: Range
    rows: int

    @property
    def url(self) -> str:
        """The database's URL without its password."""
        return self.source.url

    @property
    def table(self) -> str:
        """The table's name, after its schema's."""
        schema = "" if self.source.schema is None else f"{self.source.schema}."
        return f"{schema}{self.source.table}"

    @property
    def where(self) -> str:
        """The condition in SQL, with ``:lower`` and ``:upper`` for ``parameters``; ``1 = 1`` for all rows."""
        return self.source.text_of(self.which.condition(self.source.of_table()[1]))

    @property
    def parameters(self) -> dict[str, Any]:
        """The values of ``where``, as the database gave them."""
        return self.which.parameters

    @property
    def key(self) -> str:
        name, lower, upper = self.source.column, self.which.lower, self.which.upper
        if lower is None and upper is None:
            return f"{name} is NULL" if self.which.null else f"every {name}"
        if lower is None:
            return f"{name} < {upper[0]}" if upper else name
        return f"{name} >= {lower[0]}" if upper is None else f"{lower[0]} <= {name} < {upper[0]}"

    def __repr__(self) -> str:
        return f"<{self.table}, {self.key}: {several(self.rows, 'row')}, {self.url}>"

    def identity(self) -> Any:
        which = self.which
        return "keys", self.url, self.table, self.source.column, which.lower, which.upper, which.null, self.rows

    def statement(self, columns: Iterable[str] | None = None) -> str:
        """The statement that ``read`` executes, with ``parameters``."""
        from nbcluster.partitioners.database import reading

        return self.source.text_of(reading(self.source, self.which, _names(columns)))

    def read(
        self, columns: Iterable[str] | None = None, *, parse_dates: Any = None, dtype: Any = None
    ) -> pandas.DataFrame:
        """The rows as a DataFrame, all columns or the named ones, in the order of the column they were split by.

        ``parse_dates`` and ``dtype`` as in ``pandas.read_sql``.  Raises InputError in one sentence for what the
        database refuses, FileNotSeen for an SQLite file that is not here.
        """
        from nbcluster.partitioners.database import frame_of

        return frame_of(self.source, self.which, _names(columns), {"parse_dates": parse_dates, "dtype": dtype})


@dataclass(frozen=True)
class Keys(Partitioner):
    """A table; the function gets a handle with ``.read()``."""

    source: Source
    rows: int
    partitions: int | None = None
    _found: list[str] = field(default_factory=list, compare=False, repr=False)

    def split(self, _nodes: Nodes) -> Iterator[KeysPart]:
        from nbcluster.partitioners.database import counted, quantiles

        with self.source.connected() as connection:
            source = self.source.found(connection)
            total, filled = counted(source, connection)
            rows = self.rows if self.partitions is None else max(1, -(-filled // self.partitions))
            bounds = quantiles(source, connection, rows)[1:]
        parts = list(_ranges(source, bounds, total, filled))
        self._found[:] = [f"{several(len(parts), 'part')} of {several(total, 'row')} when it was split"]
        yield from parts

    def in_chunks(self, chunk: int) -> Keys:
        return replace(self, rows=chunk)

    def in_partitions(self, partitions: int) -> Keys:
        return replace(self, partitions=partitions)

    def identity(self, parts: Sequence[Part]) -> Any:
        return "keys", self.source.url, self.source.table, self.source.column, [part.value.identity() for part in parts]

    def nothing(self) -> str:
        return f"{WHO}: table {self.source.table!r} has no rows: there is nothing to map"

    def __repr__(self) -> str:
        how = f"{several(self.rows, 'row')} a part" if self.partitions is None else several(self.partitions, "part")
        found = f"; {self._found[0]}" if self._found else ""
        return f"keys({self.source.url!r}, {self.source.table!r}, {self.source.column!r}): {how}{found}"

    def __str__(self) -> str:
        from nbcluster.partitioners.database import Range, counting, looking, reading

        shown = {
            "counts": counting(self.source),
            "looks": looking(self.source, self.rows),
            "nodes read": reading(self.source, Range(("",), ("",))),
            "and": reading(self.source, Range(null=True)),
        }
        return "\n".join([repr(self), *(f"  {what:12}{self.source.text_of(one)}" for what, one in shown.items())])


def keys(url: Any, table: str, column: str, rows: int = 50_000) -> Keys:
    """Split a table of a database by ranges of a column's values, of about ``rows`` rows each.

    ``url`` is a URL as SQLAlchemy reads it, or an engine, of which the URL counts; nodes use the same one.  The ends of
    the ranges are values that are in the table, compared by the database itself: any type with an order
    will do, equal values stay together, NULLs are a part of their own, and neither the first range nor
    the last has an outer end, so that no row is in two parts or in none.  An index on the column makes it quick.

    The function gets a handle: ``part.read()`` or ``part.read(columns=[...])`` gives a DataFrame; ``part.where`` with
    ``part.parameters``, ``part.statement()``, ``part.table`` and ``part.url`` are for statements of one's own.

    A password in the URL travels with the parts, in the cluster's database too; better leave it out and let
    each node find it (``~/.pgpass``, ``PGPASSWORD``).  It is never shown.  Raises InputError.
    """
    from nbcluster.partitioners.database import Source

    return Keys(Source.of(WHO, url, table, column), positive(rows, "rows") or 1)


def _ranges(source: Source, bounds: Sequence[tuple[Any, int]], total: int, filled: int) -> Iterator[KeysPart]:
    """The parts between bounds, each with how many rows are below it; the outer ones are open."""
    from nbcluster.partitioners.database import Range

    ends = [(None, 0), *(((value,), below) for value, below in bounds), (None, filled)]
    for (lower, first), (upper, last) in itertools.pairwise(ends) if filled else ():
        some_are_null = False if lower is upper is None and total > filled else None
        yield KeysPart(source, Range(lower, upper, some_are_null), max(0, last - first))
    if total > filled:
        yield KeysPart(source, Range(null=True), total - filled)


def _names(columns: Iterable[str] | None) -> list[str] | None:
    if columns is None:
        return None
    names = [columns] if isinstance(columns, str) else list(columns)
    if not names:
        raise InputError(f"{WHO}: columns= names none; leave it out to read all of them")
    return names
