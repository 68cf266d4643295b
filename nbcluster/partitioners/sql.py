"""A query over Parquet and CSV files, by the values of a column or by rows; read where the parts arrive."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nbcluster.errors import InputError
from nbcluster.partitioners.base import Nodes, Part, Partitioner, positive, several
from nbcluster.partitioners.duck import frame_of, opened, quoted
from nbcluster.partitioners.handle import Handle
from nbcluster.partitioners.sight import SeenPattern

if TYPE_CHECKING:
    import pandas
    from duckdb import DuckDBPyConnection

WHO = "nb.sql"
_MOST = 1_000_000
_LONGEST = 60
_LITERAL = re.compile(r"'((?:[^']|'')+)'|\"((?:[^\"]|\"\")+)\"")
_AS_IT_IS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|VARCHAR|DATE|BOOLEAN|TIMESTAMP|DECIMAL\(\d+,\d+\)")
"""Types whose text is their value: a file need not be read where its statistics say that there is none of it."""


@dataclass(frozen=True)
class Query:
    """A SELECT with the folders that its relative paths and those with ``~`` begin in, and the files that it names."""

    text: str
    folder: str
    home: str
    files: tuple[SeenPattern, ...] = ()

    def as_table(self) -> str:
        """The query to select from."""
        return f"(\n{self.text}\n)"

    def open_in(self, duck: DuckDBPyConnection) -> None:
        """Let paths mean what they meant in the kernel."""
        folder, home = (path.replace("'", "''") for path in (self.folder, self.home))
        duck.execute(f"SET file_search_path = '{folder}'; SET home_directory = '{home}'")

    def check(self) -> None:
        """Raise FileNotSeen or FileChanged unless the files are here as they were."""
        for one in self.files:
            one.check()

    def identity(self) -> Any:
        """The text and the state of its files."""
        return self.text, [one.identity() for one in self.files]


@dataclass(frozen=True)
class SqlPart(Handle):
    """Some rows of what a query gives; ``read()`` gives them.

    They are those whose column ``by`` has the value ``value`` (as text; None is NULL), or ``rows``
    of them from place ``first`` on.
    """

    query: Query
    rows: int
    by: str = ""
    kind: str = ""
    value: str | None = None
    first: int = 0

    @property
    def key(self) -> str:
        if self.by:
            return f"{self.by} is NULL" if self.value is None else f"{self.by} = {self.value}"
        return f"rows {self.first}..{self.first + self.rows - 1}"

    def __repr__(self) -> str:
        return f"<{_short(self.query.text)}, {self.key}: {several(self.rows, 'row')}>"

    def identity(self) -> Any:
        return "sql", self.query.identity(), self.rows, self.by, self.value, self.first

    def arrive(self) -> SqlPart:
        self.query.check()
        return self

    def read(self, columns: Iterable[str] | None = None) -> pandas.DataFrame:
        """The rows as a DataFrame with a fresh index, all columns or the named ones, in the query's order.

        Raises FileNotSeen or FileChanged when the files are not what was split, and InputError for a column
        that the query does not give.
        """
        self.query.check()
        names = [columns] if isinstance(columns, str) else columns
        wanted = "*" if names is None else ", ".join(map(quoted, names))
        if not wanted:
            raise InputError(f"{WHO}: columns= names none; leave it out to read all of them")
        with opened(WHO, threads=1) as duck:
            self.query.open_in(duck)
            condition, values = self._condition()
            return frame_of(duck.execute(f"SELECT {wanted} FROM {self.query.as_table()} {condition}", values))

    def _condition(self) -> tuple[str, list[Any]]:
        if not self.by:
            return "LIMIT ? OFFSET ?", [self.rows, self.first]
        if self.value is None:
            return f"WHERE {quoted(self.by)} IS NULL", []
        if _AS_IT_IS.fullmatch(self.kind):
            return f"WHERE {quoted(self.by)} = CAST(? AS {self.kind})", [self.value]
        return f"WHERE CAST({quoted(self.by)} AS VARCHAR) = ?", [self.value]


@dataclass(frozen=True)
class Sql(Partitioner):
    """A query; the function gets a handle with ``.read()``."""

    query: Query
    by: str | None = None
    rows: int | None = None
    _found: list[str] = field(default_factory=list, compare=False, repr=False)

    def split(self, nodes: Nodes) -> Iterator[SqlPart]:
        query = replace(self.query, files=tuple(_files(self.query)))
        with opened(WHO) as duck:
            query.open_in(duck)
            kinds = {row[0]: row[1] for row in duck.execute(f"DESCRIBE FROM {query.as_table()}").fetchall()}
            if self.by is not None:
                parts = list(_by_values(duck, query, self.by, kinds))
            else:
                parts = list(_by_rows(duck, query, self.rows, Nodes.of(nodes).partitions))
        self._found[:] = [f"{several(len(parts), 'part')} of {several(sum(one.rows for one in parts), 'row')}"]
        yield from parts

    def in_chunks(self, chunk: int) -> Partitioner:
        if self.by is not None:
            raise InputError(f"chunk= does not fit nb.sql(by={self.by!r}), which makes a part for each value")
        return replace(self, rows=chunk)

    def in_partitions(self, partitions: int) -> Partitioner:
        if self.by is not None:
            raise InputError(f"partitions= does not fit nb.sql(by={self.by!r}), which makes a part for each value")
        return replace(self, rows=None)

    def identity(self, parts: Sequence[Part]) -> Any:
        return "sql", self.query.text, [one.identity() for one in _files(self.query)], self.by

    def nothing(self) -> str:
        return f"{WHO}: {_short(self.query.text)} gives no rows: there is nothing to map"

    def __repr__(self) -> str:
        how = (
            f"by {self.by}"
            if self.by is not None
            else f"{several(self.rows, 'row')} a part"
            if self.rows
            else "by rows"
        )
        found = f"; {self._found[0]} when it was split" if self._found else ""
        return f"sql({_short(self.query.text)!r}): {how}{found}"

    def __str__(self) -> str:
        return f"{self!r}\n{self.query.text}"


def sql(query: str, by: str | None = None, rows: int | None = None) -> Sql:
    """Split what a query over files gives: a part for each value of the column ``by``, or for each ``rows`` rows.

    The query is DuckDB's SQL over Parquet and CSV files, named in quotes: ``SELECT * FROM 'data/*.parquet'``.  Only the
    values are looked up here (NULL is a part too); the function gets a handle, and ``part.read()`` or
    ``part.read(columns=[...])`` gives its DataFrame, read where it runs.

    With ``rows``, or with neither (then ``partitions=`` says how many parts), the query must read one source without
    sorting, grouping or joining, because only then is the order of its rows the same everywhere.  Raises InputError.
    """
    if by is not None and rows is not None:
        raise InputError(f"{WHO} takes by= or rows=, not both")
    if by is not None and (not isinstance(by, str) or not by):
        raise InputError(f"{WHO}: by is {by!r:.60}; it must be the name of a column")
    found = Query(_one_select(query), os.getcwd(), os.path.expanduser("~"))
    if "," in found.folder:  # DuckDB takes it for two folders
        raise InputError(
            f"{WHO} does not work in a folder with a comma in its name ({found.folder}); change to another"
        )
    if by is None:
        with opened(WHO) as duck:
            _check_plain(duck, found)
    return Sql(found, by, positive(rows, "rows"))


def _one_select(query: Any) -> str:
    """The text of the one SELECT.  Raises InputError for anything else."""
    if not isinstance(query, str) or not query.strip():
        raise InputError(f"{WHO} needs a query such as \"SELECT * FROM 'data/*.parquet'\", not {query!r:.60}")
    import duckdb

    with opened(WHO) as duck:
        statements = duck.extract_statements(query)
        if len(statements) != 1:
            raise InputError(f"{WHO} takes one SELECT, not {len(statements)} statements")
        if statements[0].type != duckdb.StatementType.SELECT:
            raise InputError(f"{WHO} takes a SELECT, which reads only; this is {statements[0].type.name}")
        return _without_end(statements[0].query)


def _without_end(text: str) -> str:
    """A statement without its semicolon, and without comments behind that."""
    import duckdb

    for place, kind in reversed(duckdb.tokenize(text)):
        if kind != duckdb.token_type.comment:
            return text[:place].rstrip() if text[place] == ";" else text.strip()
    return text.strip()


def _files(query: Query) -> Iterator[SeenPattern]:
    """What the query names in quotes and what is a file."""
    for single, double in dict.fromkeys(_LITERAL.findall(query.text)):
        name = single.replace("''", "'") if single else double.replace('""', '"')
        if "." in name or "/" in name:
            seen = SeenPattern.at(os.path.join(query.folder, os.path.expanduser(name)))
            if seen.count:
                yield seen


def _by_values(duck: DuckDBPyConnection, query: Query, by: str, kinds: dict[str, str]) -> Iterator[SqlPart]:
    if by not in kinds:
        raise InputError(f"{WHO}: the query gives no column {by!r}; it gives {', '.join(kinds)}")
    text = f"CAST({quoted(by)} AS VARCHAR)"
    same = quoted(by) if _AS_IT_IS.fullmatch(kinds[by]) else text
    counts = f"SELECT {same} AS value, count(*) AS number FROM {query.as_table()} GROUP BY ALL"
    found = duck.execute(
        f"SELECT CAST(value AS VARCHAR), number FROM ({counts}) ORDER BY value NULLS LAST LIMIT {_MOST + 1}"
    ).fetchall()
    if len(found) > _MOST:
        raise InputError(f"{WHO}: column {by!r} has more than {_MOST:,} values; split by another, or by rows=")
    for value, rows in found:
        yield SqlPart(query, rows, by, kinds[by], value)


def _by_rows(duck: DuckDBPyConnection, query: Query, rows: int | None, partitions: int) -> Iterator[SqlPart]:
    row = duck.execute(f"SELECT count(*) FROM {query.as_table()}").fetchone()
    total = int(row[0]) if row else 0
    size = rows or max(1, -(-total // partitions))
    for first in range(0, total, size):
        yield SqlPart(query, min(size, total - first), first=first)


def _check_plain(duck: DuckDBPyConnection, query: Query) -> None:
    """Whether the order of rows is that of one source, and so the same on every node.  Raises InputError."""
    row = duck.execute("SELECT json_serialize_sql(?::VARCHAR)", [query.text]).fetchone()
    tree = json.loads(row[0]) if row else {}
    node = (tree.get("statements") or [{}])[0].get("node", {})
    source = node.get("from_table") or {}
    orderly = node.get("type") == "SELECT_NODE" and source.get("type") in ("BASE_TABLE", "TABLE_FUNCTION")
    disorder = [node.get(name) for name in ("modifiers", "group_expressions", "group_sets", "sample")]
    if not orderly or any(disorder) or source.get("sample") or _has_window(tree):
        raise InputError(
            f"{WHO}: by rows goes only with a query that reads one source and neither sorts nor groups nor joins, "
            "because only then all nodes see its rows in the same order; say by= with one of its columns"
        )


def _has_window(tree: Any) -> bool:
    """Whether there is a window function anywhere in a parsed query."""
    if isinstance(tree, dict):
        return tree.get("class") == "WINDOW" or any(map(_has_window, tree.values()))
    return isinstance(tree, list) and any(map(_has_window, tree))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
