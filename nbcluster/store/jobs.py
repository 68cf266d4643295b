"""The job repository: a job appears together with all its partitions, or not at all."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update
from sqlalchemy.exc import IntegrityError

from nbcluster.errors import DatabaseError, InputError
from nbcluster.lifecycle import CALLBACKS, JOB_FINAL, JobStatus, PartitionStatus, Phase, StepKind
from nbcluster.newjob import NewJob, NewPartition, NewStep
from nbcluster.records import StepToRun
from nbcluster.store import payloads
from nbcluster.store.engine import BULK, Database
from nbcluster.store.events import EventLog
from nbcluster.store.jobwriter import JobWriter
from nbcluster.store.stepstorun import STARTED_STEPS, STEPS_TO_RUN, step_to_run
from nbcluster.store.tables import (
    job_execution,
    partitions,
    step_execution,
)
from nbcluster.store.targets import Targets
from nbcluster.store.wakeup import WORK, node_topic

_WAKE_EACH = 16
"""Up to this many owners are woken one by one; more are woken by one call for all."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """The ids of a job that is stored, and when that was.

    ``found`` is the status of an execution that the instance had already; None for a new one.
    """

    job_execution_id: int
    step_execution_id: int
    created: datetime
    found: JobStatus | None = None


class JobRepository:
    """Submitting, resuming and reading jobs and their steps."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writer = JobWriter(database)
        self._targets = Targets(database)
        self._events = EventLog(database)

    # --- submission ---------------------------------------------------------

    def create(self, job: NewJob) -> Submitted:
        """Store a job with its steps, coordination and partitions: all or nothing.

        An instance (name and key) that has an execution is not given another, unless ``fresh``:
        its newest one is what is returned.  Repeatable: when the answer to the COMMIT was lost,
        the second try finds the first.
        """
        try:
            return self._database.write(lambda connection: self._create(connection, job), patience=BULK)
        except DatabaseError as error:
            earlier = self._find(job.uid) if isinstance(error.__cause__, IntegrityError) else None
            if earlier is None:
                raise
            return earlier

    def _create(self, connection: Connection, job: NewJob) -> Submitted:
        instance_id, new = self._writer.instance(connection, job.name, job.key)
        if not new and not job.fresh:
            newest = connection.execute(_NEWEST_OF_INSTANCE, {"instance": instance_id}).first()
            if newest is not None:
                # Our own, when the answer to its COMMIT was lost.
                found = None if newest.job_uid == job.uid else JobStatus(newest.status)
                return Submitted(*newest[:3], found)
        job_id, created = self._writer.execution(
            connection,
            {
                "job_instance_id": instance_id,
                "job_uid": job.uid,
                "run_number": 1,
                "user_name": job.user,
                "host": job.host,
                "priority": job.priority,
                "max_errors": job.max_errors,
                "main_step": job.main_step,
            },
        )
        self._writer.parameters(connection, job_id, job.parameters)
        main = 0
        for position, step in enumerate(job.steps):
            step_id = self._create_step(connection, job, job_id, created, position, step)
            main = step_id if step.name == job.main_step else main
        self._events.received(connection, job_id, job.master_node_id, created)
        self._events.record_all(
            connection,
            [{"phase": p, "job": job_id, "node": job.master_node_id} for p in (Phase.PARTITIONED, Phase.DISTRIBUTED)],
        )
        first = [part for step in job.steps if not step.after for part in step.partitions if part.cached is None]
        self._database.announce(connection, _owners_to_wake(first))
        return Submitted(job_id, main, created)

    def _create_step(
        self, connection: Connection, job: NewJob, job_id: int, created: datetime, position: int, step: NewStep
    ) -> int:
        waits = bool(step.after) or step.kind in CALLBACKS
        status = JobStatus.CREATED if waits else JobStatus.STARTED
        payloads.put(connection, step.function.body)
        if step.bundle is not None:
            payloads.put(connection, step.bundle)
        step_id = self._writer.step(
            connection, _step_values(step) | {"position": position, "job_execution_id": job_id}, status
        )
        if step.into_table is not None:
            self._targets.create(connection, job.uid, step.name, step.into_table, step.if_exists)
        self._writer.coordination(connection, job_id, step_id, step.name, job.master_node_id, status)
        taken = self._writer.partitions(connection, job_id, step_id, created, step.partitions)
        if taken:
            self._events.record(
                connection, Phase.CACHED, job=job_id, step=step_id, node=job.master_node_id,
                detail=f"{taken} of {len(step.partitions)}",
            )  # fmt: skip
        return step_id

    def _find(self, uid: str) -> Submitted | None:
        statement = (
            select(job_execution.c.job_execution_id, step_execution.c.step_execution_id, job_execution.c.create_time)
            .join(step_execution, _IS_MAIN_STEP)
            .where(job_execution.c.job_uid == uid, job_execution.c.run_number == 1)
        )
        row = self._database.read(lambda connection: connection.execute(statement).first())
        return Submitted(*row) if row else None

    # --- the running job ----------------------------------------------------

    def function(self, function_id: str) -> bytes | None:
        """The pickled function of that content hash."""
        return payloads.get_large(self._database, function_id)

    def modules(self, bundle_id: str) -> bytes | None:
        """The archive of modules of that content hash."""
        return self._database.read(lambda connection: payloads.get(connection, bundle_id))

    def started_steps(self) -> list[StepToRun]:
        """Every step whose partitions may be claimed, in the order in which they were submitted."""
        rows = self._database.read(lambda connection: connection.execute(STARTED_STEPS).all())
        return [step_to_run(row) for row in rows]

    def step(self, step_id: int) -> StepToRun | None:
        """One step, whatever its state, as a node that runs it would know it."""
        statement = STEPS_TO_RUN.where(step_execution.c.step_execution_id == step_id)
        row = self._database.read(lambda connection: connection.execute(statement).first())
        return step_to_run(row) if row else None

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

    def resume(
        self, job_id: int, master: str, again: Collection[int] = (), *, own_local: bool = False
    ) -> Submitted | None:
        """A new execution of a job that has ended, with its stored split; None when there is nothing to go on with.

        COMPLETED partitions are carried over with their results, except ``again`` (indexes in
        the main step) and whatever follows from those; the others are PENDING again, unassigned.
        Nothing is split again.  A COMPLETED job goes on only when ``again`` names partitions.
        With ``own_local`` the new master runs the local steps; else any node does.
        """
        return self._database.write(
            lambda connection: self._resume(connection, job_id, master, frozenset(again), own_local),
            patience=BULK,
        )

    def _resume(
        self, connection: Connection, job_id: int, master: str, again: frozenset[int], own_local: bool
    ) -> Submitted | None:
        allowed = [status for status in JOB_FINAL if again or status is not JobStatus.COMPLETED]
        old = connection.execute(
            select(job_execution)
            .where(job_execution.c.job_execution_id == job_id, job_execution.c.status.in_(allowed))
            .with_for_update()  # of two who resume at once the second sees what the first made
        ).first()
        if old is None:
            return None
        newest = connection.scalar(
            select(func.max(job_execution.c.run_number)).where(job_execution.c.job_uid == old.job_uid)
        )
        if newest != old.run_number:
            return None
        kept = {name: getattr(old, name) for name in _KEPT_OF_A_JOB}
        new_id, created = self._writer.execution(connection, kept | {"run_number": old.run_number + 1})
        self._writer.copied_parameters(connection, job_id, new_id)
        main = self._resume_steps(connection, old, new_id, master, created, again, own_local)
        self._events.record(connection, Phase.RESUMED, job=new_id, node=master, detail=str(job_id))
        self._database.announce(connection, [WORK])
        return Submitted(new_id, main, created)

    def _resume_steps(
        self,
        connection: Connection,
        old: Any,
        new_id: int,
        master: str,
        created: datetime,
        again: frozenset[int],
        own_local: bool,
    ) -> int:
        """Steps that are done stay done, with their partitions; the first unfinished ones start."""
        steps = connection.execute(
            select(step_execution)
            .where(step_execution.c.job_execution_id == old.job_execution_id)
            .order_by(step_execution.c.position)
        ).all()
        done: set[str] = set()
        main = 0
        for step in steps:
            after = json.loads(step.after_steps)
            is_main = step.step_name == old.main_step
            if is_main and again and step.into_table is not None:
                _refuse_doubling(connection, step, again)
            ready = done.issuperset(after) and step.kind not in CALLBACKS
            if ready and step.status == JobStatus.COMPLETED and not (is_main and again):
                done.add(step.step_name)
                status = JobStatus.COMPLETED
            else:
                status = JobStatus.STARTED if ready else JobStatus.CREATED
            values = {name: getattr(step, name) for name in _KEPT_OF_A_STEP}
            values |= {"job_execution_id": new_id, "fixed_nodes": None if step.fixed_nodes is None else "[]"}
            new_step = self._writer.step(connection, values, status)
            self._writer.coordination(connection, new_id, new_step, step.step_name, master, status)
            if step.kind not in CALLBACKS:
                # What stands behind an unfinished step would be computed from something else now.
                keep = ready or not after
                owner = master if own_local and step.kind == StepKind.LOCAL else None
                self._writer.copied_partitions(
                    connection, step.step_execution_id, new_id, new_step, created, again if is_main else (),
                    keep=keep, owner=owner,
                )  # fmt: skip
            main = new_step if is_main else main
        return main


