"""The job repository: a job appears together with all its partitions, or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, literal, select, update
from sqlalchemy.exc import IntegrityError

from nbcluster.errors import DatabaseError
from nbcluster.lifecycle import (
    JOB_FINAL,
    JobStatus,
)
from nbcluster.records import NewJob, NewPartition, StepToRun
from nbcluster.store import payloads
from nbcluster.store.engine import Database
from nbcluster.store.jobwriter import JobWriter
from nbcluster.store.tables import (
    job_execution,
    job_instance,
    step_execution,
)
from nbcluster.store.wakeup import WORK, node_topic

_WAKE_EACH = 16
"""Up to this many owners are woken one by one; more are woken by one call for all."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """The ids of a job that is stored, and when that was."""

    job_execution_id: int
    step_execution_id: int
    created: datetime


class JobRepository:
    """Submitting, resuming and reading jobs and their steps."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writer = JobWriter(database)

    # --- submission ---------------------------------------------------------

    def create(self, job: NewJob) -> Submitted:
        """Store a job with its step, coordination and partitions: all or nothing.

        Repeatable: when the answer to the COMMIT was lost, the second try finds the first.
        """
        try:
            return self._database.write(lambda connection: self._create(connection, job))
        except DatabaseError as error:
            earlier = self._find(job.uid) if isinstance(error.__cause__, IntegrityError) else None
            if earlier is None:
                raise
            return earlier

    def _create(self, connection: Connection, job: NewJob) -> Submitted:
        instance_id = self._writer.instance(connection, job.name, job.uid)
        row = {"job_instance_id": instance_id, "job_uid": job.uid, "run_number": 1}
        job_id, created = self._writer.execution(connection, row | {"user_name": job.user, "host": job.host})
        step = job.step
        payloads.put(connection, step.function.body)
        step_id = self._writer.step(
            connection,
            {
                "step_name": step.name,
                "job_execution_id": job_id,
                "mode": step.mode,
                "strategy": step.strategy,
                "python": step.python,
                "function_id": step.function_id,
                "function_mac": step.function.mac,
                "source": step.source,
                "max_attempts": step.max_attempts,
                "max_result": step.max_result,
                "max_log": step.max_log,
                "fixed_nodes": None if step.fixed_nodes is None else json.dumps(step.fixed_nodes),
                "fixed_count": step.fixed_count,
                "is_transferable": int(step.transferable),
            },
        )
        self._writer.coordination(connection, job_id, step_id, step.name, job.master_node_id)
        self._writer.partitions(connection, job_id, step_id, created, job.partitions)
        self._writer.events(connection, job_id, job.master_node_id, ("RECEIVED", "PARTITIONED", "DISTRIBUTED"))
        self._database.announce(connection, _owners_to_wake(job.partitions))
        return Submitted(job_id, step_id, created)

    def _find(self, uid: str) -> Submitted | None:
        statement = (
            select(job_execution.c.job_execution_id, step_execution.c.step_execution_id, job_execution.c.create_time)
            .join(step_execution, step_execution.c.job_execution_id == job_execution.c.job_execution_id)
            .where(job_execution.c.job_uid == uid, job_execution.c.run_number == 1)
        )
        row = self._database.read(lambda connection: connection.execute(statement).first())
        return Submitted(*row) if row else None

    # --- the running job ----------------------------------------------------

    def function(self, function_id: str) -> bytes | None:
        """The pickled function of that content hash."""
        return self._database.read(lambda connection: payloads.get(connection, function_id))

    def started_steps(self) -> list[StepToRun]:
        """Every step whose partitions may be claimed, in the order in which they were submitted."""
        rows = self._database.read(lambda connection: connection.execute(_STARTED_STEPS).all())
        return [_step_to_run(row) for row in rows]

    def add_fixed_node(self, step: StepToRun, node_id: str) -> bool:
        """Take a free place among the nodes of a ``fixed_node_count`` step; False when another was quicker."""
        before = json.dumps(step.fixed_nodes or ())
        after = json.dumps([*(step.fixed_nodes or ()), node_id])
        statement = (
            update(step_execution)
            .where(step_execution.c.step_execution_id == step.step_execution_id, step_execution.c.fixed_nodes == before)
            .values(fixed_nodes=after)
        )
        return bool(self._database.write(lambda connection: connection.execute(statement).rowcount))

    def drop_fixed_node(self, connection: Connection, node_id: str) -> None:
        """Free the place of a lost or leaving node in every started step."""
        statement = select(step_execution.c.step_execution_id, step_execution.c.fixed_nodes).where(
            step_execution.c.status == JobStatus.STARTED, step_execution.c.fixed_nodes.is_not(None)
        )
        for step_id, listed in connection.execute(statement).all():
            names = json.loads(listed)
            if node_id in names:
                connection.execute(
                    update(step_execution)
                    .where(step_execution.c.step_execution_id == step_id, step_execution.c.fixed_nodes == listed)
                    .values(fixed_nodes=json.dumps([name for name in names if name != node_id]))
                )

    # --- going on -----------------------------------------------------------

    def resume(self, job_id: int, master: str) -> Submitted | None:
        """A new execution of a FAILED or STOPPED job with its stored split; None when it is not in such a state.

        COMPLETED partitions are carried over with their results; the others are PENDING
        again, unassigned.  Nothing is split or computed again.
        """
        return self._database.write(lambda connection: self._resume(connection, job_id, master))

    def _resume(self, connection: Connection, job_id: int, master: str) -> Submitted | None:
        old = connection.execute(
            select(job_execution)
            .where(
                job_execution.c.job_execution_id == job_id,
                job_execution.c.status.in_([s for s in JOB_FINAL if s is not JobStatus.COMPLETED]),
            )
            .with_for_update()  # of two who resume at once the second sees what the first made
        ).first()
        if old is None:
            return None
        newest = connection.scalar(
            select(func.max(job_execution.c.run_number)).where(job_execution.c.job_uid == old.job_uid)
        )
        if newest != old.run_number:
            return None
        step = connection.execute(select(step_execution).where(step_execution.c.job_execution_id == job_id)).one()
        row = {"job_instance_id": old.job_instance_id, "job_uid": old.job_uid, "run_number": old.run_number + 1}
        new_id, created = self._writer.execution(connection, row | {"user_name": old.user_name, "host": old.host})
        values = {name: getattr(step, name) for name in _KEPT_OF_A_STEP}
        values |= {"job_execution_id": new_id, "fixed_nodes": None if step.fixed_nodes is None else "[]"}
        new_step = self._writer.step(connection, values)
        self._writer.coordination(connection, new_id, new_step, step.step_name, master)
        self._writer.copied_partitions(connection, step.step_execution_id, new_id, new_step, created)
        self._writer.events(connection, new_id, master, ("RESUMED",))
        self._database.announce(connection, [WORK])
        return Submitted(new_id, new_step, created)


