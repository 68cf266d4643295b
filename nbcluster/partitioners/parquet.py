"""Parquet files, whole or by row groups; read where they arrive."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbcluster.errors import InputError
from nbcluster.partitioners.base import Nodes, Part, Partitioner, several
from nbcluster.partitioners.duck import frame_of, literally, opened, quoted
from nbcluster.partitioners.handle import Handle
from nbcluster.partitioners.paths import Patterns, names_of
from nbcluster.partitioners.sight import SeenFile

if TYPE_CHECKING:
    import pandas
    from duckdb import DuckDBPyConnection

WHO = "nb.parquet"
_PER = ("file", "row_group")
_NUMBER = "file_row_number"
"""The name under which DuckDB gives the place of a row in its file."""


@dataclass(frozen=True)
class ParquetPart(Handle):
    """Rows ``first`` to ``first + rows - 1`` of a Parquet file, counted from 0; ``read()`` gives them.

    ``group`` is the number of the row group, None for a whole file.
    """

    file: SeenFile
    name: str
    first: int
    rows: int
    group: int | None = None

    @property
    def path(self) -> str:
        """The file's absolute path."""
        return self.file.path

    @property
    def key(self) -> str:
        return self.name if self.group is None else f"{self.name}#{self.group}"

    def __repr__(self) -> str:
        which = "" if self.group is None else f", row group {self.group}"
        return f"<Parquet {self.path}{which}: {several(self.rows, 'row')}>"

    def identity(self) -> Any:
        return "parquet", self.file.identity(), self.first, self.rows

    def arrive(self) -> ParquetPart:
        self.file.check()
        return self

    def read(self, columns: Iterable[str] | None = None) -> pandas.DataFrame:
        """The rows as a DataFrame with a fresh index, all columns or the named ones, in the file's order.

        Decimals come as float64, what pandas has no type for as objects.  Raises FileNotSeen or FileChanged when
        the file is not what was split, and InputError for a column that it does not have.
        """
        self.file.check()
        with opened(WHO, threads=1) as duck:
            return self._read(duck, columns)

    def _read(self, duck: DuckDBPyConnection, columns: Iterable[str] | None) -> pandas.DataFrame:
        path = literally(self.path)
        known = [row[0] for row in duck.execute("DESCRIBE SELECT * FROM read_parquet(?)", [path]).fetchall()]
        wanted = ", ".join(quoted(name) for name in _chosen(self.path, known, columns))
        if self.group is None:
            return frame_of(duck.execute(f"SELECT {wanted} FROM read_parquet(?)", [path]))
        if _NUMBER in map(str.lower, known):  # the file has a column of this name itself
            rows = [path, self.rows, self.first]
            return frame_of(duck.execute(f"SELECT {wanted} FROM read_parquet(?) LIMIT ? OFFSET ?", rows))
        statement = f"SELECT {wanted} FROM read_parquet(?, {_NUMBER} = true) WHERE {_NUMBER} BETWEEN ? AND ?"
        return frame_of(duck.execute(statement, [path, self.first, self.first + self.rows - 1]))


@dataclass(frozen=True)
class Parquet(Partitioner):
    """Parquet files; the function gets a handle with ``.read()``."""

    patterns: Patterns
    per: str = "file"

    def split(self, _nodes: Nodes) -> Iterator[ParquetPart]:
        seen = self.patterns.files()
        names = names_of([one.path for one in seen])
        found = _look([one.path for one in seen])
        for file, name in zip(seen, names, strict=True):
            groups = found.get(file.path, [])
            if self.per == "file":
                yield ParquetPart(file, name, 0, sum(groups))
                continue
            first = 0
            for group, rows in enumerate(groups):
                if rows:
                    yield ParquetPart(file, name, first, rows, group)
                first += rows

    def in_chunks(self, _chunk: int) -> Partitioner:
        raise InputError(f"chunk= does not fit {WHO}, which makes a part for each {self.per}")

    def in_partitions(self, _partitions: int) -> Partitioner:
        raise InputError(f"partitions= does not fit nb.parquet, which makes a part for each {self.per}")

    def identity(self, parts: Sequence[Part]) -> Any:
        return "parquet", [part.value.identity() for part in parts]

    def nothing(self) -> str:
        return f"nb.parquet: {self.patterns!r} has no row group, for it has no rows: there is nothing to map"

    def __repr__(self) -> str:
        return f"parquet({self.patterns!r}, per={self.per!r}): {self._told()}"

    def _told(self) -> str:
        try:
            parts = list(self.split(Nodes()))
        except InputError as error:
            return str(error)
        files, rows = len({part.path for part in parts}), sum(part.rows for part in parts)
        groups = f"{several(len(parts), 'row group')} in " if self.per == "row_group" else ""
        return f"{groups}{several(files, 'file')}, {several(rows, 'row')}"


def parquet(path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], per: str = "file") -> Parquet:
    """Split Parquet files into a part for each file (``per="file"``) or each row group (``per="row_group"``).

    ``path`` is a path, a glob or a list of them.  The function gets a handle: ``part.read()`` or
    ``part.read(columns=["a", "b"])`` gives a DataFrame, read where the function runs; only the files'
    footers are read here.  It also has ``path``, ``group``, ``first`` and ``rows``.  Raises InputError.
    """
    if per not in _PER:
        raise InputError(f"{WHO}: per is {per!r}; it must be one of {', '.join(map(repr, _PER))}")
    return Parquet(Patterns.of(WHO, path, ".parquet"), per)


def _look(paths: Sequence[str]) -> dict[str, list[int]]:
    """The rows of each row group of each file, from the footers."""
    given = {literally(path): path for path in paths}
    groups: dict[str, list[int]] = {}
    with opened(WHO) as duck:
        found = duck.execute(
            "SELECT file_name, max(row_group_num_rows) FROM parquet_metadata(?) "
            "GROUP BY file_name, row_group_id ORDER BY file_name, row_group_id",
            [list(given)],
        )
        for name, rows in found.fetchall():
            groups.setdefault(given.get(name, name), []).append(rows)
    return groups


def _chosen(path: str, known: Sequence[str], columns: Iterable[str] | None) -> Sequence[str]:
    """The columns to read.  Raises InputError for one that the file does not have."""
    if columns is None:
        return known
    wanted = [columns] if isinstance(columns, str) else list(columns)
    for name in wanted:
        if name not in known:
            raise InputError(f"{WHO}: {path} has no column {name!r}; it has {', '.join(known)}")
    if not wanted:
        raise InputError(f"{WHO}: columns= names none; leave it out to read all of them")
    return wanted
