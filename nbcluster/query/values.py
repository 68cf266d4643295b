"""The table of results: a row an item, and its value as SQL can have it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nbcluster.frames.plain import as_text
from nbcluster.store.bulk import MISSING, Columns, Kind, as_array
from nbcluster.store.stepnames import Wanted

if TYPE_CHECKING:
    from nbcluster.api import Cluster

LONGEST = 100_000
"""Letters of a value's text that a result has in SQL."""

COLUMNS = {
    "job": Kind.WHOLE, "name": Kind.TEXT, "step": Kind.TEXT, "item": Kind.WHOLE, "partition": Kind.WHOLE,
    "node": Kind.TEXT, "attempt": Kind.WHOLE, "seconds": Kind.NUMBER, "error": Kind.TEXT, "message": Kind.TEXT,
    "value": Kind.TEXT,
}  # fmt: skip


def results(cluster: Cluster, wanted: Wanted) -> Columns:
    """Every item of what is final; checked and unpickled only when values are wanted."""
    if "value" not in wanted.columns:
        return cluster.store.asking.items(wanted)
    rows = list(_rows(cluster, wanted))
    by_column = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
    arrays = {}
    for (name, kind), values in zip(COLUMNS.items(), by_column, strict=True):
        if name in wanted.columns:
            told = [MISSING if value is None else value for value in values] if kind is Kind.WHOLE else values
            arrays[name] = as_array(told, kind)
    return Columns(len(rows), arrays)


def _rows(cluster: Cluster, wanted: Wanted) -> Iterator[tuple[Any, ...]]:
    for job_id, step in cluster.store.asking.ended_steps(wanted):
        handle = cluster.job(job_id)
        for item in handle.step(step).final_items(values=True):
            error = item.error
            yield (
                job_id, handle.name, step, item.index, item.partition, item.node, item.attempt, item.seconds,
                error.error_type if error else None, error.message if error else None,
                text_of(item.value) if error is None else None,
            )  # fmt: skip


def text_of(value: Any) -> str | None:
    """A value in SQL: a text as it is, what JSON knows as JSON, everything else as Python shows it."""
    return None if value is None else as_text(value)[:LONGEST]