def _refuse_doubling(connection: Connection, step: Any, again: frozenset[int]) -> None:
    """What is COMPLETED has its rows in the table: run once more it would add them once more."""
    done = connection.execute(
        select(partitions.c.partition_index)
        .where(
            partitions.c.master_step_execution_id == step.step_execution_id,
            partitions.c.status == PartitionStatus.COMPLETED,
            partitions.c.partition_index.in_(again),
        )
        .order_by(partitions.c.partition_index)
    ).first()
    if done is not None:
        raise InputError(
            f"partition {done[0]} is COMPLETED and its rows are in table {step.into_table}; run again it would add "
            "them a second time: submit the job anew with fresh=True and if_exists='replace'"
        )


_IS_MAIN_STEP = (step_execution.c.job_execution_id == job_execution.c.job_execution_id) & (
    step_execution.c.step_name == job_execution.c.main_step
)

_NEWEST_OF_INSTANCE = (
    select(
        job_execution.c.job_execution_id,
        step_execution.c.step_execution_id,
        job_execution.c.create_time,
        job_execution.c.status,
        job_execution.c.job_uid,
    )
    .join(step_execution, _IS_MAIN_STEP)
    .where(job_execution.c.job_instance_id == bindparam("instance"))
    .order_by(job_execution.c.job_execution_id.desc())
    .limit(1)
)

