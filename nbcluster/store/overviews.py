"""The whole cluster at a glance: jobs, what is claimed and what waits, and what happened last.

Each look is a handful of statements.  Only the counts grow with the size of jobs; they are asked
for the jobs that are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, case, func, select

from nbcluster.lifecycle import FINAL, JobStatus, PartitionStatus
from nbcluster.store.engine import BULK, Database
from nbcluster.store.events import parse_members
from nbcluster.store.tables import events, job_execution, job_instance, partitions, step_execution


class JobHead(NamedTuple):
    """A job execution without its partitions; ``elapsed`` in seconds until its end or now."""

    job_id: int
    name: str
    user: str
    status: str
    paused: bool
    stopping: bool
    step_id: int
    elapsed: float


class Counts(NamedTuple):
    """Items of a step's partitions."""

    items: int
    done: int
    failed: int


class Happening(NamedTuple):
    """Something that was recorded; ``age`` in seconds, ``partitions`` how many it tells of."""

    age: float
    time: datetime
    phase: str
    job: str | None
    node: str | None
    detail: str | None
    partitions: int


class Overviews:
    """Looking at everything."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect

    def _rows(self, statement: Any, bound: dict[str, Any] | None = None) -> Sequence[Any]:
        return self._database.read(lambda connection: connection.execute(statement, bound or {}).all(), patience=BULK)

    def running(self, limit: int) -> list[JobHead]:
        """Running jobs, newest first."""
        return self._heads(job_execution.c.status == JobStatus.STARTED, limit)

    def ended(self, limit: int) -> list[JobHead]:
        """The newest of the jobs that have ended."""
        return self._heads(job_execution.c.status != JobStatus.STARTED, limit)

    def _heads(self, where: ColumnElement[bool], limit: int) -> list[JobHead]:
        until = func.coalesce(job_execution.c.end_time, self._dialect.now())
        statement = (
            select(
                job_execution.c.job_execution_id,
                job_instance.c.job_name,
                job_execution.c.user_name,
                job_execution.c.status,
                job_execution.c.paused,
                job_execution.c.stop_requested,
                step_execution.c.step_execution_id,
                self._dialect.between(job_execution.c.create_time, until),
            )
            .join(job_instance, job_instance.c.job_instance_id == job_execution.c.job_instance_id)
            .join(
                step_execution,
                (step_execution.c.job_execution_id == job_execution.c.job_execution_id)
                & (step_execution.c.step_name == job_execution.c.main_step),
            )
            .where(where)
            .order_by(job_execution.c.job_execution_id.desc())
            .limit(limit)
        )
        return [
            JobHead(row[0], row[1], row[2], row[3], bool(row[4]), bool(row[5]), row[6], max(0.0, float(row[7])))
            for row in self._rows(statement)
        ]

    def running_jobs(self) -> int:
        """How many jobs run."""
        statement = select(func.count()).select_from(job_execution).where(job_execution.c.status == JobStatus.STARTED)
        return int(self._rows(statement)[0][0])

    def claimed(self) -> dict[int, int]:
        """Partitions that nodes have now, by job."""
        return self._by_job(partitions.c.status == PartitionStatus.CLAIMED)

    def pending(self) -> dict[int, int]:
        """Partitions that wait for a node, by job."""
        started = (
            select(step_execution.c.step_execution_id)
            .where(step_execution.c.status == JobStatus.STARTED)
            .scalar_subquery()
        )
        waits = partitions.c.status == PartitionStatus.PENDING
        return self._by_job(waits & partitions.c.master_step_execution_id.in_(started))

    def _by_job(self, where: ColumnElement[bool]) -> dict[int, int]:
        statement = (
            select(partitions.c.job_execution_id, func.count()).where(where).group_by(partitions.c.job_execution_id)
        )
        return {row[0]: int(row[1]) for row in self._rows(statement)}

    def counts(self, steps: Sequence[int]) -> dict[int, Counts]:
        """How many items these steps have, how many of them are done, and how many of those failed."""
        done = case((partitions.c.status.in_(FINAL), partitions.c.item_count), else_=0)
        statement = (
            select(
                partitions.c.master_step_execution_id,
                func.sum(partitions.c.item_count),
                func.sum(done),
                func.sum(partitions.c.failed_items),
            )
            .where(self._dialect.among(partitions.c.master_step_execution_id, "ids"))
            .group_by(partitions.c.master_step_execution_id)
        )
        rows = self._rows(statement, {"ids": self._dialect.listed(steps)})
        return {row[0]: Counts(*map(int, row[1:])) for row in rows}

    def happenings(self, limit: int) -> list[Happening]:
        """What was recorded last, newest first."""
        newest = select(events).order_by(events.c.event_id.desc()).limit(limit).subquery("newest")
        statement = (
            select(
                self._dialect.age(newest.c.event_time),
                newest.c.event_time,
                newest.c.phase,
                job_instance.c.job_name,
                newest.c.node_id,
                newest.c.detail,
                newest.c.members,
            )
            .select_from(newest)
            .outerjoin(job_execution, job_execution.c.job_execution_id == newest.c.job_execution_id)
            .outerjoin(job_instance, job_instance.c.job_instance_id == job_execution.c.job_instance_id)
            .order_by(newest.c.event_id.desc())
        )
        return [
            Happening(max(0.0, float(row[0])), row[1], row[2], row[3], row[4], row[5], len(parse_members(row[6])))
            for row in self._rows(statement)
        ]
