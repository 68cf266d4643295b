"""A query before it is run: its parameters, and that it only asks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import duckdb

from nbcluster.errors import InputError

# What a colon or a dollar sign means depends on where it stands: not within texts, names, remarks or casts.
_TOKEN = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/ | \$(\w*)\$.*?\$\1\$ | ::
        | (?<![\w'"\])}]) [:$] (?P<name>[A-Za-z_]\w*)""",
    re.VERBOSE | re.DOTALL,
)

_EXPLAIN = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*EXPLAIN\b\s*(?:ANALYZE\b\s*|\([^()]*\)\s*)*", re.DOTALL | re.IGNORECASE
)

_ASKING = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
"""Parts of a statement that only ask.  DuckDB also runs INSERT and COPY within WITH."""

_TABLE_FUNCTIONS = {
    "range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree", "glob", "summary",
    "read_csv", "read_csv_auto", "sniff_csv", "read_parquet", "parquet_scan", "parquet_metadata", "parquet_schema",
    "parquet_file_metadata", "parquet_kv_metadata", "read_json", "read_json_auto", "read_json_objects",
    "read_json_objects_auto", "read_ndjson", "read_ndjson_auto", "read_ndjson_objects", "read_ndjson_objects_auto",
    "read_text", "read_blob", "histogram", "histogram_values", "duckdb_functions", "duckdb_types", "duckdb_keywords",
    "icu_calendar_names", "pg_timezone_names", "pragma_version",
}  # fmt: skip
"""Functions in FROM that make or read rows.  Others set options, write logs to files or run texts as statements."""


class Statement(NamedTuple):
    """A query as DuckDB takes it: with ``$name`` for each parameter."""

    text: str
    parameters: frozenset[str]

    @property
    def question_at(self) -> int:
        """Where the question itself begins: behind EXPLAIN, or at 0."""
        found = _EXPLAIN.match(self.text)
        return found.end() if found else 0


def parsed(query: str) -> Statement:
    """Find the parameters ``:name`` and ``$name`` of a query."""
    names: set[str] = set()

    def with_dollar(found: re.Match[str]) -> str:
        if not found["name"]:
            return found[0]
        names.add(found["name"])
        return f"${found['name']}"

    text = _TOKEN.sub(with_dollar, query)
    return Statement(text, frozenset(names))


def check(connection: duckdb.DuckDBPyConnection, statement: Statement) -> None:
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
        raise _refusal(kind)
    _check_parts(connection, statement.text[statement.question_at :])


def check_parameters(statement: Statement, given: Mapping[str, Any]) -> None:
    """Raises InputError for a parameter that nothing was given for."""
    missing = sorted(statement.parameters - set(given))
    if missing:
        name = missing[0]
        raise InputError(
            f'SQL: the query has :{name}, and nothing was given for it; write sql("...", {name}=...), '
            f"or --param {name}=... on a command line"
        )


def bindable(value: Any) -> Any:
    """A parameter's value as DuckDB takes it: numbers, arrays and columns of numpy and pandas as Python's own."""
    listed = getattr(value, "tolist", None)
    return listed() if callable(listed) else value


def _check_parts(connection: duckdb.DuckDBPyConnection, question: str) -> None:
    """Raises InputError for a question with a part that would do more than ask, as DuckDB itself reads it."""
    (text,) = connection.execute("SELECT json_serialize_sql(CAST(? AS VARCHAR))", [question]).fetchone() or ("{}",)
    tree = json.loads(text)
    if tree.get("error", True):
        raise InputError("SQL: only questions can be asked and explained here; write a SELECT")
    for part in _parts(tree):
        kind = str(part.get("type"))
        if kind.endswith("_NODE") and kind not in _ASKING:
            raise _refusal(kind.removesuffix("_NODE").removesuffix("_QUERY"))
        function = part.get("function")
        if kind == "TABLE_FUNCTION" and isinstance(function, dict):
            name = str(function.get("function_name", "")).lower()
            if name not in _TABLE_FUNCTIONS:
                raise InputError(
                    f"SQL: {name}() is refused in FROM: queries only ask; there are read_parquet, read_csv, "
                    "read_json, glob, range, unnest and others that only read"
                )


def _parts(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
    for below in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _parts(below)


def _refusal(kind: str) -> InputError:
    return InputError(f"SQL: {kind} is refused: queries only ask, they change nothing; write a SELECT")
