"""The cluster's tables in DuckDB: first their outlines, for the plan; then what the plan says is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from nbcluster import frames
from nbcluster.query import values
from nbcluster.query.wanted import everything
from nbcluster.store import asking
from nbcluster.store.bulk import MISSING, Columns, Kind
from nbcluster.store.stepnames import Wanted

if TYPE_CHECKING:
    import pandas as pd

    from nbcluster.api import Cluster

NOT_READ = "nbcluster did not read this column"
"""Said by a column that the plan did not name, should it be looked at after all."""

_TYPES = {
    Kind.WHOLE: "BIGINT",
    Kind.NUMBER: "DOUBLE",
    Kind.TIME: "TIMESTAMP WITH TIME ZONE",
    Kind.TEXT: "VARCHAR",
}
_SHOWN = {
    Kind.WHOLE: f"nullif({{0}}, {MISSING})",
    Kind.NUMBER: "CASE WHEN isnan({0}) THEN NULL ELSE {0} END",
    Kind.TIME: f"make_timestamptz(nullif({{0}}, {MISSING}))",
    Kind.TEXT: "{0}",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table of rows: its columns (of a kind, or of an SQL type), and how those that are wanted are read."""

    columns: Mapping[str, Kind | str]
    read: Callable[[Cluster, Wanted], Columns]


TABLES = {
    "partitions": Table(asking.PARTITIONS, lambda cluster, wanted: cluster.store.asking.partitions(wanted)),
    "attempts": Table(asking.ATTEMPTS, lambda cluster, wanted: cluster.store.asking.attempts(wanted)),
    "events": Table(asking.EVENTS, lambda cluster, wanted: cluster.store.asking.events(wanted)),
    "logs": Table(asking.LOGS, lambda cluster, wanted: cluster.store.asking.logs(wanted)),
    "results": Table(values.COLUMNS, values.results),
}


def _jobs(cluster: Cluster) -> pd.DataFrame:
    return frames.jobs_frame(cluster.store.views.jobs(running_only=False, limit=10_000_000))


FRAMES: dict[str, Callable[[Cluster], pd.DataFrame]] = {"nodes": lambda cluster: cluster.nodes(all=True), "jobs": _jobs}
"""Tables that are short: they are read as a whole."""


def own(cluster: Cluster, name: str) -> Table | None:
    """A table of the user's in the cluster's database, if there is one of that name."""
    columns = cluster.store.asking.own.columns(name)
    if columns is None:
        return None
    return Table(columns, lambda cluster, wanted: cluster.store.asking.own.read(name, wanted.columns))


def outline(connection: duckdb.DuckDBPyConnection, name: str, table: Table) -> None:
    """Make a table with all columns and no rows."""
    listed = ", ".join(f"{quoted(column)} {_type(kind)}" for column, kind in table.columns.items())
    connection.execute(f"CREATE TABLE {quoted(name)} ({listed})")


def fill(
    connection: duckdb.DuckDBPyConnection, name: str, table: Table, cluster: Cluster, wanted: Wanted | None
) -> None:
    """Put a view of what is wanted (None: everything) in the place of an outline, or of an earlier view."""
    wanted = everything(table.columns) if wanted is None else wanted
    found = table.read(cluster, wanted)
    arrays = {column: found.arrays[column] for column in table.columns if column in wanted.columns}
    connection.register(f"{name} as read", arrays or {"nothing": _zeros(found.rows)})
    listed = ", ".join(
        f"{_shown(column, kind) if column in arrays else _not_read(kind)} AS {quoted(column)}"
        for column, kind in table.columns.items()
    )
    connection.execute(f"CREATE OR REPLACE VIEW {quoted(name)} AS SELECT {listed} FROM {quoted(name + ' as read')}")


def _type(kind: Kind | str) -> str:
    return _TYPES[kind] if isinstance(kind, Kind) else kind


def _shown(column: str, kind: Kind | str) -> str:
    name = quoted(column)
    return _SHOWN[kind].format(name) if isinstance(kind, Kind) else f"CAST({name} AS {kind})"


def _not_read(kind: Kind | str) -> str:
    return f"CAST(error('{NOT_READ}') AS {_type(kind)})"


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def _zeros(rows: int) -> Any:
    import numpy as np

    return np.zeros(rows, dtype=np.int8)
