"""How a job stands, for its live view: few statements whose answers are small, however large the job is.

Each walks once over a step's partitions at most.  Nothing here opens a payload.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, case, func, select

from nbcluster.lifecycle import FINAL, ExitCode, JobStatus, PartitionStatus
from nbcluster.shown import NodeWork, Standing, Tally
from nbcluster.store.engine import BULK, Database
from nbcluster.store.tables import job_execution, logs, partitions

RECENTLY = 30.0
"""Seconds that count as the recent past of a node's work."""

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
        recent = dialect.age(partitions.c.end_time) < RECENTLY
        self._work = (
            select(
                partitions.c.assigned_node,
                _number(partitions.c.status == PartitionStatus.CLAIMED.value).label("running"),
                _number(partitions.c.status == PartitionStatus.COMPLETED.value).label("completed"),
                func.count(partitions.c.end_time).label("ended"),
                _items(partitions.c.end_time.is_not(None)).label("items"),
                func.coalesce(func.sum(partitions.c.seconds), 0.0).label("seconds"),
                _number(recent).label("recent_partitions"),
                _items(recent).label("recent_items"),
                dialect.age(func.min(partitions.c.claimed_time)).label("since"),
            )
            .where(
                partitions.c.master_step_execution_id == bindparam("step"),
                partitions.c.assigned_node.is_not(None),
                partitions.c.status != PartitionStatus.PENDING.value,
                func.coalesce(partitions.c.exit_code, "") != ExitCode.CANCELLED.value,
            )
            .group_by(partitions.c.assigned_node)
        )

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

    def tally(self, step_id: int) -> Tally:
        """Every partition's letter, in order, and the sums of their items."""
        row = self._rows(_TALLY, {"step": step_id})[0]
        return Tally(row.letters or "", int(row.items or 0), int(row.items_done or 0), int(row.items_failed or 0))

    def work(self, step_id: int) -> list[NodeWork]:
        """What each node has done of a step and does now; what a stop kept from its end does not count."""
        return [
            NodeWork(
                node=row.assigned_node,
                running=int(row.running),
                completed=int(row.completed),
                ended=int(row.ended),
                items=int(row.items),
                seconds=float(row.seconds),
                recent_partitions=int(row.recent_partitions),
                recent_items=int(row.recent_items),
                recent_seconds=min(RECENTLY, max(0.0, float(row.since or 0.0))),
            )
            for row in self._rows(self._work, {"step": step_id})
        ]

    def log_tail(self, step_id: int) -> tuple[int, bytes] | None:
        """The partition that ended last of those that printed, and what it printed; None when nothing was."""
        found = self._rows(_LOG_TAIL, {"step": step_id})
        return (found[0][0], bytes(found[0][1])) if found else None


def _number(condition: Any) -> Any:
    return func.sum(case((condition, 1), else_=0))


def _items(condition: Any) -> Any:
    return func.sum(case((condition, partitions.c.item_count), else_=0))


# The order of the inner one is that of the letters: string_agg and group_concat take rows as they come.
_ROWS = (
    select(
        _LETTER.label("letter"),
        partitions.c.item_count,
        case((partitions.c.status.in_(FINAL), partitions.c.item_count), else_=0).label("done"),
        case((partitions.c.status.in_(FINAL), partitions.c.failed_items), else_=0).label("failed"),
    )
    .where(partitions.c.master_step_execution_id == bindparam("step"))
    .order_by(partitions.c.partition_index)
    .subquery()
)

_TALLY = select(
    func.aggregate_strings(_ROWS.c.letter, "").label("letters"),
    func.sum(_ROWS.c.item_count).label("items"),
    func.sum(_ROWS.c.done).label("items_done"),
    func.sum(_ROWS.c.failed).label("items_failed"),
)

_LOG_TAIL = (
    select(partitions.c.partition_index, logs.c.body)
    .join(partitions, partitions.c.step_execution_id == logs.c.step_execution_id)
    .where(partitions.c.master_step_execution_id == bindparam("step"))
    .order_by(partitions.c.end_time.desc().nulls_last())
    .limit(1)
)
