"""The history: what happened when, by the database's clock, in the transaction of what it tells.

One row tells of all partitions that one transaction moved, so that history costs a
statement a transaction and not a statement a partition.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert

from nbcluster.lifecycle import Phase
from nbcluster.store.engine import Database
from nbcluster.store.tables import events

Member = tuple[int, int]
"""A partition and its attempt."""


class EventLog:
    """Appends to ``batch_events``; each call in its caller's transaction."""

    def __init__(self, database: Database) -> None:
        self._insert = insert(events).values(event_time=database.dialect.now())
        self._insert_at = insert(events)

    def record(
        self,
        connection: Connection,
        phase: Phase,
        *,
        job: int | None = None,
        step: int | None = None,
        node: str | None = None,
        term: int | None = None,
        members: Iterable[Member] = (),
        detail: str | None = None,
    ) -> None:
        """One event, now.  ``members`` are the partitions it tells of; without them it tells of job, step or node."""
        row = _row(phase, job=job, step=step, node=node, term=term, members=members, detail=detail)
        connection.execute(self._insert, row)

    def record_all(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Several events, now, in this order; each a dict of the arguments of ``record``, with ``phase``."""
        if rows:
            connection.execute(self._insert, [_row(**row) for row in rows])

    def received(self, connection: Connection, job: int, node: str, at: datetime) -> None:
        """The RECEIVED of a job, at the time of its first row."""
        connection.execute(self._insert_at, _row(Phase.RECEIVED, job=job, node=node) | {"event_time": at})


def _row(
    phase: Phase,
    *,
    job: int | None = None,
    step: int | None = None,
    node: str | None = None,
    term: int | None = None,
    members: Iterable[Member] = (),
    detail: str | None = None,
) -> dict[str, Any]:
    return {
        "phase": phase.value,
        "job_execution_id": job,
        "step_execution_id": step,
        "node_id": node,
        "term": term,
        "members": " ".join(f"{partition}:{attempt}" for partition, attempt in members) or None,
        "detail": detail,
    }


def parse_members(text: str | None) -> list[Member]:
    """The partitions and attempts that an event tells of."""
    return [(int(one), int(attempt)) for one, _, attempt in (word.partition(":") for word in (text or "").split())]
