"""How a job stands, for its live view: few statements whose answers are small, however large the job is.

Each walks once over a step's partitions at most.  Nothing here opens a payload.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, case, func, select

from nbcluster.lifecycle import ExitCode, JobStatus, PartitionStatus, Phase
from nbcluster.shown import Ended, Running, Standing, Tally
from nbcluster.store.engine import BULK, Database
from nbcluster.store.partitions.claim import CLAIMED
from nbcluster.store.tables import events, job_execution, logs, partitions

_CANCELLED = partitions.c.exit_code == ExitCode.CANCELLED.value

_LETTER = case(
    (partitions.c.status == PartitionStatus.COMPLETED.value, "c"),
    (partitions.c.status == PartitionStatus.PENDING.value, "."),
    (partitions.c.status == PartitionStatus.CLAIMED.value, "r"),
    (_CANCELLED, "s"),
    else_="f",
)


class Standings:
    """Looking at a running job again and again."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = database.dialect
        until = func.coalesce(job_execution.c.end_time, dialect.now())
        self._job = select(
            job_execution.c.status,
            job_execution.c.stop_requested,
            job_execution.c.paused,
            job_execution.c.end_time,
            dialect.between(job_execution.c.create_time, until).label("elapsed"),
        ).where(job_execution.c.job_execution_id == bindparam("job"))
        self._ended = select(
            partitions.c.partition_index,
            partitions.c.assigned_node,
            partitions.c.item_count,
            partitions.c.failed_items,
            partitions.c.seconds,
            dialect.age(partitions.c.end_time),
            dialect.age(partitions.c.claimed_time),
            partitions.c.exit_code,
            partitions.c.exit_message,
        ).where(
            partitions.c.master_step_execution_id == bindparam("step"),
            dialect.among(partitions.c.partition_index, "indexes"),
        )
        self._running = (
            select(
                partitions.c.assigned_node,
                func.count(),
                dialect.age(func.min(partitions.c.claimed_time)),
            )
            # Not the bare column: with it the whole step would be walked in place of the few that anybody runs.
            .where(partitions.c.master_step_execution_id + 0 == bindparam("step"), partitions.c.status == CLAIMED)
            .group_by(partitions.c.assigned_node)
        )
        self._log_of = _LOG_TAIL.where(dialect.among(partitions.c.partition_index, "indexes"))
        self._listed = dialect.listed

    def _rows(self, statement: Any, bound: dict[str, Any]) -> Sequence[Any]:
        return self._database.read(lambda connection: connection.execute(statement, bound).all(), patience=BULK)

    def job(self, job_id: int) -> Standing | None:
        """The state of a job execution; None when it is gone."""
        for row in self._rows(self._job, {"job": job_id}):
            return Standing(
                status=JobStatus(row.status),
                stop_requested=bool(row.stop_requested),
                paused=bool(row.paused),
                ended=row.end_time,
                elapsed=max(0.0, float(row.elapsed)),
            )
        return None

    def cached(self, job_id: int) -> str:
        """How many of its partitions took results over: ``3 of 5``; empty when none did.  Told when it was stored."""
        rows = self._rows(_CACHED, {"job": job_id})
        return str(rows[0][0]) if rows else ""

    def tally(self, step_id: int) -> Tally:
        """Every partition's letter, in order, and the sum of their items."""
        row = self._rows(_TALLY, {"step": step_id})[0]
        return Tally(row.letters or "", int(row.items or 0))

    def ended(self, step_id: int, indexes: Sequence[int]) -> list[Ended]:
        """These partitions of a step, which have ended."""
        return [Ended(*row) for row in self._rows(self._ended, self._bound(step_id, indexes))]

    def running(self, step_id: int) -> dict[str, Running]:
        """What the nodes have now of a step."""
        rows = self._rows(self._running, {"step": step_id})
        return {row[0]: Running(int(row[1]), max(0.0, float(row[2] or 0.0))) for row in rows}

    def log_tail(self, step_id: int, indexes: Sequence[int] | None = None) -> tuple[int, bytes] | None:
        """The partition (one of these) that ended last of those that printed, and what; None when nothing was."""
        if indexes is None:
            found = self._rows(_LOG_TAIL, {"step": step_id})
        else:
            found = self._rows(self._log_of, self._bound(step_id, indexes))
        return (found[0][0], bytes(found[0][1])) if found else None

    def _bound(self, step_id: int, indexes: Sequence[int]) -> dict[str, Any]:
        return {"step": step_id, "indexes": self._listed(indexes)}


_CACHED = (
    select(events.c.detail)
    .where(events.c.job_execution_id == bindparam("job"), events.c.phase == Phase.CACHED.value)
    .order_by(events.c.event_id)
    .limit(1)
)

# The order of the inner one is that of the letters: string_agg and group_concat take rows as they come.
_ROWS = (
    select(_LETTER.label("letter"), partitions.c.item_count)
    .where(partitions.c.master_step_execution_id == bindparam("step"))
    .order_by(partitions.c.partition_index)
    .subquery()
)

_TALLY = select(
    func.aggregate_strings(_ROWS.c.letter, "").label("letters"),
    func.sum(_ROWS.c.item_count).label("items"),
)

_LOG_TAIL = (
    select(partitions.c.partition_index, logs.c.body)
    .join(partitions, partitions.c.step_execution_id == logs.c.step_execution_id)
    .where(partitions.c.master_step_execution_id == bindparam("step"))
    .order_by(partitions.c.end_time.desc().nulls_last())
    .limit(1)
)