_KEPT_OF_A_JOB = (
    "job_instance_id", "job_uid", "user_name", "host", "priority", "max_errors", "main_step",
)  # fmt: skip

_KEPT_OF_A_STEP = (
    "step_name", "mode", "strategy", "python", "function_id", "function_mac", "source",
    "max_attempts", "max_result", "max_log", "fixed_count", "is_transferable",
    "position", "kind", "after_steps", "input_of", "retries", "retry_on", "retry_wait", "timeout", "required_labels",
    "into_table", "values_at", "bundle_id", "bundle_mac",
)  # fmt: skip


def _step_values(step: NewStep) -> dict[str, Any]:
    return {
        "step_name": step.name,
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
        "kind": step.kind.value,
        "after_steps": json.dumps(step.after),
        "input_of": step.input_of,
        "retries": step.retries,
        "retry_on": None if step.retry_on is None else json.dumps(step.retry_on),
        "retry_wait": step.retry_wait,
        "timeout": step.timeout,
        "required_labels": json.dumps(step.require),
        "into_table": step.into_table,
        "values_at": step.values_at,
        "bundle_id": step.bundle_id,
        "bundle_mac": step.bundle_mac,
    }


def _owners_to_wake(split: Sequence[NewPartition]) -> list[str]:
    owners = {part.assigned_node for part in split}
    if None in owners or not owners or len(owners) > _WAKE_EACH:
        return [WORK] if split else []
    return sorted(node_topic(owner) for owner in owners if owner)
