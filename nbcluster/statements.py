"""Statements of the user's that wait for the transaction in which their partition becomes COMPLETED.

Where the function runs there is no database: ``nb.current().connection`` takes statements
down, they travel as JSON, and the node executes them.
"""

from __future__ import annotations

import base64
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from nbcluster.errors import InputError, TooLarge, UsageError

VERBS = ("INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "CREATE", "WITH")
"""What a statement may begin with."""

_WRITING = {"INSERT", "UPDATE", "DELETE", "MERGE"}

OURS = frozenset(
    {
        "batch_attempts", "batch_cached", "batch_checkpoints", "batch_cluster", "batch_environments", "batch_events",
        "batch_job_coordination", "batch_job_execution", "batch_job_execution_params", "batch_job_instance",
        "batch_logs", "batch_nodes", "batch_partitions", "batch_payloads", "batch_results", "batch_sequences",
        "batch_shared", "batch_step_execution", "batch_targets",
    }
)  # fmt: skip
"""nbcluster's own tables: nobody else writes them."""

_TOKEN = re.compile(
    r"""(?P<text>[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    |(?P<comment>--[^\n]*|/\*.*?\*/|\s+)
    |"(?P<quoted>(?:[^"]|"")*)"
    |::|:(?P<bound>[^\W\d]\w*)
    |(?P<word>[^\W\d][\w$]*)
    |(?P<end>;)
    |(?P<open>['"]|/\*)
    |.""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with ``:name`` for its parameters, and the values of each time that it is executed."""

    sql: str
    rows: tuple[Mapping[str, Any], ...]


class Recorder:
    """``nb.current().connection``: takes statements down, to be executed when the partition is recorded.

    They are executed in order, after the rows of ``into=``, in the transaction that makes the
    partition COMPLETED: all of them or none, and exactly once, whatever dies meanwhile.  Those of an
    attempt that fails are not executed.  As nothing is executed before the function has returned,
    nothing can be read.  A partition that is COMPLETED executes them again when its user runs it again (``retry``).
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._process = os.getpid()
        self._statements: list[tuple[str, list[dict[str, Any]]]] = []
        self._closed = False

    def __repr__(self) -> str:
        return f"<statements of this partition: {len(self)}>"

    def __len__(self) -> int:
        return len(self._statements)

    def execute(self, sql: Any, parameters: Mapping[str, Any] | list[Mapping[str, Any]] | None = None) -> None:
        """Take down one statement, a str or SQLAlchemy's ``text()``, with ``:name`` for each of ``parameters``.

        A list of them executes it once for each, as ``executemany`` does.
        It begins with INSERT, UPDATE, DELETE, MERGE, REPLACE, CREATE or WITH.  Values are None, bool, int,
        float, str, bytes, dates and times, Decimal, UUID or a number of numpy's; NaN is NULL.
        Raises InputError or TooLarge, and UsageError where the partition cannot take it.
        """
        if isinstance(parameters, list):
            self.executemany(sql, parameters)
        else:
            self._add(sql, [{} if parameters is None else parameters])

    def executemany(self, sql: Any, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take down one statement that is executed once for each of ``rows``."""
        given = list(rows)
        if given:
            self._add(sql, given)

    def close(self) -> bytes:
        """The statements as JSON; no more are taken from now on."""
        self._closed = True
        return json.dumps(self._statements).encode()

    def _add(self, sql: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        if self._closed:
            raise UsageError("connection was used by a thread whose partition has ended")
        if os.getpid() != self._process:
            raise UsageError("connection works in the process that the node started, not in one forked from it")
        sql = sql if isinstance(sql, str) else getattr(sql, "text", sql)  # of SQLAlchemy's text()
        names = checked(sql)
        for row in rows:
            if not isinstance(row, Mapping):
                raise InputError(f"parameters are a dict of names to values, not {type(row).__name__}")
            if odd := sorted(names.symmetric_difference(row), key=str):
                missing = "has no value" if odd[0] in names else "is not in the statement"
                raise InputError(f"parameter :{odd[0]} {missing}: {_short(sql)}")
        packed = [{name: _packed(name, value) for name, value in row.items()} for row in rows]
        self._size += len(sql) + sum(len(str(value)) for row in packed for value in row.values())
        if self._size > self._limit:
            raise TooLarge(
                "the statements of this partition are larger than max_result; write fewer rows in one partition"
            )
        self._statements.append((sql, packed))


def read_statements(body: bytes) -> tuple[Statement, ...]:
    """The statements behind their JSON, checked once more.  Raises ValueError for what is none."""
    found = []
    for sql, rows in json.loads(body):
        checked(sql)
        found.append(Statement(sql, tuple({name: _unpacked(value) for name, value in row.items()} for row in rows)))
    return tuple(found)


# --- the text --------------------------------------------------------------------------


def checked(sql: Any) -> set[str]:
    """The names of a statement's parameters.  Raises InputError for one that may not be executed."""
    if not isinstance(sql, str):
        raise InputError(f"a statement is text with :name for its parameters, not {type(sql).__name__}")
    tokens = [one for one in _TOKEN.finditer(sql) if one["comment"] is None]
    while tokens and tokens[-1]["end"]:
        tokens.pop()
    words = [one["word"].upper() for one in tokens if one["word"]]
    _check_verb(sql, words)
    for one in tokens:
        if one["end"]:
            raise InputError(f"give one statement at a time: {_short(sql)}")
        if one["open"]:
            raise InputError(f"a quote or comment has no end at position {one.start()}: {_short(sql)}")
        name = (one["word"] or one["quoted"] or "").lower()
        if name in OURS:
            raise InputError(f"{name} is nbcluster's own table, which only nbcluster writes")
    return {one["bound"] for one in tokens if one["bound"]}


def _check_verb(sql: str, words: Sequence[str]) -> None:
    verb = words[0] if words else ""
    if verb in ("SELECT", "VALUES") or (verb == "WITH" and _WRITING.isdisjoint(words)):
        raise InputError(
            "statements are executed when the function has returned, so it can read nothing through them: "
            f"{_short(sql)}"
        )
    if verb not in VERBS:
        raise InputError(f"a statement begins with {', '.join(VERBS[:-1])} or {VERBS[-1]}: {_short(sql)}")


def rendered(sql: str, mark: Callable[[str], str]) -> tuple[str, list[str]]:
    """The statement with ``mark(name)`` in place of each ``:name``, and the names in their order."""
    names: list[str] = []
    parts = []
    for one in _TOKEN.finditer(sql):
        if one["bound"]:
            names.append(one["bound"])
            parts.append(mark(one["bound"]))
        else:
            parts.append(one[0])
    return "".join(parts), names


def _short(sql: str) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= 80 else f"{line[:76]} ..."


# --- values ----------------------------------------------------------------------------


def _packed(name: str, value: Any) -> Any:
    """A value as JSON: itself, or its type and text."""
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    for kind, types, write, _ in _TYPES:
        if isinstance(value, types):
            return {kind: write(value)}
    if hasattr(value, "dtype") and hasattr(value, "item") and not getattr(value, "shape", ()):
        return _packed(name, value.item())
    if isinstance(value, (int, str)):  # of a class derived from them
        return int(value) if isinstance(value, int) else str(value)
    raise InputError(f"parameter :{name} is of type {type(value).__name__}, which no database takes; make it text")


def _unpacked(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, text),) = value.items()
    readers = {known: read for known, _, _, read in _TYPES}
    return readers[kind](text)


def _datetime(text: str) -> datetime:
    """From a text that may have pandas' nanoseconds."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))


_TYPES: tuple[tuple[str, Any, Callable[[Any], Any], Callable[[Any], Any]], ...] = (
    ("bytes", (bytes, bytearray, memoryview), lambda v: base64.b64encode(v).decode(), base64.b64decode),
    ("datetime", datetime, lambda v: v.isoformat(), _datetime),
    ("date", date, lambda v: v.isoformat(), date.fromisoformat),
    ("time", time, lambda v: v.isoformat(), time.fromisoformat),
    ("span", timedelta, lambda v: v.total_seconds(), lambda v: timedelta(seconds=v)),
    ("decimal", Decimal, str, Decimal),
    ("uuid", UUID, str, UUID),
)
"""How a value is called, its types, and the way into JSON and out of it."""


def loose(value: Any) -> Any:
    """A value for a database that has no types for times and exact numbers: as text, or seconds."""
    if isinstance(value, datetime):
        return value.isoformat(" ", "microseconds")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value) if isinstance(value, (Decimal, UUID)) else value
