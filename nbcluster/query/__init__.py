"""Questions in SQL over what the cluster knows, over frames of the notebook and over files: DuckDB, only reading.

The tables, of all jobs.  ``seconds`` are numbers, times are in UTC; only the tables and the columns that a query needs
are read, and where it says ``job = 3``, ``name = '...'``, ``state = 'FAILED'`` and the like, only those rows:

* ``nodes``, ``jobs``: the columns of ``nc.nodes(all=True)`` and ``nc.jobs()``;
* ``partitions``: job, name, step, partition, key, state, node, attempt, items, failed, exit_code, message, seconds,
  progress, claimed, ended;
* ``attempts``: job, name, step, partition, attempt, node, outcome, message, seconds, peak_memory, claimed, ended;
* ``events``, a row for each partition that one tells of: time, phase, job, name, step, partition, attempt, node,
  detail;
* ``logs``: job, name, step, partition, attempt, text;
* ``results``, a row for each item of what is final: job, name, step, item, partition, node, attempt, seconds, error,
  message, value.  Values are texts as they are, or JSON (``value::DOUBLE``, ``value->>'$.key'``; a frame is an object
  of its columns).  They are checked and unpickled, as by ``frame()``, only for a query that needs ``value``.

Besides these: every DataFrame that the caller can name, every DataFrame given as a parameter, and files:
``FROM 'data/*.parquet'``, ``FROM read_csv('flights.csv')``, ``FROM read_json(...)``, relative to the working directory.
Nothing is written, no option is set and no extension is loaded, whatever a query says.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import duckdb

from nbcluster import frames
from nbcluster.errors import InputError
from nbcluster.query import complaints, tables, wanted
from nbcluster.query.statement import Statement, check, check_parameters, parsed

if TYPE_CHECKING:
    import pandas as pd

    from nbcluster.api import Cluster

__all__ = ["ask", "parsed"]

_CONFIGURATION: dict[str, Any] = {
    "python_enable_replacements": "false",  # which frames there are, is said below
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "errors_as_json": "true",
}
_EXPLAIN = "EXPLAIN (FORMAT JSON) "
# What is known about tables without rows must not take them out of a plan.
_PLANNING = "SET TimeZone = 'UTC'; SET disabled_optimizers = 'statistics_propagation'"
_RUNNING = "RESET disabled_optimizers; SET lock_configuration = true"


def ask(cluster: Cluster, query: str, parameters: Mapping[str, Any], namespace: Callable[[str], Any]) -> pd.DataFrame:
    """Answer a query; ``namespace(name)`` gives the frame that a table's name may mean, or None.

    Raises InputError with one sentence for a query that is wrong, or that would do more than ask.
    """
    if not isinstance(query, str) or not query.strip():
        raise InputError('there is no query; write for example nc.sql("SELECT state, count(*) FROM jobs GROUP BY 1")')
    # Only what does not fit in memory goes there, and it goes with the connection.
    spilled = os.path.join(tempfile.gettempdir(), f"nbcluster-sql-{os.getpid()}")
    connection = duckdb.connect(":memory:", config=_CONFIGURATION | {"temp_directory": spilled})
    question = _Question(connection, cluster, parsed(query), parameters, namespace)
    try:
        return question.answer()
    except duckdb.Error as error:
        raise InputError(complaints.sentence(error, query, question.ahead)) from None
    finally:
        connection.close()


class _Question:
    """One query on its way through DuckDB."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        cluster: Cluster,
        statement: Statement,
        parameters: Mapping[str, Any],
        namespace: Callable[[str], Any],
    ) -> None:
        self._connection = connection
        self._cluster = cluster
        self._statement = statement
        self._namespace = namespace
        self._given = {name: value for name, value in parameters.items() if not frames.is_frame(value)}
        self._own = {name: value for name, value in parameters.items() if frames.is_frame(value)}
        self.ahead = 0
        """Bytes by which what DuckDB has been given is ahead of the query."""

    def answer(self) -> pd.DataFrame:
        """Check, plan, read what is needed, run."""
        self._connection.execute(_PLANNING)
        check(self._connection, self._statement)
        check_parameters(self._statement, self._given)
        needs = self._needs()
        for name, needed in needs.items():
            if needed is not None:
                self._connection.execute(f'DROP TABLE "{name}"')
                tables.fill(self._connection, self._cluster, name, needed)
        self._connection.execute(_RUNNING)
        try:
            return _frame(self._run(self._statement.text))
        except duckdb.Error as error:
            if tables.NOT_READ not in str(error):
                raise
        for name, needed in needs.items():  # the plan was misread: slow, and right
            if needed is not None:
                tables.fill(self._connection, self._cluster, name, wanted.everything(tables.TABLES[name].columns))
        return _frame(self._run(self._statement.text))

    def _needs(self) -> dict[str, wanted.Wanted | None]:
        """What the plan of the question needs of the cluster's large tables; all others are there afterwards."""
        start = self._statement.question_at
        self.ahead = len(_EXPLAIN) - len(self._statement.text[:start].encode())
        outlined: dict[str, Any] = {}
        met: set[str] = set()
        while True:
            try:
                told = self._run(_EXPLAIN + self._statement.text[start:]).fetchall()
                break
            except duckdb.CatalogException as error:
                name = complaints.missing_table(error)
                if name is None or name in met:
                    raise
                met.add(name)
                if self._provide(name):
                    outlined[name.lower()] = tables.TABLES[name.lower()].columns
        self.ahead = 0
        return wanted.of_plan(told[0][1], outlined)

    def _provide(self, name: str) -> bool:
        """Have a table of that name; whether it is only an outline so far.  Raises InputError when there is none."""
        known = name.lower()
        frame = self._own.get(name)
        if frame is None and known in tables.TABLES:
            tables.outline(self._connection, known)
            return True
        if frame is None:
            make = tables.FRAMES.get(known)
            frame = self._namespace(name) if make is None else make(self._cluster)
        if not frames.is_frame(frame):
            there = ", ".join([*tables.FRAMES, *tables.TABLES, *self._own])
            raise InputError(
                f"SQL: there is no table {name}; there are {there}, frames by the names of their variables, and files "
                "by their paths in quotation marks, as in FROM 'data/*.parquet'"
            )
        self._connection.register(name, frame)
        return False

    def _run(self, text: str) -> duckdb.DuckDBPyConnection:
        bound = {name: self._given[name] for name in self._statement.parameters}
        return self._connection.execute(text, bound)


def _frame(found: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of pandas at DuckDB, which makes the frame
        answer: pd.DataFrame = found.df()
    kinds = [str(column[1]) for column in found.description]
    return frames.whole_numbers(answer, [place for place, kind in enumerate(kinds) if kind in _WHOLE_KINDS])


# DuckDB makes these floats where a value is missing, and sums of whole numbers always.
_WHOLE_KINDS = {"NUMBER", "HUGEINT", "BIGINT", "INTEGER", "UBIGINT", "SMALLINT", "TINYINT"}
