"""Questions in SQL over what the cluster knows and over frames of the notebook: DuckDB, in memory, reading only.

The tables, of all jobs.  ``seconds`` are numbers, times are in UTC; whole tables are read, and only those that a
query names:

* ``nodes``, ``jobs``: the columns of ``nc.nodes(all=True)`` and ``nc.jobs()``;
* ``partitions``: job, name, step, partition, key, state, node, attempt, items, failed, exit_code, message, seconds,
  progress, claimed, ended;
* ``attempts``: job, name, step, partition, attempt, node, outcome, message, seconds, peak_memory, claimed, ended;
* ``events``, a row for each partition that one tells of: time, phase, job, name, step, partition, attempt, node,
  detail;
* ``logs``: job, name, step, partition, attempt, text;
* ``results``, a row for each item of what is final: job, name, step, item, partition, node, attempt, seconds, error,
  message, value.  Values are texts as they are, or JSON (``value::DOUBLE``, ``value->>'$.key'``).  They are checked and
  unpickled, as by ``frame()``, only for a query that names ``value`` or says ``*``; else the column is not there.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb

from nbcluster import frames
from nbcluster.errors import InputError
from nbcluster.store import asking

if TYPE_CHECKING:
    import pandas as pd

    from nbcluster.api import Cluster

_LONGEST_VALUE = 100_000
"""Letters of a value's text that a result has in SQL."""

RESULT_COLUMNS = (
    "job", "name", "step", "item", "partition", "node", "attempt", "seconds", "error", "message", "value",
)  # fmt: skip

