"""Read-only rows of jobs and partitions, for frames, listings and the live view.

Nothing here opens a payload.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, case, func, select

from nbcluster.lifecycle import FINAL, OPEN, JobStatus, PartitionStatus
from nbcluster.records import JobRow, PartitionRow, Progress
from nbcluster.store.engine import BULK, Database
from nbcluster.store.steps import COUNTS, progress_of
from nbcluster.store.tables import (
    coordination,
    job_execution,
    job_instance,
    logs,
    partitions,
    results,
    step_execution,
)

_PROGRESS = (
    select(job_execution.c.status.label("state"), job_execution.c.stop_requested, partitions.c.status, *COUNTS)
    .select_from(job_execution.outerjoin(partitions, partitions.c.master_step_execution_id == bindparam("step")))
    .where(job_execution.c.job_execution_id == bindparam("job"))
    .group_by(job_execution.c.status, job_execution.c.stop_requested, partitions.c.status)
)


_ITEMS_BEFORE = select(func.coalesce(func.sum(partitions.c.item_count), 0)).where(
    partitions.c.master_step_execution_id == bindparam("step"), partitions.c.partition_index < bindparam("index")
)

_ERROR_TEXTS = (
    select(results.c.errors)
    .join(partitions, partitions.c.step_execution_id == results.c.step_execution_id)
    .where(
        partitions.c.master_step_execution_id == bindparam("step"), partitions.c.partition_index == bindparam("index")
    )
)


class Views:
    """Looking at jobs and partitions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect

    def _rows(self, statement: Any, bound: dict[str, Any] | None = None) -> Sequence[Any]:
        return self._database.read(lambda connection: connection.execute(statement, bound or {}).all(), patience=BULK)

    # --- jobs ---------------------------------------------------------------

    def job(self, job_id: int) -> JobRow | None:
        """One job execution."""
        return next(iter(self._jobs(job_execution.c.job_execution_id == job_id, 1)), None)

    def job_named(self, name: str, until: datetime | None = None) -> JobRow | None:
        """The newest execution of that name; with ``until`` the newest that had been submitted by then."""
        where = job_instance.c.job_name == name
        where = where if until is None else and_(where, job_execution.c.create_time <= until)
        return next(iter(self._jobs(where, 1)), None)

    def jobs(self, *, running_only: bool, limit: int = 1000) -> list[JobRow]:
        """Executions, newest first."""
        where = job_execution.c.status == JobStatus.STARTED if running_only else job_execution.c.status.is_not(None)
        return self._jobs(where, limit)

    def listed(self, limit: int, since: float | None = None) -> list[JobRow]:
        """The newest executions and all that run; or those that were submitted in the last ``since`` seconds."""
        if since is not None:
            return self._jobs(self._dialect.age(job_execution.c.create_time) <= since, 1000)
        rows = self.jobs(running_only=False, limit=limit)
        shown = {row.job_execution_id for row in rows}
        return rows + [row for row in self.jobs(running_only=True) if row.job_execution_id not in shown]

    def _jobs(self, where: ColumnElement[bool], limit: int) -> list[JobRow]:
        until = func.coalesce(job_execution.c.end_time, self._dialect.now())
        statement = (
            select(
                job_execution,
                job_instance.c.job_name,
                step_execution.c.step_execution_id,
                step_execution.c.step_name,
                step_execution.c.strategy,
                step_execution.c.mode,
                step_execution.c.python,
                step_execution.c.source,
                step_execution.c.input_of,
                coordination.c.master_node_id,
                coordination.c.term,
                self._dialect.between(job_execution.c.create_time, until).label("elapsed"),
            )
            .join(job_instance, job_instance.c.job_instance_id == job_execution.c.job_instance_id)
            .join(
                step_execution,
                (step_execution.c.job_execution_id == job_execution.c.job_execution_id)
                & (step_execution.c.step_name == job_execution.c.main_step),
            )
            .join(coordination, coordination.c.master_step_execution_id == step_execution.c.step_execution_id)
            .where(where)
            .order_by(job_execution.c.job_execution_id.desc())
            .limit(limit)
        )
        rows = self._rows(statement)
        counts = self._counts([row.step_execution_id for row in rows])
        return [_job_row(row, counts.get(row.step_execution_id)) for row in rows]

    def _counts(self, steps: Sequence[int]) -> dict[int, Any]:
        final = partitions.c.status.in_(FINAL)
        statement = (
            select(
                partitions.c.master_step_execution_id,
                func.count().label("partitions"),
                func.sum(case((final, 1), else_=0)).label("partitions_done"),
                func.sum(partitions.c.item_count).label("items"),
                func.sum(case((final, partitions.c.item_count), else_=0)).label("items_done"),
                func.sum(partitions.c.failed_items).label("items_failed"),
                func.min(partitions.c.is_transferable).label("transferable"),
            )
            .where(self._dialect.among(partitions.c.master_step_execution_id, "ids"))
            .group_by(partitions.c.master_step_execution_id)
        )
        rows = self._rows(statement, {"ids": self._dialect.listed(steps)})
        return {row.master_step_execution_id: row for row in rows}

    def progress(self, job_id: int, step_id: int) -> Progress:
        """How far a job is."""
        return progress_of(self._rows(_PROGRESS, {"job": job_id, "step": step_id}))

    def waiting(self) -> int:
        """PENDING partitions of all running jobs."""
        statement = (
            select(func.count())
            .select_from(partitions)
            .join(step_execution, step_execution.c.step_execution_id == partitions.c.master_step_execution_id)
            .where(step_execution.c.status == JobStatus.STARTED, partitions.c.status == PartitionStatus.PENDING)
        )
        return int(self._rows(statement)[0][0])

    # --- partitions ---------------------------------------------------------

    def partitions(self, step_id: int) -> list[PartitionRow]:
        """Every partition of a step, in order."""
        wanted = [column for column in partitions.c if not column.name.startswith("arguments")]
        statement = (
            select(*wanted)
            .where(partitions.c.master_step_execution_id == step_id)
            .order_by(partitions.c.partition_index)
        )
        return [
            PartitionRow(
                partition_id=row.step_execution_id,
                index=row.partition_index,
                key=row.partition_key,
                status=PartitionStatus(row.status),
                node=row.assigned_node,
                attempt=row.attempt,
                items=row.item_count,
                failed_items=row.failed_items,
                transferable=bool(row.is_transferable),
                exit_code=row.exit_code,
                exit_message=row.exit_message,
                seconds=row.seconds,
                claimed=row.claimed_time,
                ended=row.end_time,
                progress=row.progress,
                progress_message=row.progress_message,
            )
            for row in self._rows(statement)
        ]

    def indexes(self, step_id: int, statuses: Sequence[PartitionStatus], begin: int = 0) -> list[int]:
        """The partitions from ``begin`` on that are in one of these states, in order."""
        statement = (
            select(partitions.c.partition_index)
            .where(
                partitions.c.master_step_execution_id == step_id,
                partitions.c.status.in_(statuses),
                partitions.c.partition_index >= begin,
            )
            .order_by(partitions.c.partition_index)
        )
        return [row[0] for row in self._rows(statement)]

    def first_open(self, step_id: int) -> int | None:
        """The first partition that is not final; None when all are."""
        statement = select(func.min(partitions.c.partition_index)).where(
            partitions.c.master_step_execution_id == step_id, partitions.c.status.in_(OPEN)
        )
        found: int | None = self._rows(statement)[0][0]
        return found

    def sizes(self, step_id: int) -> list[int]:
        """How many items each partition holds, in order."""
        statement = (
            select(partitions.c.item_count)
            .where(partitions.c.master_step_execution_id == step_id)
            .order_by(partitions.c.partition_index)
        )
        return [row[0] for row in self._rows(statement)]

    def failure(self, step_id: int, index: int) -> tuple[int, str]:
        """Where the items of a partition begin in the input, and the texts of its errors."""
        before = self._rows(_ITEMS_BEFORE, {"step": step_id, "index": index})
        errors = self._rows(_ERROR_TEXTS, {"step": step_id, "index": index})
        return int(before[0][0]), str(errors[0][0]) if errors else "[]"

    def done_by_node(self, step_id: int) -> dict[str, int]:
        """Completed partitions per node."""
        statement = (
            select(partitions.c.assigned_node, func.count())
            .where(
                partitions.c.master_step_execution_id == step_id,
                partitions.c.status == PartitionStatus.COMPLETED,
                partitions.c.assigned_node.is_not(None),
            )
            .group_by(partitions.c.assigned_node)
        )
        return {row[0]: row[1] for row in self._rows(statement)}

    # --- output -------------------------------------------------------------

    def log(self, step_id: int, index: int) -> bytes:
        """What the last attempt of a partition printed."""
        mine = func.coalesce(partitions.c.result_of, partitions.c.step_execution_id)
        statement = (
            select(logs.c.body)
            .join(partitions, mine == logs.c.step_execution_id)
            .where(partitions.c.master_step_execution_id == step_id, partitions.c.partition_index == index)
            .order_by(logs.c.attempt.desc())
            .limit(1)
        )
        found = self._rows(statement)
        return bytes(found[0][0]) if found else b""


def _job_row(row: Any, counts: Any) -> JobRow:
    return JobRow(
        job_execution_id=row.job_execution_id,
        name=row.job_name,
        user=row.user_name,
        host=row.host,
        status=JobStatus(row.status),
        stop_requested=bool(row.stop_requested),
        strategy=row.strategy,
        mode=row.mode,
        transferable=bool(counts.transferable) if counts else True,
        python=row.python,
        uid=row.job_uid,
        step_execution_id=row.step_execution_id,
        step_name=row.step_name,
        master_node_id=row.master_node_id,
        term=row.term,
        source=row.source,
        created=row.create_time,
        ended=row.end_time,
        elapsed=max(0.0, float(row.elapsed)),
        items=int(counts.items) if counts else 0,
        items_done=int(counts.items_done) if counts else 0,
        items_failed=int(counts.items_failed) if counts else 0,
        partitions=counts.partitions if counts else 0,
        partitions_done=int(counts.partitions_done) if counts else 0,
        input_of=row.input_of,
        paused=bool(row.paused),
    )