_KEPT_OF_A_STEP = (
    "step_name", "mode", "strategy", "python", "function_id", "function_mac", "source",
    "max_attempts", "max_result", "max_log", "fixed_count", "is_transferable",
)  # fmt: skip

_STARTED_STEPS = (
    select(step_execution, job_execution.c.job_uid, job_execution.c.stop_requested, job_instance.c.job_name)
    .join(job_execution, job_execution.c.job_execution_id == step_execution.c.job_execution_id)
    .join(job_instance, job_instance.c.job_instance_id == job_execution.c.job_instance_id)
    .where(step_execution.c.status == literal(JobStatus.STARTED.value, literal_execute=True))
    .order_by(step_execution.c.step_execution_id)
)


def _owners_to_wake(split: Sequence[NewPartition]) -> list[str]:
    owners = {part.assigned_node for part in split}
    if None in owners or not owners or len(owners) > _WAKE_EACH:
        return [WORK] if split else []
    return sorted(node_topic(owner) for owner in owners if owner)


def _step_to_run(row: Any) -> StepToRun:
    return StepToRun(
        step_execution_id=row.step_execution_id,
        job_execution_id=row.job_execution_id,
        job_name=row.job_name,
        uid=row.job_uid,
        name=row.step_name,
        mode=row.mode,
        strategy=row.strategy,
        function_id=row.function_id,
        function_mac=bytes(row.function_mac),
        python=row.python,
        max_attempts=row.max_attempts,
        max_result=row.max_result,
        max_log=row.max_log,
        fixed_nodes=None if row.fixed_nodes is None else tuple(json.loads(row.fixed_nodes)),
        fixed_count=row.fixed_count,
        stop_requested=bool(row.stop_requested),
        transferable=bool(row.is_transferable),
    )