# What a colon or a dollar sign means depends on where it stands: not within texts, names, remarks or casts.
_TOKEN = re.compile(
    r"""\bcount\s*\(\s*\*\s*\) | '(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/ | \$(\w*)\$.*?\$\1\$ | ::
        | (?<![\w'"\])}]) [:$] (?P<name>[A-Za-z_]\w*) | (?P<star>\*) | (?P<word>[A-Za-z_]\w*)""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)

_CONFIGURATION: dict[str, Any] = {
    "enable_external_access": "false",  # nothing is read but the tables, and nothing is written at all
    "python_enable_replacements": "false",  # which frames there are, is said below
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "errors_as_json": "true",
}


class Statement(NamedTuple):
    """A query as DuckDB takes it: with ``$name`` for each parameter."""

    text: str
    parameters: frozenset[str]
    words: frozenset[str]
    """The names and stars in it, in lower case."""

    @property
    def names_values(self) -> bool:
        """Whether it asks for the column ``value``, or for all columns."""
        return bool({"value", "*"} & self.words) or "select" not in self.words


def parsed(query: str) -> Statement:
    """Find the parameters ``:name`` and ``$name`` of a query, and its words."""
    names: set[str] = set()
    words: set[str] = set()

    def with_dollar(found: re.Match[str]) -> str:
        if found["name"]:
            names.add(found["name"])
            return f"${found['name']}"
        words.add((found["word"] or found["star"] or found[0].strip('"')).lower())
        return found[0]

    text = _TOKEN.sub(with_dollar, query)
    return Statement(text, frozenset(names), frozenset(words))


def ask(cluster: Cluster, query: str, parameters: Mapping[str, Any], namespace: Callable[[str], Any]) -> pd.DataFrame:
    """Answer a query; ``namespace(name)`` gives the frame that a table's name may mean, or None.

    Raises InputError with one sentence for a query that is wrong, or that would do more than ask.
    """
    if not isinstance(query, str) or not query.strip():
        raise InputError('there is no query; write for example nc.sql("SELECT state, count(*) FROM jobs GROUP BY 1")')
    statement = parsed(query)
    given = {name: value for name, value in parameters.items() if not frames.is_frame(value)}
    own = {name: value for name, value in parameters.items() if frames.is_frame(value)}
    connection = duckdb.connect(":memory:", config=_CONFIGURATION)
    try:
        connection.execute("SET TimeZone = 'UTC'; SET lock_configuration = true")
        _check_kind(connection, statement)
        _check_parameters(statement, given)

        def table(name: str) -> Any:
            found = own[name] if name in own else _table(cluster, name, statement, namespace)
            if found is None:
                raise InputError(f"SQL: there is no table {name}; there are {', '.join([*_TABLES, *own])}{_OF_YOURS}")
            return found

        return _answered(connection, statement, given, table)
    except duckdb.Error as error:
        raise InputError(_sentence(error, query)) from None
    finally:
        connection.close()


_OF_YOURS = ", and frames by the names of their variables"


def _answered(
    connection: duckdb.DuckDBPyConnection, statement: Statement, given: Mapping[str, Any], table: Callable[[str], Any]
) -> pd.DataFrame:
    """Run the query; whatever table it turns out to miss is fetched, and only that."""
    bound = {name: given[name] for name in statement.parameters}
    fetched: set[str] = set()
    while True:
        try:
            found = connection.execute(statement.text, bound)
            break
        except duckdb.CatalogException as error:
            name = _missing_table(error)
            if name is None or name in fetched:
                raise
            connection.register(name, table(name))
            fetched.add(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of pandas at DuckDB, which makes the frame
        answer: pd.DataFrame = found.df()
    kinds = [str(column[1]) for column in found.description]
    return frames.whole_numbers(answer, [place for place, kind in enumerate(kinds) if kind in _WHOLE_KINDS])


# DuckDB makes these floats where a value is missing, and sums of whole numbers always.
_WHOLE_KINDS = {"NUMBER", "HUGEINT", "BIGINT", "INTEGER", "UBIGINT", "SMALLINT", "TINYINT"}


def _missing_table(error: duckdb.Error) -> str | None:
    told = _told(error)
    missing = told.get("error_subtype") == "MISSING_ENTRY" and told.get("type") == "Table"
    return str(told["name"]) if missing else None


def _check_kind(connection: duckdb.DuckDBPyConnection, statement: Statement) -> None:
    """Raises InputError for all that is not one question."""
    found = connection.extract_statements(statement.text)
    if len(found) != 1:
        raise InputError(f"SQL: there are {len(found)} statements; write one question at a time")
    kind = found[0].type.name
    if kind == "MULTI":
        raise InputError(
            "SQL: a PIVOT needs to be told its columns here: PIVOT ... ON state IN ('COMPLETED', 'FAILED')"
        )
    if kind not in ("SELECT", "EXPLAIN"):
        raise InputError(f"SQL: {kind} is refused: queries only ask, they change nothing; write a SELECT")


def _check_parameters(statement: Statement, given: Mapping[str, Any]) -> None:
    missing = sorted(statement.parameters - set(given))
    if missing:
        name = missing[0]
        raise InputError(f'SQL: the query has :{name}, and nothing was given for it; write sql("...", {name}=...)')


def _told(error: duckdb.Error) -> dict[str, Any]:
    """What DuckDB says of an error: JSON behind its kind."""
    try:
        told: dict[str, Any] = json.loads(str(error).partition(": ")[2])
    except ValueError:
        return {}
    return told


def _sentence(error: duckdb.Error, query: str) -> str:
    """DuckDB's complaint in one sentence with its place in the query."""
    told = _told(error)
    if not told:
        return f"SQL: {' '.join(str(error).split())[:400]}"
    said = str(told["exception_message"]).strip().rstrip("!.").splitlines()
    hint = (
        f" ({said[1][0].lower()}{said[1][1:]})"
        if len(said) > 1 and said[1].startswith(("Candidate bindings", "Did you"))
        else ""
    )
    return f"SQL: {' '.join(said[0].split()).rstrip('!.')[:400]}{hint}{_place(told.get('position'), query)}"


def _place(position: str | None, query: str) -> str:
    if position is None or not position.isdecimal():
        return ""
    # DuckDB counts bytes.
    before = query.encode()[: int(position)].decode(errors="ignore")
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    return f", at line {line}, column {column}"


# --- the tables ------------------------------------------------------------------------------------


def _table(cluster: Cluster, name: str, statement: Statement, namespace: Callable[[str], Any]) -> Any:
    """The table of that name: the cluster's, else the notebook's; None when there is none."""
    make = _TABLES.get(name.lower())
    if make is not None:
        return make(cluster, statement)
    found = namespace(name)
    return found if frames.is_frame(found) else None


def _nodes(cluster: Cluster, _statement: Statement) -> pd.DataFrame:
    return cluster.nodes(all=True)


def _jobs(cluster: Cluster, _statement: Statement) -> pd.DataFrame:
    return frames.jobs_frame(cluster.store.views.jobs(running_only=False, limit=10_000_000))


def _partitions(cluster: Cluster, _statement: Statement) -> pd.DataFrame:
    return _typed(cluster.store.asking.partitions(), asking.PARTITION_COLUMNS)


def _attempts(cluster: Cluster, _statement: Statement) -> pd.DataFrame:
    return _typed(cluster.store.asking.attempts(), asking.ATTEMPT_COLUMNS)


def _events(cluster: Cluster, _statement: Statement) -> pd.DataFrame:
    return _typed(list(cluster.store.asking.events()), asking.EVENT_COLUMNS)


def _logs(cluster: Cluster, _statement: Statement) -> pd.DataFrame:
    rows = [(*row[:5], bytes(row[5]).decode("utf-8", "replace")) for row in cluster.store.asking.logs()]
    return _typed(rows, asking.LOG_COLUMNS)


def _results(cluster: Cluster, statement: Statement) -> pd.DataFrame:
    opened = statement.names_values
    rows = list(_result_rows(cluster, opened=opened))
    # What is not opened is not there: a column without values would give wrong answers.
    return _typed(rows, RESULT_COLUMNS if opened else RESULT_COLUMNS[:-1])


def _typed(rows: Sequence[Any], columns: Sequence[str]) -> pd.DataFrame:
    """Rows as a frame; a column of one name has one type in all tables."""

    def of(kind: frozenset[str]) -> list[str]:
        return [column for column in columns if column in kind]

    return frames.table(rows, columns, times=of(_TIMES), whole=of(_WHOLE), numbers=of(_NUMBERS))


_TIMES = frozenset({"time", "claimed", "ended"})
_WHOLE = frozenset({"job", "partition", "attempt", "item", "items", "failed", "peak_memory"})
_NUMBERS = frozenset({"seconds", "progress"})


def _result_rows(cluster: Cluster, *, opened: bool) -> Iterator[tuple[Any, ...]]:
    for job_id, step in cluster.store.asking.ended_steps():
        handle = cluster.job(job_id)
        for item in handle.step(step).final_items(values=opened):
            error = item.error
            about = (
                job_id, handle.name, step, item.index, item.partition, item.node, item.attempt, item.seconds,
                error.error_type if error else None, error.message if error else None,
            )  # fmt: skip
            yield (*about, text_of(item.value) if error is None else None) if opened else about


def text_of(value: Any) -> str | None:
    """A value in SQL: a text as it is, what JSON knows as JSON, everything else as Python shows it."""
    if value is None:
        return None
    if isinstance(value, str):
        return value[:_LONGEST_VALUE]
    try:
        shown = json.dumps(value, default=_plain)
    except (TypeError, ValueError, RecursionError):
        shown = repr(value)
    return shown[:_LONGEST_VALUE]


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy, times and frames as what JSON knows; else how Python shows it."""
    for way in ("item", "tolist", "isoformat", "to_dict"):
        make = getattr(value, way, None)
        if callable(make):
            try:
                return make()
            except (TypeError, ValueError):
                continue  # an array of several has no one item
    return repr(value)


_TABLES: dict[str, Callable[[Cluster, Statement], Any]] = {
    "nodes": _nodes,
    "jobs": _jobs,
    "partitions": _partitions,
    "attempts": _attempts,
    "events": _events,
    "logs": _logs,
    "results": _results,
}
