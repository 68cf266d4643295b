"""DuckDB as partitioners use it: it looks into files in the kernel, and reads them on a node."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nbcluster.errors import InputError

if TYPE_CHECKING:
    import pandas
    from duckdb import DuckDBPyConnection

_CONFIGURATION: dict[str, Any] = {
    "python_enable_replacements": "false",  # a name in a query is a file's, never a variable's
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


@contextmanager
def opened(who: str, threads: int | None = None) -> Iterator[DuckDBPyConnection]:
    """A DuckDB of one's own, with nothing in it.

    A node reads with one thread: it has a slot for each core, and then the order of rows is
    the file's.  DuckDB's complaints become InputError, in their first line.
    """
    import duckdb

    connection = duckdb.connect(":memory:", config=_CONFIGURATION)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        if threads is not None:
            connection.execute(f"SET threads = {threads:d}")
        yield connection
    except duckdb.Error as error:
        hint = "; name files in quotes: FROM 'data/*.parquet'" if isinstance(error, duckdb.CatalogException) else ""
        place = _place(error) if isinstance(error, duckdb.ParserException) else ""
        raise InputError(f"{who}: {first_line(error)}{place}{hint}") from error
    finally:
        connection.close()


def frame_of(found: DuckDBPyConnection) -> pandas.DataFrame:
    """What a statement found, as a DataFrame."""
    with warnings.catch_warnings():
        # DuckDB calls pandas in ways that newer pandas warn of; nobody who reads a file can do anything about it.
        warnings.simplefilter("ignore", DeprecationWarning)
        return found.df()


def first_line(error: Exception) -> str:
    """What DuckDB says, without the kind of error and the statement."""
    line = str(error).split("\n", 1)[0]
    return line.split(" Error: ", 1)[-1]


def _place(error: Exception) -> str:
    """Where a query is wrong, as DuckDB shows it: a line of it, and below that a mark; of a long line only a piece."""
    shown = re.search(r"^LINE (\d+): (.*)\n( *)\^", str(error), re.MULTILINE)
    if shown is None:
        return ""
    column = len(shown[3]) - len(f"LINE {shown[1]}: ") + 1
    return f", at line {shown[1]}" + ("" if shown[2].startswith("...") else f", column {column}")


def quoted(name: str) -> str:
    """A column's name as it is written in a statement."""
    return '"' + name.replace('"', '""') + '"'


def literally(path: str) -> str:
    """A path as a pattern that matches nothing but itself."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in path)
