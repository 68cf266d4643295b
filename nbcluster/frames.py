"""Rows as pandas frames: stable lower-case columns, UTC times, categories for states.

The only module that imports pandas, and only when a frame is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from nbcluster.lifecycle import PartitionStatus
from nbcluster.records import AttemptRow, ItemError, JobRow, Node, PartitionRow

_NODE_STATES = ["ACTIVE", "DRAINING", "UNREACHABLE", "GONE"]
_PARTITION_STATES = ["PENDING", "CLAIMED", "COMPLETED", "FAILED"]
_JOB_STATES = ["CREATED", "STARTED", "COMPLETED", "FAILED", "STOPPED"]


def from_rows(rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Rows as a frame with these columns, also when there are none."""
    return pd.DataFrame([list(row) for row in rows], columns=list(columns))


def _states(frame: pd.DataFrame, states: Sequence[str], column: str = "state") -> pd.DataFrame:
    frame[column] = pd.Categorical(frame[column], categories=list(states))
    return frame


def _times(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    for column in columns:
        frame[column] = pd.to_datetime(frame[column], utc=True)
    return frame


def nodes_frame(nodes: Iterable[Node]) -> pd.DataFrame:
    """One row a node; ``heartbeat_age`` in seconds, ``load`` the busy share of its slots, ``started`` in UTC."""
    rows = [
        (n.node_id, n.status.value, round(n.heartbeat_age, 1), n.slots, n.busy, n.load, n.python, n.version, n.host,
         n.pid, n.started, " ".join(n.labels))
        for n in nodes
    ]  # fmt: skip
    columns = (
        "node", "state", "heartbeat_age", "slots", "busy", "load", "python", "version", "host", "pid", "started",
        "labels",
    )  # fmt: skip
    return _times(_states(from_rows(rows, columns), _NODE_STATES), "started")


def jobs_frame(jobs: Iterable[JobRow]) -> pd.DataFrame:
    """One row a job: job (id), name, state, user, items, done, failed, created, seconds, strategy."""
    rows = [
        (j.job_execution_id, j.name, j.status.value, j.user, j.items, j.items_done, j.items_failed, j.created,
         round(j.elapsed, 3), j.strategy)
        for j in jobs
    ]  # fmt: skip
    columns = ("job", "name", "state", "user", "items", "done", "failed", "created", "seconds", "strategy")
    return _times(_states(from_rows(rows, columns), _JOB_STATES), "created")


def partitions_frame(partitions: Iterable[PartitionRow]) -> pd.DataFrame:
    """One row a partition, in order: its state, owner, attempt and how it ended; ``seconds`` is the run time.

    ``progress`` is the fraction that the function reported last, 1.0 when it is COMPLETED.
    """
    rows = [
        (p.index, p.key, p.status.value, p.node, p.attempt, p.items, p.transferable, p.exit_code, p.exit_message or "",
         p.seconds, p.claimed, p.ended, 1.0 if p.status is PartitionStatus.COMPLETED else p.progress)
        for p in partitions
    ]  # fmt: skip
    columns = (
        "partition", "key", "state", "node", "attempt", "items", "transferable", "exit_code", "message", "seconds",
        "claimed", "ended", "progress",
    )  # fmt: skip
    frame = _times(_states(from_rows(rows, columns), _PARTITION_STATES), "claimed", "ended")
    return frame.astype({"seconds": "float64", "progress": "float64"})


def attempts_frame(attempts: Iterable[AttemptRow]) -> pd.DataFrame:
    """One row an attempt, in order: how each ended, and what is known of those that were not the last.

    ``seconds`` is how long it ran, ``peak_memory`` the memory of its process in bytes.
    """
    rows = [
        (a.index, a.key, a.attempt, a.node, a.outcome, a.message, a.seconds, a.peak_memory, a.claimed, a.ended)
        for a in attempts
    ]
    columns = (
        "partition", "key", "attempt", "node", "outcome", "message", "seconds", "peak_memory", "claimed", "ended",
    )  # fmt: skip
    frame = _times(from_rows(rows, columns), "claimed", "ended")
    return frame.astype({"seconds": "float64", "peak_memory": "float64"})


def timeline_frame(moments: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """One row an event and partition, by time (UTC); ``seconds`` counts from the job's RECEIVED."""
    columns = ("time", "phase", "step", "partition", "attempt", "node", "seconds")
    frame = _times(pd.DataFrame.from_records(list(moments), columns=list(columns)), "time")
    return frame.astype({"partition": "Int64", "attempt": "Int64", "seconds": "float64"})


def items_frame(items: Iterable[Any]) -> pd.DataFrame:
    """One row an input, in input order: input, value, error, partition, node, attempt, seconds.

    ``error`` is None for a value and a text for a failure, so that a None value and a
    failure look different.  ``value`` keeps the dtype of its values: whole numbers stay
    whole beside errors (Int64).
    """
    listed = list(items)
    frame = pd.DataFrame({"input": _column([item.input for item in listed])})
    frame["value"] = _column([item.value for item in listed], [item.error is not None for item in listed])
    frame["error"] = pd.Series([_error_text(item.error) for item in listed], dtype="object")
    frame["partition"] = pd.Series([item.partition for item in listed], dtype="int64")
    frame["node"] = pd.Series([item.node for item in listed], dtype="object")
    frame["attempt"] = pd.Series([item.attempt for item in listed], dtype="int64")
    frame["seconds"] = pd.Series([item.seconds for item in listed], dtype="float64")
    return frame


def _error_text(error: ItemError | None) -> str | None:
    if error is None:
        return None
    return f"{error.error_type}: {error.message}" if error.message else error.error_type


def _column(values: list[Any], missing: list[bool] | None = None) -> pd.Series[Any]:
    """Values as a column: numbers, booleans and texts with their dtype, everything else as objects."""
    kept = [value for value, gone in zip(values, missing, strict=True) if not gone] if missing else values
    kinds = set(map(type, kept))
    if missing and any(missing) and kinds in ({int}, {bool}):
        return pd.Series([None if gone else v for v, gone in zip(values, missing, strict=True)]).astype(
            "Int64" if kinds == {int} else "boolean"
        )
    if kinds and kinds <= {int, float, bool, str, type(None)} and len(kinds - {type(None)}) <= 1:
        # None among numbers must stay None: pandas would make it NaN and the column float.
        plain = type(None) not in kinds or kinds <= {float}
        return pd.Series(values) if plain and kinds != {str} else pd.Series(values, dtype="object")
    column = pd.Series([None] * len(values), dtype="object")
    for place, value in enumerate(values):
        column.iat[place] = value
    return _inferred(column, kinds)


def _inferred(column: pd.Series[Any], kinds: set[type]) -> pd.Series[Any]:
    """Numbers of numpy, timestamps and the like get their dtype; frames, lists and dicts stay objects."""
    if any(hasattr(kind, "__len__") for kind in kinds):
        return column
    return column.infer_objects()


def errors_frame(items: Iterable[Any]) -> pd.DataFrame:
    """One row a failed input: item, partition, node, attempt, error (its type), message, traceback."""
    rows = [
        (i.index, i.partition, i.node, i.attempt, i.error.error_type, i.error.message, i.error.traceback)
        for i in items
        if i.error is not None
    ]
    return from_rows(rows, ("item", "partition", "node", "attempt", "error", "message", "traceback"))


def done_frame(done: dict[str, int]) -> pd.DataFrame:
    """Completed partitions per node."""
    return from_rows(sorted(done.items()), ("node", "done"))
