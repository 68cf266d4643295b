"""Read-only rows of the steps of a job.  Nothing here opens a payload."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, bindparam, case, func, select

from nbcluster.lifecycle import CALLBACKS, FINAL, ExitCode, JobStatus, PartitionStatus, StepKind
from nbcluster.outcome import JobOutcome, PartitionOutcome
from nbcluster.progression import NOT_RUN
from nbcluster.records import Progress, StepRow
from nbcluster.store.engine import Database
from nbcluster.store.tables import job_execution, job_instance, partitions, step_execution


class StepViews:
    """Looking at the steps of one job."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_job(self, job_id: int) -> list[StepRow]:
        """Every step of a job execution, in order."""
        rows = self._database.read(lambda connection: connection.execute(_STEPS, {"job": job_id}).all())
        return [
            StepRow(
                step_execution_id=row.step_execution_id,
                name=row.step_name,
                kind=StepKind(row.kind),
                status=JobStatus(row.status),
                mode=row.mode,
                strategy=row.strategy,
                source=row.source,
                after=tuple(json.loads(row.after_steps)),
                input_of=row.input_of,
                not_run=row.exit_code == NOT_RUN,
            )
            for row in rows
        ]

    def id_of(self, job_id: int, name: str) -> int | None:
        """The step of that name."""
        bound = {"job": job_id, "name": name}
        return self._database.read(lambda connection: connection.scalar(_STEP_NAMED, bound))

    def completed(self, step_id: int) -> list[int]:
        """Its COMPLETED partitions, in order."""
        rows = self._database.read(lambda connection: connection.execute(_COMPLETED, {"step": step_id}).all())
        return [row[0] for row in rows]

    def outcome(self, job_id: int, status: JobStatus) -> JobOutcome:
        """How the partitions of its ordinary steps ended, for a job that ends as ``status``."""

        def work(connection: Connection) -> JobOutcome:
            job = connection.execute(_JOB, {"job": job_id}).one()
            rows = connection.execute(_PARTITIONS, {"job": job_id}).all()
            return JobOutcome(
                job=job.job_name,
                id=job_id,
                status=status.value,
                started=job.create_time,
                ended=max((row.end_time for row in rows if row.end_time is not None), default=None),
                partitions=tuple(
                    PartitionOutcome(
                        step=row.step_name,
                        index=row.partition_index,
                        key=row.partition_key,
                        node=row.assigned_node,
                        status=row.status,
                        attempt=row.attempt,
                        exit_code=row.exit_code,
                        error=row.exit_message or None if row.status == PartitionStatus.FAILED else None,
                    )
                    for row in rows
                ),
            )

        return self._database.read(work)

    def progress(self, step_id: int) -> Progress:
        """How far one step is; its ``status`` is the step's."""
        counted = self._database.read(lambda connection: connection.execute(_PROGRESS, {"step": step_id}).all())
        return progress_of(counted)


def progress_of(counted: Any) -> Progress:
    """How far something is, from one row for each state of its partitions."""
    state = counted[0]
    by_status = {row.status: row for row in counted}

    def total(column: str, *statuses: PartitionStatus) -> int:
        return sum(int(getattr(by_status[status], column)) for status in statuses if status in by_status)

    return Progress(
        status=JobStatus(state.state),
        stop_requested=bool(state.stop_requested),
        pending=total("number", PartitionStatus.PENDING),
        claimed=total("number", PartitionStatus.CLAIMED),
        completed=total("number", PartitionStatus.COMPLETED),
        failed=total("number", PartitionStatus.FAILED),
        cancelled=total("cancelled", *PartitionStatus),
        items=total("items", *PartitionStatus),
        items_done=total("items", *FINAL),
        items_failed=total("failed", *FINAL),
    )


COUNTS = (
    func.count(partitions.c.status).label("number"),
    func.coalesce(func.sum(partitions.c.item_count), 0).label("items"),
    func.coalesce(func.sum(partitions.c.failed_items), 0).label("failed"),
    func.sum(case((partitions.c.exit_code == ExitCode.CANCELLED.value, 1), else_=0)).label("cancelled"),
)
"""What ``progress_of`` needs of each state, besides ``state``, ``stop_requested`` and ``status``."""

_PROGRESS = (
    select(step_execution.c.status.label("state"), job_execution.c.stop_requested, partitions.c.status, *COUNTS)
    .select_from(
        step_execution.join(
            job_execution, job_execution.c.job_execution_id == step_execution.c.job_execution_id
        ).outerjoin(partitions, partitions.c.master_step_execution_id == step_execution.c.step_execution_id)
    )
    .where(step_execution.c.step_execution_id == bindparam("step"))
    .group_by(step_execution.c.status, job_execution.c.stop_requested, partitions.c.status)
)

_STEPS = (
    select(step_execution)
    .where(step_execution.c.job_execution_id == bindparam("job"))
    .order_by(step_execution.c.position)
)

_STEP_NAMED = select(step_execution.c.step_execution_id).where(
    step_execution.c.job_execution_id == bindparam("job"), step_execution.c.step_name == bindparam("name")
)

_COMPLETED = (
    select(partitions.c.partition_index)
    .where(
        partitions.c.master_step_execution_id == bindparam("step"),
        partitions.c.status == PartitionStatus.COMPLETED.value,
    )
    .order_by(partitions.c.partition_index)
)

_JOB = (
    select(job_instance.c.job_name, job_execution.c.create_time)
    .join(job_instance, job_instance.c.job_instance_id == job_execution.c.job_instance_id)
    .where(job_execution.c.job_execution_id == bindparam("job"))
)

_PARTITIONS = (
    select(
        step_execution.c.step_name,
        partitions.c.partition_index,
        partitions.c.partition_key,
        partitions.c.assigned_node,
        partitions.c.status,
        partitions.c.attempt,
        partitions.c.exit_code,
        partitions.c.exit_message,
        partitions.c.end_time,
    )
    .join(step_execution, step_execution.c.step_execution_id == partitions.c.master_step_execution_id)
    .where(
        step_execution.c.job_execution_id == bindparam("job"),
        step_execution.c.kind.not_in([kind.value for kind in CALLBACKS]),
    )
    .order_by(step_execution.c.position, partitions.c.partition_index)
)
