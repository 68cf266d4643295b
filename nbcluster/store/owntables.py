"""Tables of the user's in the same database, as jobs with ``into=`` make them: read for questions, as columns."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, column, inspect, select, table, types
from sqlalchemy.types import TypeEngine

from nbcluster.store.bulk import Columns, flat_values
from nbcluster.store.engine import BULK, Database

_OURS = "batch_"

_TYPES: tuple[tuple[type[TypeEngine[Any]], str], ...] = (
    (types.Boolean, "BOOLEAN"),
    (types.Integer, "BIGINT"),
    (types.Float, "DOUBLE"),
    (types.Numeric, "DOUBLE"),
    (types.LargeBinary, "BLOB"),
    (types.DateTime, "TIMESTAMP"),
    (types.Date, "DATE"),
    (types.Time, "TIME"),
    (types.Interval, "INTERVAL"),
)
"""What a type is called in questions; everything else is a text there."""

_TEXT = "VARCHAR"


class OwnTables:
    """The tables and views of a database that are not nbcluster's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def columns(self, name: str) -> dict[str, str] | None:
        """The columns of a table with the SQL type of each, or None when there is no such table."""
        return self._database.read(lambda connection: _columns(connection, name))

    def read(self, name: str, wanted: Collection[str]) -> Columns:
        """Those columns of all rows of a table that is there.  Nothing is converted but what becomes a text."""
        import numpy as np

        def work(connection: Connection) -> Columns:
            kinds = _columns(connection, name) or {}
            chosen = [label for label in kinds if label in wanted] or list(kinds)[:1]
            # Without types, so that values come as the driver gives them.
            statement: Any = select(*(column(label) for label in chosen)).select_from(table(_called(connection, name)))
            parts = list(flat_values(connection, statement, len(chosen)))
            arrays = {}
            for place, label in enumerate(chosen):
                values = [value for flat in parts for value in flat[place :: len(chosen)]]
                arrays[label] = np.empty(len(values), dtype=object)
                arrays[label][:] = [_text(value) for value in values] if kinds[label] == _TEXT else values
            return Columns(len(next(iter(arrays.values()), ())), arrays)

        return self._database.read(work, patience=BULK)


def _columns(connection: Connection, name: str) -> dict[str, str] | None:
    called = _called(connection, name)
    if called.lower().startswith(_OURS) or not called:
        return None
    return {one["name"]: _type_of(one["type"]) for one in inspect(connection).get_columns(called)}


def _called(connection: Connection, name: str) -> str:
    """What the table is called there: questions need not mind capital letters; empty when there is none."""
    seen = inspect(connection)
    named = (name, name.lower())
    return next((one for one in named if seen.has_table(one) or one in seen.get_view_names()), "")


def _type_of(kind: TypeEngine[Any]) -> str:
    for known, name in _TYPES:
        if isinstance(kind, known):
            return "TIMESTAMP WITH TIME ZONE" if getattr(kind, "timezone", False) and name == "TIMESTAMP" else name
    return _TEXT


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
