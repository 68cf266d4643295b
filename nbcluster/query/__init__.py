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

Besides these: every DataFrame that the caller can name, every DataFrame given as a parameter, your own tables in the
cluster's database (those that ``into=`` fills; of them too only the columns that are needed), and files:
``FROM 'data/*.parquet'``, ``FROM read_csv('flights.csv')``, ``FROM read_json(...)``, relative to the working directory.
Nothing is written, no option is set and no extension is loaded, whatever a query says.
"""

from __future__ import annotations

import os
import re
import secrets
import tempfile
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import duckdb

from nbcluster import frames
from nbcluster.errors import InputError
from nbcluster.query import complaints, tables
from nbcluster.query.statement import Statement, bindable, check, check_parameters, parsed
from nbcluster.query.wanted import of_plan

if TYPE_CHECKING:
    import pandas as pd

    from nbcluster.api import Cluster
    from nbcluster.store.stepnames import Wanted

__all__ = ["ask", "parsed"]

_CONFIGURATION: dict[str, Any] = {
    "python_enable_replacements": "false",  # which frames there are, is said below
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
_EXPLAIN = "EXPLAIN (FORMAT JSON) "
# What is known about tables without rows must not take them out of a plan.
_PLANNING = "SET errors_as_json = true; SET TimeZone = 'UTC'; SET disabled_optimizers = 'statistics_propagation'"
_RUNNING = "RESET disabled_optimizers; SET lock_configuration = true"

_LISTING = re.compile(r"\s*SHOW\s+(ALL\s+)?TABLES\b", re.IGNORECASE)


def ask(cluster: Cluster, query: str, parameters: Mapping[str, Any], namespace: Callable[[str], Any]) -> pd.DataFrame:
    """Answer a query; ``namespace(name)`` gives the frame that a table's name may mean, or None.

    Raises InputError with one sentence for a query that is wrong, or that would do more than ask.
    """
    if not isinstance(query, str) or not query.strip():
        raise InputError('there is no query; write for example nc.sql("SELECT state, count(*) FROM jobs GROUP BY 1")')
    # Only what does not fit in memory goes there, and it goes with the connection.
    spilled = os.path.join(tempfile.gettempdir(), f"nbcluster-sql-{secrets.token_hex(8)}")
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
        self._given = {name: bindable(value) for name, value in parameters.items() if not frames.is_frame(value)}
        self._own = {name: value for name, value in parameters.items() if frames.is_frame(value)}
        self._outlined: dict[str, tables.Table] = {}
        self.ahead = 0
        """Bytes by which what DuckDB has been given is ahead of the query."""

    def answer(self) -> pd.DataFrame:
        """Check, plan, read what is needed, run."""
        self._connection.execute(_PLANNING)
        check(self._connection, self._statement)
        check_parameters(self._statement, self._given)
        needs = self._needs()
        for name, needed in needs.items():
            self._connection.execute(f"DROP TABLE {tables.quoted(name)}")
            self._fill(name, needed)
        self._connection.execute(_RUNNING)
        try:
            return _frame(self._run(self._statement.text))
        except duckdb.Error as error:
            if tables.NOT_READ not in str(error):
                raise
        for name in needs:  # the plan was misread: slow, and right
            self._fill(name, None)
        return _frame(self._run(self._statement.text))

    def _fill(self, name: str, needed: Wanted | None) -> None:
        tables.fill(self._connection, name, self._outlined[name], self._cluster, needed)

    def _needs(self) -> dict[str, Wanted]:
        """What the plan of the question needs of the large tables; what it does not need are outlines afterwards."""
        start = self._statement.question_at
        self.ahead = len(_EXPLAIN) - len(self._statement.text[:start].encode())
        met: set[str] = set()
        if _LISTING.match(self._statement.text, start):
            met.update(tables.FRAMES, tables.TABLES)
            for name in sorted(met):
                self._provide(name)
        while True:
            try:
                told = self._run(_EXPLAIN + self._statement.text[start:]).fetchall()
                break
            except duckdb.CatalogException as error:
                missing = complaints.missing_table(error)
                if missing is None or missing in met:
                    raise
                met.add(missing)
                self._provide(missing)
        self.ahead = 0
        columns = {name: table.columns for name, table in self._outlined.items()}
        return {name: needed for name, needed in of_plan(told[0][1], columns).items() if needed is not None}

    def _provide(self, name: str) -> None:
        """Have a table of that name: a frame as it is, others as outlines.  Raises InputError when there is none."""
        frame, table = self._found(name)
        if table is not None:
            self._outlined[name.lower()] = table
            tables.outline(self._connection, name.lower(), table)
        elif frame is not None:
            self._connection.register(name, frame)
        else:
            there = ", ".join([*tables.FRAMES, *tables.TABLES, *self._own])
            raise InputError(
                f"SQL: there is no table {name}; there are {there}, frames by the names of their variables, your own "
                "tables in this database, and files by their paths in quotation marks, as in FROM 'data/*.parquet'"
            )

    def _found(self, name: str) -> tuple[Any, tables.Table | None]:
        """What a name means, first wins: a frame that was given, a table of ours, a variable, a table of theirs."""
        known = name.lower()
        if name in self._own:
            return self._own[name], None
        if known in tables.FRAMES:
            return tables.FRAMES[known](self._cluster), None
        if known in tables.TABLES:
            return None, tables.TABLES[known]
        frame = self._namespace(name)
        return (frame, None) if frames.is_frame(frame) else (None, tables.own(self._cluster, name))

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
